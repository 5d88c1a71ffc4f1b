"""How the values of a mask or probability raster become probabilities: stated, or found by looking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import rasterio.windows
from numpy.typing import NDArray

from pavemap.geo.errors import BadInput, UnsupportedRaster
from pavemap.geo.imagery.geotiff import Dataset
from pavemap.geo.imagery.mask_values import Values

FULL_SCALE = {"bool": 1.0, "uint8": 255.0, "uint16": 65535.0, "float32": 1.0, "float64": 1.0}
"""By pixel type, the value that stands for a probability of 1."""

TOO_LARGE = 1.0 + 1e-3
"""Probabilities above this (rounding allowed for) are none."""


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


def coding_of(dataset: Dataset, values: Values, name: str) -> Coding:
    """Return how a raster's values are read, `name` in messages; 'auto' is settled by its pixels.

    Raises UnsupportedRaster for several bands, other pixel types, or values that are scaled.
    """
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


def greatest(raw: NDArray[Any], seen: NDArray[np.bool_]) -> float:
    """Return the greatest of the values (H, W) that were observed; at least 0."""
    return float(np.max(raw, where=seen, initial=0))


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
