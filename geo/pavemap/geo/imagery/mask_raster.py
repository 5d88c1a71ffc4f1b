"""Crack masks and probability rasters from anywhere: checked, and read window by window as 8 bits.

A raster with coordinates is read as a mosaic of one, by the same way as a survey's imagery. A plain
picture (a PNG, or a TIFF without coordinates) lies with its upper left corner at the origin of
`PICTURE_PLANE`, its rows southward, its pixels as large as it is told.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.windows
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import MaskFlags
from rasterio.errors import NotGeoreferencedWarning

from pavemap.geo.errors import BadInput, NotGeoreferenced, UnsupportedRaster
from pavemap.geo.grid import Window
from pavemap.geo.imagery.geotiff import (
    Dataset,
    environment,
    open_geotiff,
    refuse_oversize,
    translated,
)
from pavemap.geo.imagery.mask_values import Values
from pavemap.geo.imagery.mosaic import Chip, Mosaic
from pavemap.geo.imagery.orthophoto import MaskKind, Orthophoto
from pavemap.geo.imagery.pixels import OPAQUE, RGBA
from pavemap.geo.imagery.raster import located

PICTURE_PLANE = CRS.from_proj4("+proj=tmerc +lat_0=0 +lon_0=0 +k=1 +ellps=WGS84 +units=m +no_defs")
"""A plane of true metres for pictures that don't say where they lie."""

FULL_SCALE = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0, "float32": 1.0, "float64": 1.0}
"""By pixel type, the value that stands for a probability of 1."""

TOO_LARGE = 1.0 + 1e-3
"""Probabilities above this (rounding allowed for) are none."""

MAX_PICTURE_PX = 200_000_000
"""A PNG can only be read from its top, so it is held whole: 200 MB."""

PNG_MAGIC = b"\x89PNG"


