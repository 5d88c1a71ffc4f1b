"""Reviews in the store: pages of them, and all that the labels of a survey are made of."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, text

from pavemap.geo.arrays import object_array
from pavemap.geo.errors import NotFound
from pavemap.geo.lines.line_digest import digest_of_all, line_digests
from pavemap.geo.lines.line_rests import rests_of
from pavemap.geo.store.bulk import from_ewkb, geometries, geometry_value
from pavemap.geo.store.cursors import Cursor
from pavemap.geo.store.places import Bbox, box_area
from pavemap.geo.store.segment_pages import check_limit
from pavemap.geo.store.surveys import get_survey
from pavemap.geo.verdict import Verdict

REACH_DEG = 2e-6
"""Some 20 cm: how far from its line a crack may reach into an area."""


@dataclass(frozen=True, kw_only=True)
class ReviewRow:
    """A review; `line` in degrees, z the width in millimetres. The crack may be gone by now."""

    id: int
    verdict: Verdict
    crack_id: int | None
    line: shapely.LineString
    width_mm: float
    digest: str
    crack_digest: str | None
    """Of the course of the crack as it was then, of which the line may be a part."""
    reviewer: str
    note: str
    reviewed_at: datetime


@dataclass(frozen=True)
class Heeded:
    """Which reviews figures heed: how many, and a digest that changes with what any of them says."""

    count: int
    digest: str

    @classmethod
    def of(cls, ids: Collection[int]) -> Self:
        """Tell reviews by their ids: what says something else has another one."""
        return cls(len(ids), digest_of_all([str(each) for each in ids]))


@dataclass(frozen=True, kw_only=True)
class AreaRow:
    """An area that was looked at whole, in degrees."""

    id: int
    area: shapely.MultiPolygon
    digest: str
    reviewer: str
    note: str
    reviewed_at: datetime


def reviews_page(
    connection: Connection,
    survey_id: uuid.UUID,
    *,
    verdict: Verdict | None = None,
    bbox: Bbox | None = None,
    limit: int = 1000,
    after: str | None = None,
) -> tuple[list[ReviewRow], str | None]:
    """Return a page of a survey's reviews by line, and the cursor of the next page or None at the end.

    In the order of their lines' digests: what is judged anew between two pages stays where it was, and
    is listed once.

    Raises NotFound for an unknown survey, BadInput for a bad box or cursor.
    """
    more = {} if verdict is None else {"verdict": verdict}
    rows, following = _page(connection, "review", survey_id, more, bbox, limit, after)
    return _review_rows(rows), following


def areas_page(
    connection: Connection,
    survey_id: uuid.UUID,
    *,
    bbox: Bbox | None = None,
    limit: int = 1000,
    after: str | None = None,
) -> tuple[list[AreaRow], str | None]:
    """Return a page of a survey's reviewed areas, as `reviews_page` does."""
    rows, following = _page(connection, "reviewed_area", survey_id, {}, bbox, limit, after)
    return _area_rows(rows), following


def delete_review(connection: Connection, survey_id: uuid.UUID, review_id: int) -> None:
    """Forget a review; its crack is as if nobody had judged it. Raises NotFound."""
    if not delete_rows(connection, "review", survey_id, [review_id]):
        raise NotFound(f"the survey has no review {review_id}; list its reviews to find their ids")


def delete_area(connection: Connection, survey_id: uuid.UUID, area_id: int) -> None:
    """Forget that an area was looked at whole. Raises NotFound."""
    if not delete_rows(connection, "reviewed_area", survey_id, [area_id]):
        raise NotFound(f"the survey has no reviewed area {area_id}; list them to find their ids")


def all_reviews(connection: Connection, survey_id: uuid.UUID) -> list[ReviewRow]:
    """Return all reviews of a survey by id."""
    return _review_rows(connection.execute(_ALL_REVIEWS, {"survey_id": survey_id}).all())


def reviews_now(connection: Connection, survey_id: uuid.UUID) -> Heeded:
    """Return what figures would heed that were worked out now."""
    return Heeded.of(connection.execute(_ALL_IDS, {"survey_id": survey_id}).scalars().all())


def all_areas(connection: Connection, survey_id: uuid.UUID) -> list[AreaRow]:
    """Return all reviewed areas of a survey by id."""
    return _area_rows(connection.execute(_ALL_AREAS, {"survey_id": survey_id}).all())


