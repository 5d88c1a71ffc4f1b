"""A survey without server, database or Ray: the same cells, stitching and measures, in one go."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import geopandas as gpd
import shapely
from pyproj import CRS

from pavemap.geo.arrays import Objects
from pavemap.geo.crs import WGS84, ground_gsd_in, reproject
from pavemap.geo.errors import BadInput
from pavemap.geo.grid import Cell, Grid
from pavemap.geo.survey_cell import EDGE_PX, Detect, Reader
from pavemap.geo.vectorizing.vectorize import VectorizeParams
from pavemap.platform.file_survey.file_cells import survey_cells
from pavemap.platform.file_survey.file_tables import by_segment, crack_table, moved
from pavemap.platform.file_survey.seen_ground import SeenGround


class Ground(Reader, Protocol):
    """What is surveyed: windows of pixels, and where there are any."""

    @property
    def footprints(self) -> Objects:
        """Polygons in the grid's CRS."""


@dataclass(frozen=True, kw_only=True)
class FileSurvey:
    """What was found: tables in EPSG:4326 with the columns of `export_layers.LAYERS`, and what it took.

    model is the version that found it, or the file that was given instead of one.
    cracks are, where there are roads, those on their pavement.
    segments and pieces are None without roads. gsd_m is the pixel of the grid in true ground metres, in
    the middle of the imagery. seconds are those of all threads together. warnings say what should be
    looked at before the figures are used.
    """

    model: str
    crs: CRS
    gsd_m: float
    cells: int
    mpx: float
    """Megapixels that went through the network, halos included."""
    imaged_m2: float
    cracks: gpd.GeoDataFrame
    segments: gpd.GeoDataFrame | None
    pieces: gpd.GeoDataFrame | None
    seen: SeenGround
    """What was imaged, where there are segments of their pavement."""
    seconds: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    warnings: tuple[str, ...] = ()

    @property
    def crack_length_m(self) -> float:
        """Metres of crack on the surveyed ground: pavement, where there are roads."""
        table = self.cracks if self.pieces is None else self.pieces
        return float(table["length_m"].sum())

    @property
    def density_m_per_m2(self) -> float | None:
        """Crack length by imaged area, None where nothing was imaged."""
        return self.crack_length_m / self.imaged_m2 if self.imaged_m2 > 0.0 else None

    def speeds(self) -> dict[str, float]:
        """Return megapixels a second by stage, and over all by the clock on the wall."""
        stages = {name: self.mpx / spent for name, spent in self.seconds.items() if spent > 0.0}
        return {**stages, "overall": self.mpx / max(self.wall_s, 1e-9)}


def survey_mosaic(
    mosaic: Ground,
    *,
    grid: Grid,
    detect: Detect,
    params: VectorizeParams,
    source: str,
    segments: gpd.GeoDataFrame | None = None,
    edge_px: int = EDGE_PX,
    shift: tuple[float, float] = (0.0, 0.0),
    on_cell: Callable[[int, int], None] | None = None,
) -> FileSurvey:
    """Find the cracks of any ground on a grid; `source` is what they are said to be found by.

    Cells are stitched as they come, so that besides the cracks only those are held that may still go
    on. shift: how far (x, y) in the CRS all cracks are moved at the end, for ground that was moved onto
    the grid. `segments` are those of `pavemap.geo.roads.segments.segment_network`; `on_cell` hears the
    number of cells done and of all. Raises BadInput when imagery and roads do not meet.
    """
    started = time.perf_counter()
    pavements: Objects | None = None
    if segments is not None:
        pavements = reproject(segments.geometry.to_numpy(), WGS84, grid.crs)
    totals = survey_cells(
        _cells(grid, mosaic, pavements),
        mosaic,
        grid=grid,
        pavements=pavements,
        detect=detect,
        params=params,
        edge_px=edge_px,
        on_cell=on_cell,
    )
    surveyed = time.perf_counter()
    found = totals.cracks()
    lines = moved(found.lines, shift)
    seen = SeenGround(grid=grid, parts=totals.parts)
    pieces, figures, imaged_m2 = None, None, totals.imaged_m2
    if segments is not None and pavements is not None:
        pieces, figures = by_segment(
            lines, segments, pavements, totals, mosaic.footprints, seen=seen
        )
        imaged_m2 = float(figures["imaged_m2"].sum())
    cracks = crack_table(lines, grid.crs, source=source, confidence=found.confidence)
    if pieces is not None:
        cracks = cracks[cracks["crack_id"].isin(pieces["crack_id"])].reset_index(drop=True)
    now = time.perf_counter()
    return FileSurvey(
        model=source,
        crs=grid.crs,
        gsd_m=_ground_gsd_m(grid, mosaic),
        cells=totals.cells,
        mpx=totals.mpx,
        imaged_m2=imaged_m2,
        cracks=cracks,
        segments=figures,
        pieces=pieces,
        seen=seen,
        seconds={**totals.seconds, "measure": now - surveyed},
        wall_s=now - started,
    )


def _ground_gsd_m(grid: Grid, mosaic: Ground) -> float:
    west, south, east, north = shapely.total_bounds(reproject(mosaic.footprints, grid.crs, WGS84))
    return ground_gsd_in((west, south, east, north), grid.gsd_m, grid.crs)


def _cells(grid: Grid, mosaic: Ground, pavements: Objects | None) -> list[Cell]:
    """Return the cells where there is imagery and, with roads, pavement."""
    imaged = grid.cells_meeting(mosaic.footprints)
    if pavements is None:
        return imaged
    shown = pavements[
        shapely.STRtree(pavements).query(mosaic.footprints, predicate="intersects")[1]
    ]
    cells = sorted(set(imaged) & set(grid.cells_meeting(shown)))
    if not cells:
        raise BadInput(
            "the imagery shows none of the roads; check the CRS of both, or leave the roads out"
        )
    return cells
