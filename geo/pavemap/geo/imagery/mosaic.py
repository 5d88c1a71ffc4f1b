"""A survey's orthophotos read as one raster: any window, on the survey's pixel grid, with its validity.

Where tiles overlap, the finer one is shown, then the first by name: the order of upload changes
nothing. Each pixel is filled from front to back until it is fully covered, so a pixel that the edge of
one tile crosses takes its other part from the tile beside it, and no seam shows. A pixel is valid when
at least half of it is covered.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import rasterio.windows
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.arrays import object_array
from pavemap.geo.errors import Unavailable
from pavemap.geo.grid import Window
from pavemap.geo.imagery.geotiff import Dataset, environment, is_remote, opened, translated
from pavemap.geo.imagery.orthophoto import Orthophoto, common_stretch
from pavemap.geo.imagery.pixels import OPAQUE, RGBA, read_rgba
from pavemap.geo.imagery.resample import Block, Layer, Resampler, batches

MAX_OPEN_FILES = 16
"""Datasets that a thread keeps open: more than overlap in one cell, few enough for any ulimit."""

COVERED = 0.98
"""A pixel this far covered takes nothing more: rounding, not ground, is what is missing."""

VALID = 0.5 - 1e-6

NOTHING = np.float32(1e-6)
"""Less than any coverage, to divide by where there is none."""


@dataclass(frozen=True)
class Chip:
    """A window as read: pixels (H, W, 3) uint8 RGB, 0 where not valid; valid (H, W) bool."""

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_]


class Mosaic:
    """Orthophotos of any CRS, resolution and overlap, seen in one metric CRS.

    `orthophotos` is in the order of precedence, `footprints` (polygons in `crs`) goes with it. Safe to
    use from several threads, and to pickle.
    """

    def __init__(
        self,
        orthophotos: Sequence[Orthophoto],
        crs: CRS,
        *,
        gdal_options: Mapping[str, str] | None = None,
        stretch: tuple[float, float] | None = None,
    ) -> None:
        """Take a survey's orthophotos. `gdal_options` says how GDAL reaches them (S3 endpoints).

        All of 16 bits are stretched alike: by `stretch`, as where these are some of a survey's, else by
        what they have in common.
        """
        self.crs = crs
        ends = stretch or common_stretch(orthophotos)
        self.orthophotos = sorted(
            (photo.stretched(ends) for photo in orthophotos), key=lambda photo: photo.precedence
        )
        self.footprints = object_array([photo.outline(crs) for photo in self.orthophotos])
        self._gdal_options = dict(gdal_options or {})

    def read(self, window: Window) -> Chip:
        """Read a window of this mosaic's CRS.

        Memory is bounded by the window, whatever the size, layout and resolution of the files. Raises
        DamagedRaster, Unavailable.
        """
        if window.crs != self.crs:
            raise ValueError(f"the window is in {window.crs.name}, the mosaic in {self.crs.name}")
        canvas = _Canvas(window)
        with environment(self._gdal_options):
            for photo in self._near(window):
                resampler = Resampler(photo, self.crs)
                wanted = [block for block in resampler.blocks(window) if canvas.lacks(block)]
                for source, blocks in batches(wanted):
                    with translated(photo.name, remote=is_remote(photo.path)):
                        rgba = self._rgba(_files.opened(photo), photo, source)
                    origin = (int(source.col_off), int(source.row_off))
                    for block in blocks:
                        layer = resampler.sample(block, rgba, origin=origin)
                        canvas.lay(block, layer)
        return canvas.chip()

    def _rgba(self, dataset: Dataset, photo: Orthophoto, source: rasterio.windows.Window) -> RGBA:
        """Read a part of a file as colour and coverage; other kinds of raster have their own way."""
        return read_rgba(dataset, photo, source)

    def _near(self, window: Window) -> list[Orthophoto]:
        """Return, in order, the orthophotos that touch a window, give or take a pixel."""
        box = window.box()
        reach = np.array([2.0 * max(p.gsd_m, window.gsd_m) for p in self.orthophotos])
        near = shapely.distance(self.footprints, box) <= reach
        return [photo for photo, hit in zip(self.orthophotos, near, strict=True) if hit]


class _Canvas:
    """The window being filled, front to back."""

    def __init__(self, window: Window) -> None:
        size = (window.height, window.width)
        self._pixels = np.zeros((*size, 3), np.uint8)
        self._colour = np.zeros((*size, 3), np.float32)  # touched, so costing memory, at edges only
        self._weight = np.zeros(size, np.float32)

    def lacks(self, block: Block) -> bool:
        """Tell whether any pixel of a block is not yet fully covered."""
        return bool(self._weight[block.slices].min() < COVERED)

    def lay(self, block: Block, layer: Layer) -> None:
        """Put a layer under what is there."""
        at = block.slices
        weight = self._weight[at]
        if layer.dtype == np.uint8 and not weight.any():
            self._pixels[at] = cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB)
            weight[...] = 1.0  # so that nothing is taken here again, and colour may stay as it is
            return
        colour = self._colour[at]
        alpha = layer[..., 3] * np.float32(1.0 / OPAQUE)
        taken = np.minimum(alpha, 1.0 - weight)
        share = taken / np.maximum(alpha, NOTHING)
        colour += layer[..., :3] * share[..., None]
        weight += taken
        mean = colour / np.maximum(weight, NOTHING)[..., None]
        # Rounds and clips; what was laid whole before has no colour to make a mean of.
        np.copyto(self._pixels[at], cv2.convertScaleAbs(mean), where=(taken > 0.0)[..., None])

    def chip(self) -> Chip:
        valid = self._weight >= VALID
        self._pixels[~valid] = 0
        return Chip(self._pixels, valid)


class _OpenFiles(threading.local):
    """The datasets that one thread has open, the least recently used closed first.

    Process-wide because opening costs a round trip on object storage and mosaics live for one cell; per
    thread because a GDAL dataset may not be shared between threads.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[str, int, int], Dataset] = OrderedDict()

    def opened(self, photo: Orthophoto) -> Dataset:
        """Return the open dataset of an orthophoto, anew if the file has changed."""
        key = (photo.path, *_version(photo))
        if key not in self._open:
            self._open[key] = opened(photo.path, name=photo.name)
            while len(self._open) > MAX_OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]

    def close(self) -> None:
        """Close them all."""
        while self._open:
            self._open.popitem()[1].close()


def _version(photo: Orthophoto) -> tuple[int, int]:
    """Return what changes when a local file is replaced; a key in a bucket names its content."""
    if is_remote(photo.path):
        return 0, 0
    try:
        status = Path(photo.path).stat()
    except OSError as exc:
        raise Unavailable(
            f"{photo.name} can't be read at {photo.path} ({exc.strerror}); check the storage folder"
        ) from exc
    return status.st_mtime_ns, status.st_ino


_files = _OpenFiles()


def close_files() -> None:
    """Close what the calling thread has open: a deleted file keeps its room on the disk until then."""
    _files.close()