@dataclass(frozen=True)
class Coding:
    """How values become probabilities.

    values: never 'auto'. full: the value of certainty. nodata: a value that is no observation, or
    None. name: the file, for messages.
    """

    values: Values
    full: float
    nodata: float | None
    name: str

    def observed(self, raw: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which pixels (H, W) are an observation."""
        seen = np.ones(raw.shape, np.bool_)
        if raw.dtype.kind == "f":
            seen = np.isfinite(raw)
        if self.nodata is not None:
            seen &= raw != self.nodata
        return seen

    def probability(self, raw: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return (H, W) probabilities on a scale of 255, and which pixels are an observation.

        Raises BadInput for probabilities outside 0 to 1.
        """
        seen = self.observed(raw)
        known = np.where(seen, raw, raw.dtype.type(0))
        if self.values == "mask":
            return np.where(known != 0, np.uint8(255), np.uint8(0)), seen
        if known.dtype == np.uint8:
            return known, seen
        part = known.astype(np.float32) / np.float32(self.full)
        if part.size and (part.max() > TOO_LARGE or part.min() < 1.0 - TOO_LARGE):
            raise BadInput(
                f"{self.name} has values from {part.min():g} to {part.max():g} where a probability is 0 "
                "to 1; scale it (gdal_translate -scale), or say --values mask if 0 is background and "
                "all else crack"
            )
        return np.round(np.clip(part, 0.0, 1.0) * 255.0).astype(np.uint8), seen


class MaskMosaic(Mosaic):
    """A raster with coordinates in a metric CRS; `read` gives probability as three equal bands."""

    def __init__(self, photo: Orthophoto, crs: CRS, *, coding: Coding) -> None:
        """Take a file that `inspect_mask` has checked."""
        super().__init__([photo], crs)
        self.coding = coding
        self._greatest = 0.0
        self._lock = threading.Lock()  # windows are read by several threads

    @property
    def greatest(self) -> float:
        """The greatest value of the file's observed in what was read so far; at least 0."""
        return self._greatest

    def _rgba(self, dataset: Dataset, photo: Orthophoto, source: rasterio.windows.Window) -> RGBA:
        raw = dataset.read(1, window=source)
        probability, seen = self.coding.probability(raw)
        if photo.mask_kind == "mask":
            seen &= dataset.read_masks(1, window=source) != 0
        greatest = _greatest(raw, seen)
        with self._lock:
            self._greatest = max(self._greatest, greatest)
        return _rgba(probability, seen)


@dataclass(frozen=True)
class Picture:
    """A raster without coordinates: raw values (H, W), read whole, in pixels of `gsd_m` metres."""

    raw: NDArray[Any]
    gsd_m: float
    coding: Coding

    @property
    def footprints(self) -> NDArray[np.object_]:
        """The picture's frame."""
        height, width = self.raw.shape
        return np.array([shapely.box(0.0, -height * self.gsd_m, width * self.gsd_m, 0.0)], object)

    @property
    def greatest(self) -> float:
        """The greatest value observed; at least 0."""
        return _greatest(self.raw, self.coding.observed(self.raw))

    def read(self, window: Window) -> Chip:
        """Read a window of PICTURE_PLANE in pixels of the picture's size."""
        height, width = self.raw.shape
        col, row = round(window.left / self.gsd_m), -round(window.top / self.gsd_m)
        rows = slice(max(row, 0), max(min(row + window.height, height), 0))
        cols = slice(max(col, 0), max(min(col + window.width, width), 0))
        chip = Chip(
            np.zeros((window.height, window.width, 3), np.uint8),
            np.zeros((window.height, window.width), np.bool_),
        )
        if rows.stop > rows.start and cols.stop > cols.start:
            probability, seen = self.coding.probability(self.raw[rows, cols])
            inside = (
                slice(rows.start - row, rows.stop - row),
                slice(cols.start - col, cols.stop - col),
            )
            chip.valid[inside] = seen
            chip.pixels[inside] = np.where(seen, probability, np.uint8(0))[:, :, None]
        return chip


def is_placed(path: Path) -> bool:
    """Tell whether a raster says where it lies; a PNG never does. Raises what opening it raises."""
    if _is_png(path):
        return False
    with open_geotiff(path, name=path.name) as dataset:
        return dataset.crs is not None or not dataset.transform.is_identity


def inspect_mask(path: Path, *, values: Values = "auto") -> tuple[Orthophoto, Coding]:
    """Check a GeoTIFF with coordinates and one band of mask or probability.

    Raises BadInput: NotAGeoTiff, DamagedRaster, UnsupportedRaster or NotGeoreferenced.
    """
    with open_geotiff(path, name=path.name) as dataset:
        coding = _coding(dataset, values, path.name)
        kind = _mask_kind(dataset, coding)
        photo = located(dataset, path=path, name=path.name, band_use="gray", mask_kind=kind)
    return photo, coding


def read_picture(path: Path, *, gsd_m: float | None, values: Values = "auto") -> Picture:
    """Read a PNG or a TIFF without coordinates; `gsd_m` is the ground size of its pixels.

    Raises NotGeoreferenced when no size is given, UnsupportedRaster, BadInput.
    """
    if gsd_m is None:
        raise NotGeoreferenced(
            f"{path.name} has no coordinates; give its pixel size in metres (--gsd 0.002) to have its "
            "cracks in pixel coordinates with true lengths, or assign a CRS (gdal_translate -a_srs "
            "-a_ullr)"
        )
    if not (np.isfinite(gsd_m) and gsd_m > 0.0):
        raise BadInput(f"a pixel of {gsd_m} m is none; give its side in metres, such as 0.002")
    with _opened_picture(path) as dataset:
        if dataset.width * dataset.height > MAX_PICTURE_PX:
            raise UnsupportedRaster(
                f"{path.name} has {dataset.width:,} x {dataset.height:,} pixels, too many for a picture "
                f"without coordinates (at most {MAX_PICTURE_PX:,}); cut it into parts"
            )
        coding = _coding(dataset, values, path.name)
        with translated(path.name, path):
            return Picture(dataset.read(1), gsd_m, coding)


def snapped(photo: Orthophoto, crs: CRS) -> tuple[Orthophoto, tuple[float, float]] | None:
    """Move a raster by at most half a pixel onto the world's pixel grid, so that pixels stay pixels.

    Returns it with the way (x, y) back, in metres of the CRS, or None for a raster that must be
    resampled: it is turned, in another CRS, or its pixels aren't squares.
    """
    a, b, c, d, e, f = photo.transform[:6]
    if photo.crs != crs or b or d or abs(abs(a) / abs(e) - 1.0) > 1e-6:
        return None
    x, y = round(c / a) * a, round(f / e) * e
    return replace(photo, transform=Affine(a, b, x, d, e, y)), (c - x, f - y)


def _greatest(raw: NDArray[Any], seen: NDArray[np.bool_]) -> float:
    return float(np.max(raw, where=seen, initial=0))


def _rgba(probability: NDArray[np.uint8], seen: NDArray[np.bool_]) -> RGBA:
    rgba = np.empty((*probability.shape, 4), np.uint8)
    rgba[..., :3] = np.where(seen, probability, np.uint8(0))[..., None]
    rgba[..., 3] = np.where(seen, np.uint8(OPAQUE), np.uint8(0))
    return rgba


def _coding(dataset: Dataset, values: Values, name: str) -> Coding:
    dtype = str(dataset.dtypes[0])
    if dataset.count != 1:
        raise UnsupportedRaster(
            f"{name} has {dataset.count} bands; one band of mask or probability is read: "
            "gdal_translate -b 1"
        )
    if dtype not in FULL_SCALE:
        raise UnsupportedRaster(
            f"{name} has {dtype} pixels; uint8, uint16 and float32 are read: gdal_translate -ot Byte"
        )
    if (dataset.scales[0], dataset.offsets[0]) != (1.0, 0.0) and values != "mask":
        raise UnsupportedRaster(
            f"{name} declares a scale of {dataset.scales[0]:g} and an offset of {dataset.offsets[0]:g}; "
            "plain probabilities are read: gdal_translate -unscale -ot Float32"
        )
    # Where 0 is declared no-data it is background all the same: a mask of cracks alone.
    nodata = dataset.nodata if dataset.nodata else None
    if nodata is not None and not np.isfinite(nodata):
        nodata = None
    coding = Coding(values, FULL_SCALE[dtype], nodata, name)
    if values != "auto":
        return coding
    if dtype.startswith("float"):
        return replace(coding, values="probability")
    return replace(coding, values="mask" if _two_valued(dataset, nodata) else "probability")


def _mask_kind(dataset: Dataset, coding: Coding) -> MaskKind:
    """Tell what marks pixels that are no observation: a mask, else a value (NaN is one)."""
    if MaskFlags.per_dataset in dataset.mask_flag_enums[0]:
        return "mask"
    by_value = coding.nodata is not None or dataset.dtypes[0].startswith("float")
    return "nodata" if by_value else "none"


def _two_valued(dataset: Dataset, nodata: float | None) -> bool:
    """Tell whether a raster has no more than one value besides 0 and no-data; read until it has."""
    found: set[int] = set()
    for window in _strips(dataset):
        found |= set(np.unique(dataset.read(1, window=window)).tolist()) - {0, nodata}
        if len(found) > 1:
            return False
    return True


def _strips(dataset: Dataset) -> Iterator[rasterio.windows.Window]:
    """Cut a raster into strips of whole blocks, a few megapixels each."""
    step = dataset.block_shapes[0][0] if dataset.driver != "PNG" else 1
    step *= max(1, 4_000_000 // max(step * dataset.width, 1))
    for top in range(0, dataset.height, step):
        yield rasterio.windows.Window(0, top, dataset.width, min(step, dataset.height - top))


def _is_png(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == PNG_MAGIC
    except OSError as exc:
        raise BadInput(f"{path} can't be read ({exc.strerror}); check the name") from exc


@contextmanager
def _opened_picture(path: Path) -> Iterator[Dataset]:
    """Open a PNG with GDAL's PNG driver alone, anything else as a GeoTIFF."""
    if not _is_png(path):
        with open_geotiff(path, name=path.name) as dataset:
            refuse_oversize(dataset, file_bytes=path.stat().st_size, name=path.name)
            yield dataset
        return
    with environment(), translated(path.name, path), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, driver="PNG", sharing=False) as dataset:
            yield dataset
