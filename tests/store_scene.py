"""A road, its imagery and what a detector would find there, small enough to be counted by hand.

The road runs east from (X, Y + 5), 8 m wide, in segments of 100 m; cells are 10 m wide, so the road
lies in the middle of one row of cells, ten to a segment. One crack runs along the centre-line, 4 mm
wide; it enters and leaves every cell. No file is read: the store only knows of footprints.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import geopandas
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from sqlalchemy import Connection

from pavemap.geo.crs import WGS84, ground_scale, reproject
from pavemap.geo.grid import Cell, Grid
from pavemap.geo.imagery.orthophoto import Orthophoto, outline
from pavemap.geo.store import model_versions, networks, orthophotos, planning, surveys
from pavemap.geo.store.networks import NetworkRow
from pavemap.geo.store.orthophotos import OrthophotoRow
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.survey_cell import CellResult
from pavemap.geo.vectorizing.trust import Trust

UTM = CRS.from_epsg(32633)
X, Y = 400_000.0, 5_800_000.0
COL, ROW = 40_000, 580_000
"""The cell in whose lower left corner (X, Y) lies."""

CELL_M, ROAD_M, WIDTH_M, SEGMENT_M = 10.0, 500.0, 8.0, 100.0
CRACK_MM = 4.0
CONFIDENCE, SURE_SHARE = 0.75, 0.5
GRID = Grid(UTM, 0.0125, cell_px=800, halo_px=64)
SCALE = ground_scale(UTM, X + ROAD_M / 2.0, Y + 5.0)
"""Over 500 m it changes by 1e-6: one number will do."""

CELL_PAVEMENT_M2 = CELL_M * WIDTH_M / SCALE**2
SEGMENT_PAVEMENT_M2 = SEGMENT_M * WIDTH_M / SCALE**2


@dataclass(frozen=True)
class Frames:
    """A network as `roads` and `segments` make it."""

    roads: geopandas.GeoDataFrame
    segments: geopandas.GeoDataFrame


def road_frames(*, roads: int = 1, length_m: float = ROAD_M) -> Frames:
    """Lay parallel roads, 100 m apart, the first through Y + 5."""
    line_rows, segment_rows = [], []
    lines, centre_lines, pavements = [], [], []
    for road in range(roads):
        key, middle = f"A{road + 1}", Y + 5.0 + 100.0 * road
        lines.append(shapely.LineString([(X, middle), (X + length_m, middle)]))
        facts = {"width_source": "field", "lanes": 2, "oneway": False, "surface": "asphalt"}
        line_rows.append(
            {"road_key": key, "name": f"Street {road + 1}", "width_m": WIDTH_M, **facts}
        )
        for start in np.arange(0.0, length_m, SEGMENT_M):
            west, east = X + start, X + start + SEGMENT_M
            centre_lines.append(shapely.LineString([(west, middle), (east, middle)]))
            low, high = middle - WIDTH_M / 2.0, middle + WIDTH_M / 2.0
            pavements.append(shapely.MultiPolygon([shapely.box(west, low, east, high)]))
            segment_rows.append(
                {
                    "segment_key": f"{key}:{start:g}",
                    "road_key": key,
                    "name": f"Street {road + 1}",
                    "from_m": start / SCALE,
                    "to_m": (start + SEGMENT_M) / SCALE,
                    "length_m": SEGMENT_M / SCALE,
                    "width_m": WIDTH_M,
                    **facts,
                    "lineage": None,
                    "pavement_m2": SEGMENT_PAVEMENT_M2,
                }
            )
    segments = geopandas.GeoDataFrame(segment_rows, geometry=_degrees(pavements), crs=WGS84)
    segments["line"] = geopandas.GeoSeries(_degrees(centre_lines), crs=WGS84)
    return Frames(geopandas.GeoDataFrame(line_rows, geometry=_degrees(lines), crs=WGS84), segments)


def add_road(
    connection: Connection, *, name: str = "Town", roads: int = 1, length_m: float = ROAD_M
) -> NetworkRow:
    """Store the network of parallel roads."""
    frames = road_frames(roads=roads, length_m=length_m)
    network, _ = networks.add_network(
        connection,
        name=name,
        digest=hashlib.sha256(f"{roads} {length_m}".encode()).hexdigest(),
        source_crs="EPSG:32633",
        segment_length_m=SEGMENT_M,
        roads=frames.roads,
        segments=frames.segments,
    )
    return network


def add_survey(
    connection: Connection,
    *,
    name: str = "Spring",
    roads: int = 1,
    length_m: float = ROAD_M,
    network: str = "Town",
) -> SurveyRow:
    """Store a survey of the road, with its network and model, without imagery."""
    stored = add_road(connection, name=network, roads=roads, length_m=length_m)
    model = model_versions.add_model(
        connection, name="tiny", digest="0123456789abcdef", card={"gsd_m": 0.0125}, uri="tiny/"
    )
    return surveys.create_survey(
        connection,
        surveys.NewSurvey(
            name=name,
            network_id=stored.id,
            model_id=model.id,
            crs="EPSG:32633",
            gsd_m=GRID.gsd_m,
            cell_px=GRID.cell_px,
            halo_px=GRID.halo_px,
            params={"threshold": 0.5},
        ),
    )


def orthophoto(
    name: str, *, from_m: float = 0.0, to_m: float = ROAD_M, road: int = 0
) -> Orthophoto:
    """Make an orthophoto of a stretch of a road: its row of cells, no file behind it."""
    gsd_m = GRID.gsd_m
    transform = Affine(gsd_m, 0.0, X + from_m, 0.0, -gsd_m, Y + CELL_M + 100.0 * road)
    width, height = round((to_m - from_m) / gsd_m), round(CELL_M / gsd_m)
    return Orthophoto(
        name=name,
        path="",
        crs=UTM,
        transform=transform,
        width=width,
        height=height,
        count=3,
        dtype="uint8",
        gsd_m=gsd_m / SCALE,
        footprint=outline(transform, width, height, source=UTM, target=WGS84),
        band_use="rgb",
        mask_kind="none",
    )


def add_imagery(
    connection: Connection,
    survey_id: uuid.UUID,
    *,
    from_m: float = 0.0,
    to_m: float = ROAD_M,
    name: str = "all.tif",
    content: str | None = None,
    road: int = 0,
) -> OrthophotoRow:
    """Register an orthophoto of a stretch of a road; `content` stands for its bytes."""
    sha256 = hashlib.sha256((content or name).encode()).hexdigest()
    row, _ = orthophotos.add_orthophoto(
        connection,
        survey_id=survey_id,
        name=name,
        sha256=sha256,
        bytes=1000,
        key=f"orthophotos/{survey_id}/{sha256}.tif",
        info=orthophoto(name, from_m=from_m, to_m=to_m, road=road),
        warnings=["coarse"],
    )
    return row


def planned_survey(connection: Connection, *, to_m: float = ROAD_M) -> SurveyRow:
    """Store a survey with imagery of the road's first `to_m` metres, planned."""
    survey = add_survey(connection)
    add_imagery(connection, survey.id, to_m=to_m)
    planning.plan_cells(connection, survey)
    return surveys.get_survey(connection, survey.id)


