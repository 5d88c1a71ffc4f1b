"""Takes reviews into the store: what people say of lines and areas of a survey, each place once.

A review keeps its own copy of the line, so that it outlives the crack: measuring a survey again replaces
all of its cracks. What is said again of the same line, or of the same crack, takes the place of what was
said before, and so does a line that was moved where it names the review that it follows. Sent twice, it
changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, text

from pavemap.geo.errors import BadInput
from pavemap.geo.lines.line_digest import area_digests, line_digests
from pavemap.geo.store.bulk import copy_frame, from_ewkb, reserve_ids
from pavemap.geo.store.review_checks import (
    NewArea,
    NewReview,
    as_wide,
    checked_areas,
    checked_line,
    mean_widths,
    nothing_said_of,
    refuse_contradiction,
    with_width,
)
from pavemap.geo.store.reviews import delete_rows
from pavemap.geo.store.surveys import lock_survey
from pavemap.geo.store.tables import Review, ReviewedArea
from pavemap.geo.store.tables.base import Base


@dataclass(frozen=True)
class Added:
    """What became of reviews that were sent: their ids in the order they came, and how many were new."""

    ids: list[int]
    added: int
    replaced: int
    """Earlier reviews that these took the place of."""
    unchanged: int
    overtaken: int = 0
    """New ones that take the place of another review than they name: somebody else was there before."""


def add_reviews(
    connection: Connection, survey_id: uuid.UUID, reviews: Sequence[NewReview]
) -> Added:
    """Store reviews, all or none.

    Together they replace what was said of the same lines and cracks, and the reviews that they name.

    Raises NotFound for an unknown survey, BadInput, naming the number of the review from 1, for a line
    that is none, has no width or lies beside all imagery, and for a crack that is not there.
    """
    lock_survey(connection, survey_id)
    reviews = _drawn_stay_drawn(connection, survey_id, reviews)
    lines, digests, courses = _about_cracks(connection, survey_id, reviews)
    refuse_contradiction(reviews, digests)
    known = _known_reviews(connection, survey_id, reviews, digests, courses)
    # What a crack was that is gone by now, earlier reviews of it know.
    gone = {row.crack_id: row.crack_digest for row in known if row.crack_digest}
    courses = gone | _as_found(courses, known)
    sent = _Sent(reviews, lines, mean_widths(lines), digests, courses)
    last = {digest: number for number, digest in enumerate(digests)}
    same = _unchanged(known, sent, last)
    outdated = [row for row in known if row.digest not in same]
    delete_rows(connection, "review", survey_id, [row.id for row in outdated])
    fresh = [number for digest, number in last.items() if digest not in same]
    ids = _insert_reviews(connection, survey_id, sent, fresh)
    by_digest = same | {digests[number]: own for own, number in ids.items()}
    return Added(
        [by_digest[digest] for digest in digests],
        added=len(fresh),
        replaced=len(outdated),
        unchanged=len(same),
        overtaken=_overtaken(sent, fresh, known, _unnamed(outdated, reviews)),
    )


def add_areas(connection: Connection, survey_id: uuid.UUID, areas: Sequence[NewArea]) -> Added:
    """Store areas that were looked at whole, all or none; the same area is one. Errors as above."""
    lock_survey(connection, survey_id)
    shapes = checked_areas(areas)
    digests = area_digests(shapes)
    known = connection.execute(
        text(
            "SELECT id, digest FROM reviewed_area WHERE survey_id = :id AND digest = ANY(:digests)"
        ),
        {"id": survey_id, "digests": digests},
    ).all()
    by_digest = {row.digest: int(row.id) for row in known}
    fresh = [
        n for digest, n in {d: n for n, d in enumerate(digests)}.items() if digest not in by_digest
    ]
    ids = reserve_ids(connection, ReviewedArea, len(fresh))
    if fresh:
        columns = {
            "survey_id": survey_id,
            "id": ids,
            "geom": shapes[fresh],
            "digest": [digests[number] for number in fresh],
            "reviewer": [areas[number].reviewer for number in fresh],
            "note": [areas[number].note for number in fresh],
        }
        copy_frame(connection, ReviewedArea, columns)
        places = dict(zip(ids.tolist(), fresh, strict=True))
        _refuse_off_imagery(connection, ReviewedArea, survey_id, places)
    by_digest |= {digests[n]: int(own) for n, own in zip(fresh, ids, strict=True)}
    return Added([by_digest[digest] for digest in digests], len(fresh), 0, len(known))


@dataclass(frozen=True)
class _Sent:
    """Reviews with what is known of each: its line with widths, their mean, the digest of its course."""

    reviews: Sequence[NewReview]
    lines: NDArray[np.object_]
    widths: NDArray[np.float64]
    digests: Sequence[str]
    courses: Mapping[int, str]
    """The digests of cracks by number."""

    def course(self, number: int) -> str | None:
        """Return the digest of the crack that a review is about; None without one, or where it is gone."""
        crack_id = self.reviews[number].crack_id
        return None if crack_id is None else self.courses.get(crack_id)

    def place(self, number: int) -> _Place:
        """Return what a review is about."""
        return {self.digests[number], self.reviews[number].crack_id, self.course(number)}


def _known_reviews(
    connection: Connection,
    survey_id: uuid.UUID,
    reviews: Sequence[NewReview],
    digests: Sequence[str],
    courses: Mapping[int, str],
) -> Sequence[Row[Any]]:
    """Return the stored reviews of the same lines and cracks, and those that new ones follow."""
    of_cracks = list(courses.values())
    return connection.execute(
        _KNOWN,
        {
            "survey_id": survey_id,
            "digests": [*digests, *of_cracks],
            "cracks": _cracks_of(reviews),
            "of_cracks": of_cracks,
            "followed": [each.review_id for each in reviews if each.review_id is not None],
        },
    ).all()


def _drawn_stay_drawn(
    connection: Connection, survey_id: uuid.UUID, reviews: Sequence[NewReview]
) -> list[NewReview]:
    """Return reviews with those that confirm what a reviewer drew as drawings: no model found it."""
    of_cracks = {"survey_id": survey_id, "ids": _cracks_of(reviews)}
    drawn = set(connection.execute(_DRAWN, of_cracks).scalars())
    return [
        replace(each, verdict="drawn")
        if each.verdict == "confirmed" and each.crack_id in drawn
        else each
        for each in reviews
    ]


def _cracks_of(reviews: Sequence[NewReview]) -> list[int]:
    return sorted({each.crack_id for each in reviews if each.crack_id is not None})


def _as_found(courses: Mapping[int, str], known: Sequence[Row[Any]]) -> dict[int, str]:
    """Return the courses of cracks as a model found them: some are as an earlier review has them.

    A crack that was moved, or cut, has its new course in figures that heed reviews; what is said of it then
    is of the one that it was.
    """
    found = {row.digest: row.crack_digest for row in known if row.crack_digest}
    return {number: found.get(course, course) for number, course in courses.items()}


def _unchanged(known: Sequence[Row[Any]], sent: _Sent, last: Mapping[str, int]) -> dict[str, int]:
    """Return, by digest, the stored reviews that say what the last one sent of the same line says."""
    return {
        row.digest: int(row.id)
        for row in known
        if row.digest in last
        and _says_the_same(row, sent.reviews[n := last[row.digest]], sent.widths[n])
    }


def _insert_reviews(
    connection: Connection, survey_id: uuid.UUID, sent: _Sent, fresh: list[int]
) -> dict[int, int]:
    """Store those reviews whose numbers are given; return them by their ids. Raises BadInput."""
    if not fresh:
        return {}
    ids = reserve_ids(connection, Review, len(fresh))
    chosen = [sent.reviews[number] for number in fresh]
    columns = {
        "survey_id": survey_id,
        "id": ids,
        "verdict": [each.verdict for each in chosen],
        "crack_id": [each.crack_id for each in chosen],
        "geom": sent.lines[fresh],
        "width_mm": sent.widths[fresh],
        "digest": [sent.digests[number] for number in fresh],
        "crack_digest": [sent.course(number) for number in fresh],
        "reviewer": [each.reviewer for each in chosen],
        "note": [each.note for each in chosen],
    }
    copy_frame(connection, Review, columns)
    numbers = dict(zip(ids.tolist(), fresh, strict=True))
    _refuse_off_imagery(connection, Review, survey_id, numbers)
    return numbers


def _about_cracks(
    connection: Connection, survey_id: uuid.UUID, reviews: Sequence[NewReview]
) -> tuple[NDArray[np.object_], list[str], dict[int, str]]:
    """Return the lines that reviews are about, with widths, the digest of each, and the cracks' by number.

    A crack may have been judged under another number, before it was measured again.
    """
    of_cracks = {"survey_id": survey_id, "ids": _cracks_of(reviews)}
    rows = connection.execute(_CRACKS, of_cracks).all()
    found = from_ewkb(np.array([row.line for row in rows], dtype=object))
    cracks = {
        row.id: (line, digest, row.width_mean_mm)
        for row, line, digest in zip(rows, found, line_digests(found), strict=True)
    }
    lines = np.empty(len(reviews), dtype=object)
    for number, review in enumerate(reviews, 1):
        crack = None if review.crack_id is None else cracks.get(review.crack_id)
        if review.line is None:
            if crack is None:
                raise BadInput(nothing_said_of(review, number))
            lines[number - 1] = as_wide(crack[0], crack[2], review.width_mm, number)
            continue
        line = checked_line(review.line, number)
        if crack is not None and line_digests(np.array([line], dtype=object)) == [crack[1]]:
            lines[number - 1] = as_wide(crack[0], crack[2], review.width_mm, number)
            continue
        width_mm = review.width_mm or (None if crack is None else crack[2])
        lines[number - 1] = with_width(line, width_mm, number)
    courses = {number: digest for number, (_, digest, _) in cracks.items()}
    return lines, line_digests(lines), courses


def _says_the_same(row: Row[Any], review: NewReview, width_mm: float) -> bool:
    said = (review.verdict, review.crack_id, review.reviewer, review.note)
    stored = (row.verdict, row.crack_id, row.reviewer, row.note)
    return said == stored and bool(np.isclose(row.width_mm, width_mm, rtol=1e-6))


_Place = set[int | str | None]
"""What a review is about: digests of courses, and the number of a crack."""


def _unnamed(outdated: Sequence[Row[Any]], reviews: Sequence[NewReview]) -> _Place:
    """Return what those outdated reviews are about that no new one says it follows."""
    named = {each.review_id for each in reviews}
    rows = [row for row in outdated if row.id not in named]
    return {at for row in rows for at in (row.digest, row.crack_id, row.crack_digest)} - {None}


def _overtaken(
    sent: _Sent, fresh: Sequence[int], known: Sequence[Row[Any]], unnamed: _Place
) -> int:
    """Count those that follow what is gone by now, or are about what somebody else has judged."""
    there = {None, *(row.id for row in known)}
    return sum(
        sent.reviews[number].review_id not in there or not unnamed.isdisjoint(sent.place(number))
        for number in fresh
    )


def _refuse_off_imagery(
    connection: Connection, table: type[Base], survey_id: uuid.UUID, places: Mapping[int, int]
) -> None:
    """Refuse what lies beside all imagery: most often longitude and latitude are in the wrong order."""
    name = table.__tablename__
    lost = connection.execute(
        text(_BESIDE.format(table=name)), {"survey_id": survey_id, "ids": list(places)}
    ).scalar_one_or_none()
    if lost is not None:
        what = "review" if name == "review" else "area"
        raise BadInput(
            f"{what} #{places[lost] + 1} lies beside all imagery of the survey; is it of this survey, "
            "and in degrees, longitude first?"
        )


_CRACKS = text("""
    SELECT id, ST_AsBinary(geom) AS line, width_mean_mm FROM crack
    WHERE survey_id = :survey_id AND id = ANY(:ids)
""")

_DRAWN = text("""
    SELECT id FROM crack WHERE survey_id = :survey_id AND id = ANY(:ids) AND model_id IS NULL
""")

_KNOWN = text("""
    SELECT id, digest, verdict, crack_id, crack_digest, width_mm, reviewer, note FROM review
    WHERE survey_id = :survey_id AND (digest = ANY(:digests) OR crack_id = ANY(:cracks)
                                      OR crack_digest = ANY(:of_cracks) OR id = ANY(:followed))
""")

# Imagery across the 180th meridian is stored as 179, 181 or -179.
_BESIDE = """
    SELECT r.id FROM {table} r
    WHERE r.survey_id = :survey_id AND r.id = ANY(:ids) AND NOT EXISTS (
        SELECT FROM orthophoto o, unnest(ARRAY[0, 360, -360]) AS turn
        WHERE o.survey_id = r.survey_id
          AND ST_Intersects(o.footprint, ST_Translate(r.geom, turn, 0)))
    ORDER BY r.id LIMIT 1
"""
