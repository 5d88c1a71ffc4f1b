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
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, text

from pavemap.geo.errors import BadInput
from pavemap.geo.lines.line_digest import area_digests, line_digests
from pavemap.geo.store.bulk import copy_frame, from_ewkb, reserve_ids
from pavemap.geo.store.reviews import delete_rows
from pavemap.geo.store.surveys import lock_survey
from pavemap.geo.store.tables import Review, ReviewedArea
from pavemap.geo.store.tables.base import Base
from pavemap.geo.verdict import Verdict

MAX_WIDTH_MM = 1000.0
ROUNDED_MM, ROUNDED = 0.06, 0.01
"""What rounding on the way through a file may change of a width, in millimetres and as a share."""
MAX_VERTICES = 20_000


@dataclass(frozen=True, kw_only=True)
class NewReview:
    """What is said of a line.

    With `crack_id` it is about that crack; `line` and `width_mm` may then be left out. A line (degrees)
    that is not the crack's own says how it should run; one without its z has `width_mm` all along.
    `review_id` is the review that this one follows, which may be gone by now.
    """

    verdict: Verdict
    crack_id: int | None = None
    line: shapely.LineString | None = None
    width_mm: float | None = None
    reviewer: str = ""
    note: str = ""
    review_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class NewArea:
    """Ground (degrees) that was looked at whole."""

    area: shapely.Polygon | shapely.MultiPolygon
    reviewer: str = ""
    note: str = ""


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
    lines, digests, courses = _about_cracks(connection, survey_id, reviews)
    _refuse_contradiction(reviews, digests)
    last = {digest: number for number, digest in enumerate(digests)}
    cracks = sorted({each.crack_id for each in reviews if each.crack_id is not None})
    of_cracks = list(courses.values())
    known = connection.execute(
        _KNOWN,
        {
            "survey_id": survey_id,
            "digests": digests + of_cracks,
            "cracks": cracks,
            "of_cracks": of_cracks,
            "followed": [each.review_id for each in reviews if each.review_id is not None],
        },
    ).all()
    # What a crack was that is gone by now, earlier reviews of it know.
    courses = {row.crack_id: row.crack_digest for row in known if row.crack_digest} | courses
    widths = _mean_widths(lines)
    same = {
        row.digest: int(row.id)
        for row in known
        if row.digest in last and _says_the_same(row, reviews[n := last[row.digest]], widths[n])
    }
    outdated = [row for row in known if row.digest not in same]
    delete_rows(connection, "review", survey_id, [row.id for row in outdated])
    fresh = [number for digest, number in last.items() if digest not in same]
    places: list[_Place] = [
        {digests[n], reviews[n].crack_id, courses.get(reviews[n].crack_id or 0)} for n in fresh
    ]
    overtaken = _overtaken([reviews[n] for n in fresh], places, known, _unnamed(outdated, reviews))
    ids = reserve_ids(connection, Review, len(fresh))
    if fresh:
        chosen = [reviews[number] for number in fresh]
        columns = {
            "survey_id": survey_id,
            "id": ids,
            "verdict": [each.verdict for each in chosen],
            "crack_id": [each.crack_id for each in chosen],
            "geom": lines[fresh],
            "width_mm": widths[fresh],
            "digest": [digests[number] for number in fresh],
            "crack_digest": [
                None if each.crack_id is None else courses.get(each.crack_id) for each in chosen
            ],
            "reviewer": [each.reviewer for each in chosen],
            "note": [each.note for each in chosen],
        }
        copy_frame(connection, Review, columns)
        _refuse_off_imagery(
            connection, Review, survey_id, dict(zip(ids.tolist(), fresh, strict=True))
        )
    by_digest = same | {digests[n]: int(own) for n, own in zip(fresh, ids, strict=True)}
    numbers = [by_digest[digest] for digest in digests]
    return Added(numbers, len(fresh), len(outdated), len(same), overtaken)


def add_areas(connection: Connection, survey_id: uuid.UUID, areas: Sequence[NewArea]) -> Added:
    """Store areas that were looked at whole, all or none; the same area is one. Errors as above."""
    lock_survey(connection, survey_id)
    shapes = _checked_areas(areas)
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


def _about_cracks(
    connection: Connection, survey_id: uuid.UUID, reviews: Sequence[NewReview]
) -> tuple[NDArray[np.object_], list[str], dict[int, str]]:
    """Return the lines that reviews are about, with widths, the digest of each, and the cracks' by number.

    A crack may have been judged under another number, before it was measured again.
    """
    wanted = sorted({each.crack_id for each in reviews if each.crack_id is not None})
    rows = connection.execute(_CRACKS, {"survey_id": survey_id, "ids": wanted}).all()
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
                raise BadInput(_nothing_said_of(review, number))
            lines[number - 1] = _as_wide(crack[0], crack[2], review.width_mm, number)
            continue
        line = _checked_line(review.line, number)
        if crack is not None and line_digests(np.array([line], dtype=object)) == [crack[1]]:
            lines[number - 1] = _as_wide(crack[0], crack[2], review.width_mm, number)
            continue
        width_mm = review.width_mm or (None if crack is None else crack[2])
        lines[number - 1] = _with_width(line, width_mm, number)
    courses = {number: digest for number, (_, digest, _) in cracks.items()}
    return lines, line_digests(lines), courses


