"""A mask or probability raster from anywhere, by the cells, stitching and measures of a survey."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.errors import BadInput
from pavemap.geo.grid import LEAST_HALO_PX, Grid, Window
from pavemap.geo.imagery.mask_raster import MaskMosaic, inspect_mask, snapped
from pavemap.geo.imagery.mask_values import Values
from pavemap.geo.imagery.mosaic import Chip
from pavemap.geo.imagery.orthophoto import Orthophoto, mapped, metric_crs, transformer
from pavemap.geo.imagery.picture import PICTURE_PLANE, Picture, is_placed, read_picture
from pavemap.geo.vectorizing.vectorize import VectorizeParams
from pavemap.platform.file_survey.survey import FileSurvey, survey_mosaic

FINER = 2.0
"""What must be resampled is read in pixels so many times smaller than the shorter side of its own: a
line one pixel wide stays whole, whichever way it runs."""

MOST_CRACK = 0.5
"""No road is cracked over more of its area than this: such a mask has crack and background exchanged."""

PICTURE_CRS = CRS.from_wkt(
    'ENGCRS["pixels of a picture, rows counted downward as negative y",EDATUM["upper left corner"],'
    'CS[Cartesian,2],AXIS["x",east,ORDER[1],LENGTHUNIT["metre",1]],'
    'AXIS["y",north,ORDER[2],LENGTHUNIT["metre",1]]]'
)
"""Where cracks of a picture without coordinates lie: x = column, y = -row, as GIS lay such pictures."""


@dataclass(frozen=True, kw_only=True)
class VectorizeOptions:
    """How to read and vectorise a raster.

    values: what its pixels say. gsd_m: ground size of a picture's pixels, if it has no coordinates.
    params: thresholds and the rest. cell_px, halo_px: how it is cut, which changes nothing.
    """

    values: Values = "auto"
    gsd_m: float | None = None
    params: VectorizeParams = field(default_factory=VectorizeParams)
    cell_px: int = 2048
    halo_px: int = LEAST_HALO_PX


def place_of(path: Path, *, gsd_m: float | None, with_roads: bool) -> bool:
    """Tell whether a raster has coordinates, and refuse what doesn't go with that. Raises BadInput."""
    placed = is_placed(path)
    if placed and gsd_m is not None:
        raise BadInput(
            f"{path.name} has coordinates and so its own pixel size; leave --gsd out, or take the "
            "coordinates off"
        )
    if not placed and with_roads:
        raise BadInput(
            f"{path.name} has no coordinates, so no road can be found on it; leave the roads out, or "
            "assign a CRS (gdal_translate -a_srs -a_ullr)"
        )
    return placed


def vectorize_file(
    path: Path,
    *,
    segments: gpd.GeoDataFrame | None = None,
    options: VectorizeOptions | None = None,
    on_cell: Callable[[int, int], None] | None = None,
) -> tuple[FileSurvey, Values]:
    """Turn a raster of one band into crack lines with length and width; say what it was read as.

    The cracks of a picture without coordinates are in PICTURE_CRS. Memory is bounded by a few cells and
    the cracks found (a PNG is held whole). Raises BadInput for a file that can't be read so, for one
    without coordinates and pixel size, and for roads with a picture that has none.
    """
    options = options or VectorizeOptions()
    if not place_of(path, gsd_m=options.gsd_m, with_roads=segments is not None):
        return _vectorize_picture(path, options, on_cell)
    photo, coding = inspect_mask(path, values=options.values)
    crs = metric_crs(photo)
    on_grid = snapped(photo, crs)
    photo, shift = on_grid or (photo, (0.0, 0.0))
    found = _surveyed(
        MaskMosaic(photo, crs, coding=coding),
        grid=_grid(crs, abs(photo.transform.a) if on_grid else _finer(photo, crs), options),
        source=path.name,
        segments=segments,
        options=options,
        shift=shift,
        on_cell=on_cell,
    )
    return found, coding.values


def _vectorize_picture(
    path: Path, options: VectorizeOptions, on_cell: Callable[[int, int], None] | None
) -> tuple[FileSurvey, Values]:
    """Survey a picture in a plane of true metres; then count its cracks' coordinates in pixels."""
    picture = read_picture(path, gsd_m=options.gsd_m, values=options.values)
    found = _surveyed(
        picture,
        grid=_grid(PICTURE_PLANE, picture.gsd_m, options),
        source=path.name,
        options=options,
        on_cell=on_cell,
    )
    in_metres = found.cracks.to_crs(PICTURE_PLANE).geometry.to_numpy()
    size = np.array([picture.gsd_m, picture.gsd_m, 1.0])
    in_pixels = shapely.transform(in_metres, lambda p: p / size, include_z=True)
    cracks = found.cracks.set_geometry(gpd.GeoSeries(in_pixels, crs=PICTURE_CRS))
    return replace(found, cracks=cracks), picture.coding.values


