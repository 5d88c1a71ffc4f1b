"""Pages of segments in order of any figure, the wide columns for one page only.

By density, by key and in a box a page is an index scan; by other figures all conditions of the survey are
sorted for it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypedDict, Unpack

import orjson
from sqlalchemy import Connection, Dialect, text

from pavemap.geo.errors import BadInput
from pavemap.geo.store import figures
from pavemap.geo.store.boxes import SEEN, UNSEEN, BoxFilter, Order, ranked, ranked_in_box
from pavemap.geo.store.bulk import driver
from pavemap.geo.store.cursors import Cursor, check_limit
from pavemap.geo.store.figures import Sort
from pavemap.geo.store.places import Bbox
from pavemap.geo.store.surveys import survey_version

DIGITS = 9
"""Decimals of a degree in GeoJSON: a tenth of a millimetre on the ground."""

NULLABLE_SORTS = {"density", *figures.NULLABLE}


class Asked(TypedDict, total=False):
    """Which segments, in which order, and where the page begins."""

    bbox: Bbox | None
    """west, south, east, north in degrees: centre-lines that meet it."""
    min_density: float | None
    """Leaves out segments without density too."""
    confident: bool | None
    """Only those whose figures rest on enough, or (False) on too little."""
    sort: Sort
    """`density` by default; segments without the figure come last in either direction."""
    descending: bool | None
    """None, the default, is the worst first, of keys the first."""
    limit: int
    """100 by default."""
    after: str | None
    """The cursor of the page before."""


@dataclass(frozen=True)
class SegmentFeature:
    """A segment with its figures as GeoJSON."""

    id: int
    json: bytes


def segment_features(
    connection: Connection,
    survey_id: uuid.UUID,
    *,
    geometry: Literal["pavement", "line"] = "pavement",
    **asked: Unpack[Asked],
) -> tuple[list[SegmentFeature], str | None]:
    """Return a page of a survey's segments, and the cursor of the next page or None at the end.

    Each segment is a GeoJSON feature in degrees. Raises NotFound for an unknown survey, BadInput for a bad
    box, sort or cursor, Conflict where the survey was measured anew since the page before.
    """
    rows, following = _page(connection, survey_id, _FEATURE_COLUMNS[geometry], **asked)
    return [_feature(row) for row in rows], following


def _feature(row: Sequence[Any]) -> SegmentFeature:
    properties = dict(zip(_NAMES, row, strict=False))
    if properties["r85"] is not None:
        properties["r85"] = orjson.Fragment(properties["r85"])
    shape = orjson.Fragment(row[len(_NAMES)])
    feature = {"type": "Feature", "id": row[0], "geometry": shape, "properties": properties}
    return SegmentFeature(row[0], orjson.dumps(feature))


def _fetched_in_binary(
    connection: Connection, statement: str, parameters: Mapping[str, Any]
) -> Sequence[tuple[Any, ...]]:
    """Fetch past SQLAlchemy: four thousand numbers as they are cost half of what they do as text."""
    with driver(connection).cursor(binary=True) as cursor:
        return cursor.execute(_in_psycopg(statement, connection.dialect), parameters).fetchall()


@lru_cache(maxsize=64)
def _in_psycopg(statement: str, dialect: Dialect) -> bytes:
    return str(text(statement).compile(dialect=dialect)).encode()


def _page(
    connection: Connection,
    survey_id: uuid.UUID,
    columns: str,
    *,
    bbox: Bbox | None = None,
    min_density: float | None = None,
    confident: bool | None = None,
    sort: Sort = "density",
    descending: bool | None = None,
    limit: int = 100,
    after: str | None = None,
) -> tuple[Sequence[Any], str | None]:
    """Return the rows of a page, each with its segment's id first and the figure sorted by last."""
    check_limit(limit)
    if sort not in _SORT_KEYS:
        raise BadInput(
            f"segments can't be sorted by '{sort}'; choose one of {', '.join(_SORT_KEYS)}"
        )
    if descending is None:
        descending = sort not in LOWEST_FIRST
    cursor = Cursor.read(
        after,
        order=f"{sort}-{'desc' if descending else 'asc'}",
        key_type=str if sort == "segment_key" else float,
        version=survey_version(connection, survey_id),
    )
    box = None if bbox is None else BoxFilter.of(bbox)
    parameters: dict[str, Any] = {
        "survey_id": survey_id,
        "min_density": min_density,
        "key": cursor.key,
        "id": cursor.id,
        **({} if box is None else box.parameters),
    }
    rows: list[Any] = []
    least = min_density is not None
    for order in _orders(sort, descending=descending, cursor=cursor, least=least):
        statement = _statement(columns, sort, order, box=box, least=least, confident=confident)
        parameters["limit"] = limit + 1 - len(rows)
        rows += _fetched_in_binary(connection, statement, parameters)
        if len(rows) > limit:
            break
    cursor.check(survey_version(connection, survey_id))  # measured anew while this was read?
    page = rows[:limit]
    following = None
    if len(rows) > limit:
        following = cursor.at(page[-1][-1], page[-1][0])
    return page, following


