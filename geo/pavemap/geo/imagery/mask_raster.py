"""Crack masks and probability rasters with coordinates: checked, and read window by window as 8 bits.

Such a raster is read as a mosaic of one, by the same way as a survey's imagery.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.enums import MaskFlags

from pavemap.geo.imagery.geotiff import Dataset, open_geotiff
from pavemap.geo.imagery.mask_coding import Coding, coding_of, greatest
from pavemap.geo.imagery.mask_values import Values
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.imagery.orthophoto import MaskKind, Orthophoto
from pavemap.geo.imagery.pixels import OPAQUE, RGBA
from pavemap.geo.imagery.raster import located


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
        here = greatest(raw, seen)
        with self._lock:
            self._greatest = max(self._greatest, here)
        return _rgba(probability, seen)


def inspect_mask(path: Path, *, values: Values = "auto") -> tuple[Orthophoto, Coding]:
    """Check a GeoTIFF with coordinates and one band of mask or probability.

    Raises BadInput: NotAGeoTiff, DamagedRaster, UnsupportedRaster or NotGeoreferenced.
    """
    with open_geotiff(path, name=path.name) as dataset:
        coding = coding_of(dataset, values, path.name)
        kind = _mask_kind(dataset, coding)
        photo = located(dataset, path=path, name=path.name, band_use="gray", mask_kind=kind)
    return photo, coding


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


def _rgba(probability: NDArray[np.uint8], seen: NDArray[np.bool_]) -> RGBA:
    rgba = np.empty((*probability.shape, 4), np.uint8)
    rgba[..., :3] = np.where(seen, probability, np.uint8(0))[..., None]
    rgba[..., 3] = np.where(seen, np.uint8(OPAQUE), np.uint8(0))
    return rgba


def _mask_kind(dataset: Dataset, coding: Coding) -> MaskKind:
    """Tell what marks pixels that are no observation: a mask, else a value (NaN is one)."""
    if MaskFlags.per_dataset in dataset.mask_flag_enums[0]:
        return "mask"
    by_value = coding.nodata is not None or dataset.dtypes[0].startswith("float")
    return "nodata" if by_value else "none"
