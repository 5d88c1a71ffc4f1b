"""A survey of files without server, database or Ray: the same cells, stitching and measures, in one go."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.crs import (
    WGS84,
    ground_gsd_in,
    gsd_in_crs,
    middle_of,
    reproject,
    working_crs,
    wrapped,
)
from pavemap.geo.errors import BadInput
from pavemap.geo.grid import LEAST_HALO_PX, Cell, Grid, check_gsd, halo_for
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.imagery.orthophoto import Orthophoto
from pavemap.geo.imagery.raster import inspect
from pavemap.geo.survey_cell import EDGE_PX, CellResult, Detect, Pavements, Reader, survey_cell
from pavemap.geo.vectorizing.vectorize import VectorizeParams
from pavemap.platform.file_survey.file_cells import TimedDetector, Totals, in_parallel
from pavemap.platform.file_survey.file_measures import SeenGround
from pavemap.platform.file_survey.file_tables import by_segment, crack_table, moved

if TYPE_CHECKING:
    from pavemap.training.models.card import ModelCard


class Ground(Reader, Protocol):
    """What is surveyed: windows of pixels, and where there are any."""

    @property
    def footprints(self) -> NDArray[np.object_]:
        """Polygons in the grid's CRS."""


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """How to survey; None is what the model's card says, or for the CRS the UTM zone.

    The halo is larger where the model sees farther.
    """

    gsd_m: float | None = None
    threshold: float | None = None
    crs: CRS | None = None
    cell_px: int = 2048
    halo_px: int = LEAST_HALO_PX

    def __post_init__(self) -> None:
        """Refuse a pixel that has no size. Raises BadInput."""
        if self.gsd_m is not None:
            check_gsd(self.gsd_m)


@dataclass(frozen=True, kw_only=True)
class FileSurvey:
    """What was found: tables in EPSG:4326 with the columns of `export_layers.LAYERS`, and what it took.

    model is the version that found it, or the file that was given instead of one.
    segments and pieces are None without roads. density_m_per_m2 is crack length on the surveyed
    ground by its imaged area, None where nothing was imaged. gsd_m is the pixel of the grid in true
    ground metres, in the middle of the imagery. seconds are those of all threads together. warnings say
    what should be looked at before the figures are used.
    """

    model: str
    crs: CRS
    gsd_m: float
    cells: int
    mpx: float
    """Megapixels that went through the network, halos included."""
    imaged_m2: float
    crack_length_m: float
    density_m_per_m2: float | None
    cracks: gpd.GeoDataFrame
    segments: gpd.GeoDataFrame | None
    pieces: gpd.GeoDataFrame | None
    seen: SeenGround
    """What was imaged, where there are segments of their pavement."""
    seconds: dict[str, float] = field(default_factory=dict)
    wall_s: float = 0.0
    warnings: tuple[str, ...] = ()

    def speeds(self) -> dict[str, float]:
        """Return megapixels a second by stage, and over all by the clock on the wall."""
        stages = {name: self.mpx / spent for name, spent in self.seconds.items() if spent > 0.0}
        return {**stages, "overall": self.mpx / max(self.wall_s, 1e-9)}


def read_orthophotos(paths: Sequence[Path]) -> list[Orthophoto]:
    """Inspect files; raises what `pavemap.geo.imagery.raster.inspect` does, naming the file by its path."""
    return [replace(inspect(path, name=str(path)), name=path.name) for path in paths]


