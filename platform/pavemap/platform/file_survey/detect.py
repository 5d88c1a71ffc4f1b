"""A survey of orthophotos in files: its options, and how it is laid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import geopandas as gpd
import shapely
from pyproj import CRS

from pavemap.geo.crs import WGS84, gsd_in_crs, middle_of, reproject, working_crs, wrapped
from pavemap.geo.errors import BadInput
from pavemap.geo.grid import LEAST_HALO_PX, Grid, check_gsd, halo_for
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.imagery.orthophoto import Orthophoto
from pavemap.geo.imagery.tiles import inspect_tiles
from pavemap.geo.survey_cell import Detect
from pavemap.geo.vectorizing.vectorize import VectorizeParams
from pavemap.platform.file_survey.survey import FileSurvey, survey_mosaic

if TYPE_CHECKING:
    from pavemap.training.models.card import ModelCard


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


def read_orthophotos(paths: Sequence[Path]) -> list[Orthophoto]:
    """Inspect files, all of them before any is refused; raises what `inspect_tiles` does."""
    return inspect_tiles(paths)


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

    Memory is bounded by the cells in work and the cracks found, whatever the files. See `survey_mosaic`
    for the rest, and for what it raises.
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
