"""Reviews in the store: pages of them, and all that the labels of a survey are made of."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import shapely
from sqlalchemy import Connection, Row, text

from pavemap.geo.errors import NotFound
from pavemap.geo.store.bulk import geometries, geometry_value
from pavemap.geo.store.cursors import Cursor, check_limit
from pavemap.geo.store.places import Bbox, box_area
from pavemap.geo.store.surveys import get_survey
from pavemap.geo.verdict import Verdict


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
    """Of the course of the crack as it was found, of which the line may be a part."""
    reviewer: str
    note: str
    reviewed_at: datetime


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


def all_areas(connection: Connection, survey_id: uuid.UUID) -> list[AreaRow]:
    """Return all reviewed areas of a survey by id."""
    return _area_rows(connection.execute(_ALL_AREAS, {"survey_id": survey_id}).all())


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
_ALL_AREAS = text(
    f"SELECT {_COLUMNS['reviewed_area']} FROM reviewed_area WHERE survey_id = :survey_id ORDER BY id"
)