_BEGIN = Cursor("density-desc")

LOWEST_FIRST = frozenset({"pci_cracking", "coverage", "segment_key"})
"""Figures that are the worse the lower they are, and keys, which have no worst."""

_SORT_KEYS: dict[str, str] = {
    "density": "c.density_m_per_m2",
    "segment_key": "s.segment_key",
    "coverage": "c.coverage",
    "length_m": "s.length_m",
    **{name: f"c.{name}" for name in figures.NULLABLE if name != "density_m_per_m2"},
}

_PROPERTIES = f"""c.segment_id, s.segment_key, s.road_key, s.name, s.from_m, s.to_m, s.length_m,
    s.width_m, s.width_source, s.lanes, s.oneway, s.surface, {figures.COLUMNS}"""

_NAMES = [column.strip()[2:] for column in _PROPERTIES.split(",")]
_FEATURE_COLUMNS = {  # the server writes as JSON what is long, or is that already
    geometry: _PROPERTIES.replace("c.r85", "CAST(c.r85 AS text)")
    + f", ST_AsGeoJSON({column}, {DIGITS}, 0)"
    # Rings counter-clockwise, as GeoJSON has them (RFC 7946, section 3.1.6).
    for geometry, column in (("pavement", "ST_ForcePolygonCCW(s.pavement)"), ("line", "s.geom"))
}


def _orders(sort: Sort, *, descending: bool, cursor: Cursor, least: bool) -> Iterator[Order]:
    """Yield the parts of a list that a page is filled from, one after the other.

    First those with the figure, then, only if that was too few, those without: by segment alone.
    """
    direction, beyond = ("DESC", "<") if descending else ("ASC", ">")
    begun = cursor.id is not None
    if not begun or cursor.key is not None:
        wanted = [SEEN]
        if begun:
            # A key is one segment's alone; and an index of another table can't start at a pair.
            alone = sort == "segment_key"
            wanted.append(
                f"{{key}} {beyond} :key"
                if alone
                else f"({{key}}, c.segment_id) {beyond} (:key, :id)"
            )
        if least and sort == "density":
            wanted.append("{key} >= :min_density")
        yield Order(direction, wanted)
    if sort in NULLABLE_SORTS and not (least and sort == "density"):
        wanted = [UNSEEN]
        if begun and cursor.key is None:
            wanted.append(f"c.segment_id {beyond} :id")
        yield Order(direction, wanted)


def worst_statement(box: BoxFilter | None, *, cursor: Cursor = _BEGIN) -> str:
    """Return what is asked first for a page by density, to look at its plan."""
    order, *_ = _orders("density", descending=True, cursor=cursor, least=False)
    return _statement(_FEATURE_COLUMNS["pavement"], "density", order, box=box)


def _statement(
    columns: str,
    sort: Sort,
    order: Order,
    *,
    box: BoxFilter | None,
    least: bool = False,
    confident: bool | None = None,
) -> str:
    """Return SQL for :limit rows; the wide columns are fetched for these only.

    There is one way to do that, by key, row by row: OFFSET spares the server the weighing of others.
    """
    if sort == "density" and box is not None and confident is None:
        page = ranked_in_box([order], box)
    else:
        wanted = []
        if least and sort != "density":
            wanted.append("c.density_m_per_m2 >= :min_density")
        if confident is not None:
            wanted.append("c.confident" if confident else "NOT c.confident")
        page = ranked(order, _source(sort, box, wanted), key=_SORT_KEYS[sort])
    return f"""
        WITH {page}
        SELECT {columns}, page.sort_key
        FROM page, LATERAL (
            SELECT * FROM condition c
            WHERE c.survey_id = :survey_id AND c.segment_id = page.segment_id OFFSET 0) AS c, LATERAL (
            SELECT s.*, (SELECT r.road_key FROM road r WHERE r.id = s.road_id) AS road_key
            FROM segment s WHERE s.id = page.segment_id OFFSET 0) AS s
        ORDER BY page.sort_key {order.direction} NULLS LAST, page.segment_id {order.direction}
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