def _nothing_said_of(review: NewReview, number: int) -> str:
    if review.crack_id is None:
        return f"review #{number} has neither a line nor the number of a crack; give it one of them"
    return (
        f"review #{number}: the survey has no crack {review.crack_id} (measuring again numbers cracks "
        "anew); send the line along, or take the number from the survey's cracks"
    )


def _checked_line(line: shapely.Geometry, number: int) -> shapely.LineString:
    if not isinstance(line, shapely.LineString) or line.is_empty:
        raise BadInput(f"review #{number} is no LineString; send each line as one")
    points = shapely.get_coordinates(line)
    if len(points) > MAX_VERTICES:
        raise BadInput(f"review #{number} has over {MAX_VERTICES:,} vertices; simplify the line")
    _check_degrees(points, f"review #{number}")
    if not line.length > 0.0:
        raise BadInput(f"review #{number} is a line without length; leave it out")
    return line


def _check_degrees(points: NDArray[np.float64], what: str) -> None:
    lon, lat = np.abs(points).T
    if not (np.isfinite(points).all() and lon.max() <= 360.0 and lat.max() <= 90.0):
        raise BadInput(f"{what} is not in degrees, longitude first (RFC 7946); reproject it")


def _as_wide(
    crack: shapely.LineString, mean_mm: float, wanted_mm: float | None, number: int
) -> shapely.LineString:
    """Return a crack's line with its own widths, which say more than their mean, or with another mean."""
    ends = {mean_mm, float(_mean_widths(np.array([crack], dtype=object))[0])}
    if wanted_mm is None or any(
        abs(wanted_mm - mean) <= max(ROUNDED_MM, ROUNDED * mean) for mean in ends
    ):
        return crack
    plain = _with_width(crack, wanted_mm, number)
    points = shapely.get_coordinates(crack, include_z=True)
    if not mean_mm > 0.0:
        return plain
    points[:, 2] *= wanted_mm / mean_mm
    return shapely.LineString(points)


def _with_width(
    line: shapely.LineString, width_mm: float | None, number: int
) -> shapely.LineString:
    """Return a line whose z is its width in millimetres, from what was sent with it."""
    if width_mm is None:
        raise BadInput(f"review #{number} has no width; give it width_mm, in millimetres")
    if not 0.0 < width_mm <= MAX_WIDTH_MM:
        raise BadInput(
            f"review #{number} is {width_mm:g} mm wide; give it more than 0, at most {MAX_WIDTH_MM:g}"
        )
    points = shapely.get_coordinates(line)
    return shapely.LineString(np.column_stack([points, np.full(len(points), width_mm)]))


def _checked_areas(areas: Sequence[NewArea]) -> NDArray[np.object_]:
    shapes = np.empty(len(areas), dtype=object)
    for number, each in enumerate(areas, 1):
        shape, what = shapely.force_2d(each.area), f"area #{number}"
        if not isinstance(shape, shapely.Polygon | shapely.MultiPolygon) or shape.is_empty:
            raise BadInput(f"{what} is no Polygon or MultiPolygon; send each area as one")
        points = shapely.get_coordinates(shape)
        if len(points) > MAX_VERTICES:
            raise BadInput(f"{what} has over {MAX_VERTICES:,} vertices; simplify it")
        _check_degrees(points, what)
        if not shape.is_valid:
            raise BadInput(f"{what} crosses itself ({shapely.is_valid_reason(shape)}); mend it")
        shapes[number - 1] = (
            shape if isinstance(shape, shapely.MultiPolygon) else shapely.MultiPolygon([shape])
        )
    return shapes


def _refuse_contradiction(reviews: Sequence[NewReview], digests: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for number, digest in enumerate(digests):
        before = first.setdefault(digest, number)
        if reviews[before].verdict != reviews[number].verdict:
            raise BadInput(
                f"reviews #{before + 1} and #{number + 1} are the same line, once "
                f"{reviews[before].verdict}, once {reviews[number].verdict}; leave one of them out"
            )


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
    fresh: Sequence[NewReview], places: Sequence[_Place], known: Sequence[Row[Any]], unnamed: _Place
) -> int:
    """Count those that follow what is gone by now, or are about what somebody else has judged."""
    there = {None, *(row.id for row in known)}
    return sum(
        each.review_id not in there or not unnamed.isdisjoint(place)
        for each, place in zip(fresh, places, strict=True)
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


def _mean_widths(lines: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return (N,) the mean z along lines in degrees."""
    points, line = shapely.get_coordinates(lines, include_z=True, return_index=True)
    east = np.cos(np.radians(points[:, 1]))[1:]
    steps = np.hypot(np.diff(points[:, 0]) * east, np.diff(points[:, 1]))
    steps[line[1:] != line[:-1]] = 0.0
    middle = (points[1:, 2] + points[:-1, 2]) / 2.0
    total = np.bincount(line[1:], steps * middle, minlength=len(lines))
    length = np.bincount(line[1:], steps, minlength=len(lines))
    return np.asarray(total / length, np.float64)


_CRACKS = text("""
    SELECT id, ST_AsBinary(geom) AS line, width_mean_mm FROM crack
    WHERE survey_id = :survey_id AND id = ANY(:ids)
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
