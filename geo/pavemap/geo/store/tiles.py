"""Vector tiles of a survey (Mapbox Vector Tile 2.1), made by PostGIS: segments, and cracks when near.

A tile never grows past what a map can show: it holds the worst segments of its ground and the longest
cracks, each up to a number that depends on the zoom, with lines as fine as the tile's grid.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from pavemap.geo.errors import BadInput
from pavemap.geo.store.boxes import SEEN, UNSEEN, BoxFilter, Order, ranked_in_box
from pavemap.geo.store.places import Bbox

MIN_ZOOM = 4
"""Farther out even a country's network is a spot."""

MAX_ZOOM = 22
CRACKS_ZOOM = 16
"""Cracks are drawn from here on: a tile is 600 m wide at the equator."""

WHOLE_ZOOM = 14
"""From here on a tile's ground, 2.4 km at the equator, has few enough segments for all of them."""

FAR_SEGMENTS, NEAR_SEGMENTS, CRACKS = 1_000, 4_000, 4_000
"""At most so many in a tile: below WHOLE_ZOOM, from it on, and cracks from CRACKS_ZOOM on."""

EXTENT = 4096
MANY = 25_000
"""As `boxes.MANY`, for FAR_SEGMENTS."""

MARGIN = 64
"""Grid steps by which lines go on beyond the tile's edge, so that no line's end shows there."""

MERCATOR_M = 40_075_016.68557849
"""Width of the world in EPSG:3857."""

SEGMENT_FIELDS = {
    "segment_key": "the segment's key",
    "road_key": "the road's key, from zoom 14",
    "name": "the road's name, from zoom 14",
    "density_m_per_m2": "crack length over imaged pavement; missing where nothing was imaged",
    "coverage": "imaged share of the pavement, 0 to 1",
    "crack_length_m": "length of all cracks, metres",
    "cracked_area_m2": "area of all cracks, square metres",
    "crack_count": "number of cracks",
    "imaged_m2": "imaged pavement, square metres",
    "pavement_m2": "pavement, square metres",
    "reason": "why most of what was not imaged was not",
}
NEAR_FIELDS = ("road_key", "name")
"""Left out below WHOLE_ZOOM, where nobody reads names: a fifth of such a tile's time and size."""

CRACK_FIELDS = {
    "length_m": "length, metres",
    "width_mean_mm": "mean width, millimetres",
    "width_p95_mm": "width that 95 % of the length does not exceed, millimetres",
    "width_max_mm": "largest width, millimetres",
    "area_m2": "area, square metres",
    "confidence": "mean probability along it, 0 to 1; missing where that is not known",
}


@dataclass(frozen=True)
class Tile:
    """A square of the web map's pyramid: zoom, column from the west, row from the north."""

    z: int
    x: int
    y: int

    def __post_init__(self) -> None:
        """Refuse what is not in the pyramid. Raises BadInput."""
        side = 2**self.z
        if not (0 <= self.z <= MAX_ZOOM and 0 <= self.x < side and 0 <= self.y < side):
            raise BadInput(
                f"there is no tile {self.z}/{self.x}/{self.y}; zooms go from 0 to {MAX_ZOOM}, columns "
                "and rows to 2^zoom - 1"
            )

    def bounds(self, *, margin: float = 0.0) -> Bbox:
        """Return west, south, east, north in degrees, with a margin in tile widths."""
        west, east = (self._longitude(self.x + step) for step in (-margin, 1.0 + margin))
        north, south = (self._latitude(self.y + step) for step in (-margin, 1.0 + margin))
        return west, south, east, north

    def _longitude(self, column: float) -> float:
        return 360.0 * column / float(2**self.z) - 180.0

    def _latitude(self, row: float) -> float:
        """Return the latitude of web mercator (EPSG:3857, on the sphere) of a row's upper edge."""
        return math.degrees(math.atan(math.sinh(math.pi * (1.0 - 2.0 * row / 2**self.z))))