def _surveyed(
    ground: MaskMosaic | Picture,
    *,
    grid: Grid,
    source: str,
    options: VectorizeOptions,
    segments: gpd.GeoDataFrame | None = None,
    shift: tuple[float, float] = (0.0, 0.0),
    on_cell: Callable[[int, int], None] | None = None,
) -> FileSurvey:
    counted = _Counted(ground, options.params)
    found = survey_mosaic(
        counted,
        grid=grid,
        detect=_as_it_is,
        params=options.params,
        source=source,
        segments=segments,
        edge_px=0,
        shift=shift,
        on_cell=on_cell,
    )
    warnings = _doubts(counted.share, ground, options.params)
    return replace(found, warnings=(*found.warnings, *warnings))


def _doubts(share: float, ground: MaskMosaic | Picture, params: VectorizeParams) -> list[str]:
    """Return what makes one doubt that a raster says what it was read as; crack's share of it is known."""
    if share > MOST_CRACK:
        return [_exchanged(share, ground)]
    if share > 0.0:
        return []
    if ground.greatest > 0.0:
        return [_too_low(ground, params.threshold)]
    nodata = ground.coding.nodata
    return [_cracks_as_no_data(nodata)] if nodata in (1.0, ground.coding.full) else []


def _too_low(ground: MaskMosaic | Picture, threshold: float) -> str:
    """Say that nothing reaches the threshold; classes and per cent taken for probabilities never do."""
    full = ground.coding.full
    least = f"{threshold:g}" if full == 1.0 else f"{threshold:g} of {full:g}"
    return (
        f"no pixel reaches the threshold of {least}: the greatest value is {ground.greatest:g}, so there "
        "is no crack; if the values are classes, say --values mask (all but 0 is crack) or take out the "
        "one that is crack (gdal_calc.py -A IN --calc 'A==1' --outfile OUT); if they are per cent, scale "
        f"them (gdal_translate -scale 0 100 0 {full:g}); if they are probabilities, a lower --threshold "
        "finds more"
    )


def _cracks_as_no_data(nodata: float) -> str:
    return (
        f"nothing but 0 was observed: pixels of {nodata:g}, which the file declares as no-data, are no "
        "observation; if they are the cracks, take that out (gdal_edit.py -unsetnodata) and begin again"
    )


def _exchanged(share: float, ground: MaskMosaic | Picture) -> str:
    told, way = (
        "0 is background and all else crack",
        "gdal_calc.py -A IN --calc 'A==0' --outfile OUT",
    )
    if ground.coding.values == "probability":
        told, way = "high values are crack", "1 minus the probability"
    return (
        f"{share:.0%} of the observed pixels are crack: the mask may be inverted ({told}); if it is, "
        f"turn it round ({way}) and begin again"
    )


class _Counted:
    """A ground that counts how many of the observed pixels read of it are crack (in halos, twice)."""

    def __init__(self, ground: MaskMosaic | Picture, params: VectorizeParams) -> None:
        self.footprints = ground.footprints
        self._ground, self._params = ground, params
        self._observed = self._crack = 0
        self._lock = threading.Lock()  # cells are read by several threads

    @property
    def share(self) -> float:
        """The crack's share of the pixels, 0 where there were none."""
        return self._crack / max(self._observed, 1)

    def read(self, window: Window) -> Chip:
        """Read a window, and count."""
        chip = self._ground.read(window)
        crack = self._params.crack_mask(chip.pixels[:, :, 0]) & chip.valid
        with self._lock:
            self._observed += int(chip.valid.sum())
            self._crack += int(crack.sum())
        return chip


def _as_it_is(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stand for a network: what is read is the probability already."""
    return np.ascontiguousarray(chip[:, :, 0])


def _finer(photo: Orthophoto, crs: CRS) -> float:
    """Return the pixel, in metres of the CRS, at which a raster is resampled: by its shorter side."""
    size = np.array([photo.width, photo.height], float)
    column, row = size / 2.0
    x, y = mapped(
        photo.transform,
        np.array([[0.0, size[0]], [column, column]]),
        np.array([[row, row], [0.0, size[1]]]),
    )
    x, y = transformer(photo.crs, crs).transform(x, y)
    sides = np.hypot(np.diff(x), np.diff(y))[:, 0] / size
    return float(sides.min()) / FINER


def _grid(crs: CRS, gsd_m: float, options: VectorizeOptions) -> Grid:
    return Grid(crs, gsd_m, cell_px=options.cell_px, halo_px=options.halo_px)