def unjudged_cracks(
    connection: Connection, survey_id: uuid.UUID, reviews: Sequence[ReviewRow]
) -> NDArray[np.object_]:
    """Return the cracks in reviewed areas, or at their edge, of which nobody said anything.

    LineString Z in degrees, z the width in millimetres. A crack that was found again, the same under
    another number, is known by its course. Of one that was judged in part, the rest.
    """
    parameters = {"survey_id": survey_id, "reach_deg": REACH_DEG}
    rows = connection.execute(_IN_AREAS, parameters).all()
    lines = from_ewkb(np.array([row.line for row in rows], dtype=object))
    said = _by_crack(reviews)
    found: list[shapely.LineString] = []
    for row, line, digest in zip(rows, lines, line_digests(lines), strict=True):
        about = {each.id: each.line for key in (row.id, digest) for each in said[key]}
        found += rests_of(line, list(about.values())) if about else [line]
    return object_array(found)


def _by_crack(reviews: Sequence[ReviewRow]) -> defaultdict[int | str, list[ReviewRow]]:
    """What was said of each crack, by its number and by its course."""
    said: defaultdict[int | str, list[ReviewRow]] = defaultdict(list)
    for each in reviews:
        for key in {each.crack_id, each.crack_digest, each.digest}:
            if key is not None:
                said[key].append(each)
    return said


def delete_rows(
    connection: Connection, table: str, survey_id: uuid.UUID, ids: Sequence[int]
) -> int:
    """Delete rows of a survey by id; return how many there were."""
    if not ids:
        return 0
    gone = connection.execute(
        text(f"DELETE FROM {table} WHERE survey_id = :survey_id AND id = ANY(:ids)"),
        {"survey_id": survey_id, "ids": list(ids)},
    )
    return gone.rowcount


def _page(
    connection: Connection,
    table: Literal["review", "reviewed_area"],
    survey_id: uuid.UUID,
    equal: Mapping[str, str],
    bbox: Bbox | None,
    limit: int,
    after: str | None,
) -> tuple[Sequence[Row[Any]], str | None]:
    check_limit(limit)
    get_survey(connection, survey_id)
    cursor = Cursor.read(after, order=table, key_type=str)
    conditions = ["survey_id = :survey_id", "digest > :digest"]
    conditions += [f"{name} = :{name}" for name in equal]
    parameters = {"survey_id": survey_id, "digest": cursor.key or "", "limit": limit + 1, **equal}
    if bbox is not None:
        conditions.append("ST_Intersects(geom, CAST(:area AS geometry))")
        parameters["area"] = geometry_value(box_area(bbox))
    rows = connection.execute(
        text(
            f"SELECT {_COLUMNS[table]} FROM {table} WHERE {' AND '.join(conditions)} "
            "ORDER BY digest LIMIT :limit"
        ),
        parameters,
    ).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return rows[:limit], None if last is None else cursor.at(last.digest, last.id)


def _review_rows(rows: Sequence[Row[Any]]) -> list[ReviewRow]:
    lines = geometries(rows, "shape")
    return [
        ReviewRow(
            **{name: value for name, value in row._mapping.items() if name != "shape"}, line=line
        )
        for row, line in zip(rows, lines, strict=True)
    ]


def _area_rows(rows: Sequence[Row[Any]]) -> list[AreaRow]:
    areas = geometries(rows, "shape")
    return [
        AreaRow(
            **{name: value for name, value in row._mapping.items() if name != "shape"}, area=area
        )
        for row, area in zip(rows, areas, strict=True)
    ]


_COMMON = "id, ST_AsBinary(geom) AS shape, digest, reviewer, note, reviewed_at"
_COLUMNS = {
    "review": f"{_COMMON}, verdict, crack_id, crack_digest, width_mm",
    "reviewed_area": _COMMON,
}

_ALL_REVIEWS = text(
    f"SELECT {_COLUMNS['review']} FROM review WHERE survey_id = :survey_id ORDER BY id"
)
_ALL_IDS = text("SELECT id FROM review WHERE survey_id = :survey_id")
_ALL_AREAS = text(
    f"SELECT {_COLUMNS['reviewed_area']} FROM reviewed_area WHERE survey_id = :survey_id ORDER BY id"
)

# From the few areas to their cracks: the other way round it looks at every crack of the survey.
_IN_AREAS = text("""
    SELECT DISTINCT ON (c.id) c.id, ST_AsBinary(c.geom) AS line
    FROM reviewed_area a
    JOIN crack c ON c.survey_id = a.survey_id AND ST_DWithin(a.geom, c.geom, :reach_deg)
    WHERE a.survey_id = :survey_id ORDER BY c.id
""")