def survey_tile(connection: Connection, survey_id: uuid.UUID, tile: Tile) -> bytes:
    """Return a tile's bytes, empty where there is nothing, layers `segments` and `cracks`.

    `segments` are centre-lines, by density, with SEGMENT_FIELDS and their id; `cracks`, from
    CRACKS_ZOOM on, lines with CRACK_FIELDS and theirs.
    """
    if tile.z < MIN_ZOOM:
        return b""
    statement, parameters = tile_statement(survey_id, tile)
    return bytes(connection.execute(text(statement), parameters).scalar_one())


def tile_statement(survey_id: uuid.UUID, tile: Tile) -> tuple[str, dict[str, Any]]:
    """Return the query of a tile, and its parameters."""
    box = BoxFilter.of(tile.bounds(margin=MARGIN / EXTENT))
    parameters: dict[str, Any] = {
        "survey_id": survey_id,
        "z": tile.z,
        "x": tile.x,
        "y": tile.y,
        "step_deg": 360.0 / 2**tile.z / EXTENT,
        "limit": FAR_SEGMENTS if tile.z < WHOLE_ZOOM else NEAR_SEGMENTS,
        "cracks": CRACKS,
        **box.parameters,
    }
    layers = [_layer("segments", _segments(box, named=tile.z >= WHOLE_ZOOM), "id")]
    if tile.z >= CRACKS_ZOOM:
        layers.append(_layer("cracks", _CRACKS, "id"))
    return f"SELECT {' || '.join(layers)}", parameters


def _layer(name: str, rows: str, identifier: str) -> str:
    return f"""(SELECT ST_AsMVT(feature, '{name}', {EXTENT}, 'geom', '{identifier}')
        FROM ({rows}) AS feature WHERE geom IS NOT NULL)"""


def _drawn(line: str) -> str:
    """Return SQL that brings a line to the tile's grid; simplified first, so that less is moved.

    A line that would fall together into one point of the grid is drawn one or two steps long.
    """
    moved, start = (
        f"ST_Transform({each}, 3857)"
        for each in (
            f"ST_Simplify(ST_Force2D({line}), :step_deg, true)",
            f"ST_StartPoint(ST_Force2D({line}))",
        )
    )
    short = (
        f"ST_MakeLine({start}, ST_Translate({start}, 2.0 * {MERCATOR_M} * :step_deg / 360.0, 0.0))"
    )
    return f"coalesce({_on_grid(moved)}, {_on_grid(short)}) AS geom"


def _on_grid(line: str) -> str:
    return f"ST_AsMVTGeom({line}, ST_TileEnvelope(:z, :x, :y), {EXTENT}, {MARGIN})"


def _segments(box: BoxFilter, *, named: bool) -> str:
    orders = [Order("DESC", [SEEN]), Order("DESC", [UNSEEN])]
    owner = {"segment_key": "s", "name": "s", "road_key": "r"}
    fields = [field for field in SEGMENT_FIELDS if named or field not in NEAR_FIELDS]
    columns = ", ".join(f"{owner.get(field, 'c')}.{field}" for field in fields)
    return f"""
        WITH {ranked_in_box(orders, box, exact=False, many=MANY)}
        SELECT c.segment_id AS id, {columns}, {_drawn("s.geom")}
        FROM page
        JOIN condition c ON c.survey_id = :survey_id AND c.segment_id = page.segment_id
        JOIN segment s ON s.id = page.segment_id
        {"JOIN road r ON r.id = s.road_id" if named else ""}"""


_CRACKS = f"""
    SELECT id, {", ".join(CRACK_FIELDS)}, {_drawn("geom")}
    FROM (SELECT * FROM crack
          WHERE survey_id = :survey_id AND geom && CAST(:area AS geometry)
          ORDER BY length_m DESC, id LIMIT :cracks) AS longest"""
