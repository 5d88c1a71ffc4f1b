"""Pages of segments in order of any figure: index scans, and the wide columns for one page only."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import shapely
from sqlalchemy import Connection, Row, text

from pavemap.geo.errors import BadInput
from pavemap.geo.store import figures
from pavemap.geo.store.boxes import BoxFilter, Order, ranked, ranked_in_box
from pavemap.geo.store.cursors import Cursor
from pavemap.geo.store.figures import Figures, Sort
from pavemap.geo.store.places import Bbox
from pavemap.geo.store.surveys import get_survey

MAX_PAGE = 10_000

NULLABLE_SORTS = {"density", *figures.NULLABLE}


@dataclass(frozen=True, kw_only=True)
class SegmentCondition(Figures):
    """A segment and its figures in one survey."""

    segment_id: int
    segment_key: str
    road_key: str
    name: str
    from_m: float
    to_m: float
    length_m: float
    width_m: float
    width_source: str
    lanes: int | None
    oneway: bool
    surface: str
    line: shapely.LineString
    """The centre-line, in degrees."""
    pavement: shapely.MultiPolygon
    """In degrees."""


def segments_page(
    connection: Connection,
    survey_id: uuid.UUID,
    *,
    bbox: Bbox | None = None,
    min_density: float | None = None,
    confident: bool | None = None,
    sort: Sort = "density",
    descending: bool = True,
    limit: int = 100,
    after: str | None = None,
) -> tuple[list[SegmentCondition], str | None]:
    """Return a page of a survey's segments, and the cursor of the next page or None at the end.

    `bbox` is west, south, east, north in degrees and asks for centre-lines that meet it. Segments
    without the figure sorted by come last in either direction; `min_density` leaves out those without
    density, `confident` those whose figures rest on too little (or, False, on enough).

    Raises NotFound for an unknown survey, BadInput for a bad box, sort or cursor.
    """
    check_limit(limit)
    if sort not in _SORT_KEYS:
        raise BadInput(
            f"segments can't be sorted by '{sort}'; choose one of {', '.join(_SORT_KEYS)}"
        )
    cursor = Cursor.read(
        after,
        order=f"{sort}-{'desc' if descending else 'asc'}",
        key_type=str if sort == "segment_key" else float,
    )
    box = None if bbox is None else BoxFilter.of(bbox)
    parameters: dict[str, Any] = {"survey_id": survey_id, "limit": limit + 1}
    if box is not None:
        parameters |= box.parameters
    if min_density is not None:
        parameters["min_density"] = min_density
    if cursor.id is not None:
        parameters |= {"id": cursor.id} | ({} if cursor.key is None else {"key": cursor.key})
    statement = _segments_statement(
        sort,
        descending=descending,
        cursor=cursor,
        box=box,
        least=min_density is not None,
        confident=confident,
    )
    rows = connection.execute(text(statement), parameters).all()
    if not rows:
        get_survey(connection, survey_id)
    page = rows[:limit]
    following = None
    if len(rows) > limit:
        following = cursor.at(page[-1].sort_key, page[-1].segment_id)
    return _segment_conditions(page), following


_SORT_KEYS: dict[str, str] = {
    "density": "c.density_m_per_m2",
    "segment_key": "s.segment_key",
    "coverage": "c.coverage",
    "length_m": "s.length_m",
    **{name: f"c.{name}" for name in figures.NULLABLE if name != "density_m_per_m2"},
}

_SEGMENT_COLUMNS = (
    """c.segment_id, s.segment_key, r.road_key, s.name, s.from_m, s.to_m, s.length_m,
    s.width_m, s.width_source, s.lanes, s.oneway, s.surface,
    ST_AsBinary(s.geom) AS line, ST_AsBinary(s.pavement) AS pavement, """
    + figures.COLUMNS
)


def _segments_statement(
    sort: Sort,
    *,
    descending: bool,
    cursor: Cursor,
    box: BoxFilter | None,
    least: bool,
    confident: bool | None = None,
) -> str:
    """Return SQL for one page; the wide columns are fetched for the page's rows only."""
    direction, beyond = ("DESC", "<") if descending else ("ASC", ">")
    keyed: str | None = ""
    nulls = "" if sort in NULLABLE_SORTS and not (sort == "density" and least) else None
    if cursor.id is not None and cursor.key is not None:
        keyed = f"({{key}}, c.segment_id) {beyond} (:key, :id)"
    elif cursor.id is not None:
        keyed, nulls = None, f"c.segment_id {beyond} :id"
    order = Order(direction, keyed=keyed, nulls=nulls)
    if sort == "density" and box is not None and confident is None:
        at_least = "{key} >= :min_density" if least else ""
        page = ranked_in_box(order, box, at_least=at_least)
    else:
        wanted = ["c.density_m_per_m2 >= :min_density"] if least else []
        if confident is not None:
            wanted.append("c.confident" if confident else "NOT c.confident")
        page = ranked(order, _source(sort, box, wanted), key=_SORT_KEYS[sort])
    return f"""
        WITH {page}
        SELECT {_SEGMENT_COLUMNS}, page.sort_key
        FROM page
        JOIN condition c ON c.survey_id = :survey_id AND c.segment_id = page.segment_id
        JOIN segment s ON s.id = c.segment_id
        JOIN road r ON r.id = s.road_id
        ORDER BY page.sort_key {direction} NULLS LAST, page.segment_id {direction}
    """


def _source(sort: Sort, box: BoxFilter | None, wanted: Sequence[str]) -> str:
    """Return the tables of a page that no index on density and place answers, and its conditions."""
    joined = "JOIN segment s ON s.id = c.segment_id"
    where = " AND ".join(["c.survey_id = :survey_id", *wanted])
    if sort == "density" and box is None:
        return f"condition c WHERE {where}"
    if sort == "segment_key":  # lets the index of keys, which begins with the network, be walked
        where += " AND s.network_id = (SELECT network_id FROM survey WHERE id = :survey_id)"
    if box is not None:
        where += f" AND {box.sql} AND ST_Intersects(s.geom, CAST(:area AS geometry))"
    return f"condition c {joined} WHERE {where}"


def _segment_conditions(rows: Sequence[Row[Any]]) -> list[SegmentCondition]:
    if not rows:
        return []
    names = rows[0]._fields[:-1]  # the last is the sort key
    lines, pavements = geometries(rows, "line"), geometries(rows, "pavement")
    return [
        SegmentCondition(
            **dict(zip(names, row[:-1], strict=True)) | {"line": line, "pavement": pavement}
        )
        for row, line, pavement in zip(rows, lines, pavements, strict=True)
    ]


def geometries(rows: Sequence[Row[Any]], name: str) -> list[Any]:
    return list(shapely.from_wkb([getattr(row, name) for row in rows]))


def check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_PAGE:
        raise BadInput(
            f"a page has 1 to {MAX_PAGE} rows, not {limit}; ask for the next page instead"
        )
