"""Takes reviews into the store: what people say of lines and areas of a survey, each place once.

A review keeps its own copy of the line, so that it outlives the crack: measuring a survey again replaces
all of its cracks. What is said again of the same line, or of the same crack, takes the place of what was
said before, and so does a line that was moved where it names the review that it follows. Sent twice, it
changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from sqlalchemy import Connection, Row, text

from pavemap.geo.arrays import object_array
from pavemap.geo.errors import BadInput
from pavemap.geo.lines.line_digest import area_digests, line_digests
from pavemap.geo.store.bulk import copy_frame, reserve_ids
from pavemap.geo.store.review_checks import (
    NewArea,
    NewReview,
    checked_areas,
    mean_widths,
    refuse_contradiction,
)
from pavemap.geo.store.reviews import delete_rows
from pavemap.geo.store.sent_reviews import SentReviews
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

    One takes the place of the review that it names, of what was said of the very same line, and of what
    was said of the same stretch of its crack; what was said of others stays.

    Raises NotFound for an unknown survey, BadInput, naming the number of the review from 1, for a line
    that is none, has no width or lies beside all imagery, and for a crack that is not there.
    """
    lock_survey(connection, survey_id)
    sent = SentReviews.read(connection, survey_id, reviews)
    refuse_contradiction(reviews, sent.digests)
    known = _known_reviews(connection, survey_id, sent)
    sent = sent.beside(known)
    last = {digest: number for number, digest in enumerate(sent.digests)}
    same = _unchanged(known, sent, last)
    fresh = [number for digest, number in last.items() if digest not in same]
    replacing = sent.replacing(known, fresh)
    outdated = {
        row.id: row for rows in replacing.values() for row in rows if row.digest not in same
    }
    delete_rows(connection, "review", survey_id, sorted(outdated))
    ids = _insert_reviews(connection, survey_id, sent, fresh)
    _keep_rests(connection, survey_id, sent.rests(outdated, replacing))
    by_digest = same | {sent.digests[number]: own for own, number in ids.items()}
    return Added(
        [by_digest[digest] for digest in sent.digests],
        added=len(fresh),
        replaced=len(outdated),
        unchanged=len(same),
        overtaken=sent.overtaken(known, replacing),
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


def _known_reviews(
    connection: Connection, survey_id: uuid.UUID, sent: SentReviews
) -> Sequence[Row[Any]]:
    """Return the stored reviews that sent ones may replace, or have to know of."""
    return connection.execute(
        _KNOWN,
        {
            "survey_id": survey_id,
            "digests": sent.courses,
            "numbers": sent.numbers,
            "followed": [each.review_id for each in sent.reviews if each.review_id is not None],
        },
    ).all()


def _unchanged(
    known: Sequence[Row[Any]], sent: SentReviews, last: Mapping[str, int]
) -> dict[str, int]:
    """Return, by digest, the stored reviews that say what the last one sent of the same line says."""
    return {
        row.digest: int(row.id)
        for row in known
        if row.digest in last
        and _says_the_same(row, sent.reviews[n := last[row.digest]], sent.widths[n])
    }


def _insert_reviews(
    connection: Connection, survey_id: uuid.UUID, sent: SentReviews, fresh: list[int]
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
        "crack_digest": [sent.links[number] for number in fresh],
        "reviewer": [each.reviewer for each in chosen],
        "note": [each.note for each in chosen],
    }
    copy_frame(connection, Review, columns)
    numbers = dict(zip(ids.tolist(), fresh, strict=True))
    _refuse_off_imagery(connection, Review, survey_id, numbers)
    return numbers


def _keep_rests(
    connection: Connection,
    survey_id: uuid.UUID,
    rests: Sequence[tuple[Row[Any], shapely.LineString]],
) -> None:
    """Store what reviews still say of the rest of their lines, unless that line was judged by itself."""
    if not rests:
        return
    lines = object_array([line for _, line in rests])
    digests = line_digests(lines)
    asked = {"survey_id": survey_id, "digests": digests}
    there = set(connection.execute(_THERE, asked).scalars())
    new = {digest: n for n, digest in enumerate(digests) if digest not in there}
    chosen = list(new.values())
    rows = [rests[n][0] for n in chosen]
    columns = {
        "survey_id": survey_id,
        "id": reserve_ids(connection, Review, len(new)),
        "geom": lines[chosen],
        "digest": list(new),
        "width_mm": mean_widths(lines)[chosen],
        **{
            name: [getattr(row, name) for row in rows]
            for name in ("verdict", "crack_id", "crack_digest", "reviewer", "note")
        },
    }
    copy_frame(connection, Review, columns)


def _says_the_same(row: Row[Any], review: NewReview, width_mm: float) -> bool:
    said = (review.verdict, review.crack_id, review.reviewer, review.note)
    stored = (row.verdict, row.crack_id, row.reviewer, row.note)
    return said == stored and bool(np.isclose(row.width_mm, width_mm, rtol=1e-6))


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


_KNOWN = text("""
    SELECT id, digest, verdict, crack_id, crack_digest, ST_AsBinary(geom) AS line, width_mm, reviewer,
        note
    FROM review
    WHERE survey_id = :survey_id AND (digest = ANY(:digests) OR crack_id = ANY(:numbers)
                                      OR crack_digest = ANY(:digests) OR id = ANY(:followed))
""")

_THERE = text("SELECT digest FROM review WHERE survey_id = :survey_id AND digest = ANY(:digests)")

# Imagery across the 180th meridian is stored as 179, 181 or -179.
_BESIDE = """
    SELECT r.id FROM {table} r
    WHERE r.survey_id = :survey_id AND r.id = ANY(:ids) AND NOT EXISTS (
        SELECT FROM orthophoto o, unnest(ARRAY[0, 360, -360]) AS turn
        WHERE o.survey_id = r.survey_id
          AND ST_Intersects(o.footprint, ST_Translate(r.geom, turn, 0)))
    ORDER BY r.id LIMIT 1
"""