def found_in(cell: Cell, segments: NDArray[np.int64], *, imaged: float = 1.0) -> CellResult:
    """Return what a detector finds in a cell of the road: the crack, end to end.

    `segments` are the ids of the road's segments in order; `imaged` is the share that was seen, from
    the west.
    """
    west, south, east, north = GRID.bounds(cell)
    middle = cell.row * CELL_M + CELL_M / 2.0
    segment = int(segments[(cell.col - COL) // 10])
    line = shapely.LineString([(west, middle, CRACK_MM), (east, middle, CRACK_MM)])
    seen_m2 = imaged * CELL_PAVEMENT_M2
    lines = np.array([line] if imaged else [], dtype=object)
    return CellResult(
        lines=lines,
        imaged={segment: seen_m2},
        imaged_m2=seen_m2,
        seconds={},
        imaged_part=None if imaged == 1.0 else _part(west, south, west + imaged * CELL_M, north),
        trust=Trust(np.full(len(lines), CONFIDENCE), np.full(len(lines), SURE_SHARE)),
    )


def _part(west: float, south: float, east: float, north: float) -> shapely.MultiPolygon:
    return shapely.MultiPolygon([shapely.box(west, south, east, north)] if east > west else [])


def _degrees(geometries: Sequence[shapely.Geometry]) -> NDArray[np.object_]:
    moved: NDArray[np.object_] = reproject(np.array(geometries, dtype=object), UTM, WGS84)
    return moved