def survey_files(
    photos: Sequence[Orthophoto],
    *,
    card: ModelCard,
    detect: Detect,
    segments: gpd.GeoDataFrame | None = None,
    options: DetectOptions | None = None,
    on_cell: Callable[[int, int], None] | None = None,
) -> FileSurvey:
    """Find the cracks of a mosaic of orthophotos, on the pavement of `segments` where they are given.

    `segments` are those of `pavemap.geo.roads.segments.segment_network`; `on_cell` hears the number of
    cells done and of all. Memory is bounded by the cells in work and the cracks found, whatever the files.
    Raises BadInput when imagery and roads do not meet.
    """
    options = options or DetectOptions()
    grid, mosaic = _laid_out(photos, card, options)
    threshold = card.threshold if options.threshold is None else options.threshold
    return survey_mosaic(
        mosaic,
        grid=grid,
        detect=detect,
        params=VectorizeParams.from_dict({**card.vectorize, "threshold": threshold}),
        source=card.model_id,
        segments=segments,
        on_cell=on_cell,
    )


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
    the grid. See `survey_files` for the rest.
    """
    started = time.perf_counter()
    pavements = _pavements(segments, grid.crs)
    cells = _cells(grid, mosaic, pavements)
    near = None if pavements is None else shapely.STRtree(pavements)
    totals = Totals(grid, cells, min_length_m=params.min_length_m)
    with TimedDetector(detect) as detector:

        def survey(cell: Cell) -> CellResult:
            wanted: Pavements | None = None
            if near is not None and pavements is not None:
                met = np.sort(near.query(grid.window(cell).box()))
                wanted = [(int(index), pavements[index]) for index in met]
            return survey_cell(
                cell,
                grid=grid,
                mosaic=mosaic,
                pavements=wanted,
                detect=detector,
                params=params,
                edge_px=edge_px,
            )

        for cell, result in in_parallel(survey, totals.in_order):
            totals.add(cell, result)
            if on_cell is not None:
                on_cell(totals.cells, len(cells))
    totals.seconds["detect"] = detector.seconds  # a cell's own clock counts its wait, too
    finishing = time.perf_counter()
    found = totals.cracks()
    lines = moved(found.lines, shift)
    cracks = crack_table(lines, grid.crs, source=source, confidence=found.confidence)
    pieces, figures = None, None
    length, imaged_m2 = float(cracks["length_m"].sum()), totals.imaged_m2
    seen = SeenGround(grid=grid, parts=totals.parts)
    if segments is not None and pavements is not None:
        pieces, figures = by_segment(
            lines, segments, pavements, totals, mosaic.footprints, seen=seen
        )
        length, imaged_m2 = float(pieces["length_m"].sum()), float(figures["imaged_m2"].sum())
    now = time.perf_counter()
    return FileSurvey(
        model=source,
        crs=grid.crs,
        gsd_m=_ground_gsd_m(grid, mosaic),
        cells=len(cells),
        mpx=detector.chips * (grid.cell_px + 2 * grid.halo_px) ** 2 / 1e6,
        imaged_m2=imaged_m2,
        crack_length_m=length,
        density_m_per_m2=length / imaged_m2 if imaged_m2 > 0.0 else None,
        cracks=cracks,
        segments=figures,
        pieces=pieces,
        seen=seen,
        seconds={**totals.seconds, "measure": now - finishing},
        wall_s=now - started,
    )


def _ground_gsd_m(grid: Grid, mosaic: Ground) -> float:
    west, south, east, north = shapely.total_bounds(reproject(mosaic.footprints, grid.crs, WGS84))
    return ground_gsd_in((west, south, east, north), grid.gsd_m, grid.crs)


def _laid_out(
    photos: Sequence[Orthophoto], card: ModelCard, options: DetectOptions
) -> tuple[Grid, Mosaic]:
    if not photos:
        raise BadInput("there is no imagery to survey; name a GeoTIFF or a folder of them")
    west, south, east, north = shapely.total_bounds([photo.footprint for photo in photos])
    lon, lat = middle_of((west, south, east, north))
    crs = options.crs or working_crs(wrapped(lon), lat)
    x, y = shapely.get_coordinates(reproject(shapely.Point(lon, lat), WGS84, crs))[0]
    gsd_m = card.gsd_m if options.gsd_m is None else options.gsd_m
    for photo in photos:
        photo.check_pixels(gsd_m)
    grid = Grid(
        crs,
        gsd_in_crs(gsd_m, crs, float(x), float(y)),
        cell_px=options.cell_px,
        halo_px=max(options.halo_px, halo_for(card.reach_px)),
    )
    return grid, Mosaic(photos, crs, coarsest_m=card.gsd_range_m[1])


def _pavements(segments: gpd.GeoDataFrame | None, crs: CRS) -> NDArray[np.object_] | None:
    if segments is None:
        return None
    moved: NDArray[np.object_] = reproject(segments.geometry.to_numpy(), WGS84, crs)
    return moved


def _cells(grid: Grid, mosaic: Ground, pavements: NDArray[np.object_] | None) -> list[Cell]:
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
