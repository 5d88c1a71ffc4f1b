"""Plain pictures, a PNG or a TIFF without coordinates, read as crack masks or probability.

A picture lies with its upper left corner at the origin of `PICTURE_PLANE`, its rows southward, its
pixels as large as it is told.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from pyproj import CRS
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
from pavemap.geo.imagery.mask_coding import Coding, coding_of, greatest
from pavemap.geo.imagery.mask_values import Values
from pavemap.geo.imagery.mosaic import Chip

PICTURE_PLANE = CRS.from_proj4("+proj=tmerc +lat_0=0 +lon_0=0 +k=1 +ellps=WGS84 +units=m +no_defs")
"""A plane of true metres for pictures that don't say where they lie."""

MAX_PICTURE_PX = 200_000_000
"""A PNG can only be read from its top, so it is held whole: 200 MB."""

PNG_MAGIC = b"\x89PNG"


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
        return greatest(self.raw, self.coding.observed(self.raw))

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
        coding = coding_of(dataset, values, path.name)
        with translated(path.name, path):
            return Picture(dataset.read(1), gsd_m, coding)


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
