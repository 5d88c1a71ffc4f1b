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

from pavemap.geo.arrays import Bools, Floats, Integers, Objects, object_array
from pavemap.geo.errors import BadInput, DamagedRaster, Unavailable
from pavemap.geo.grid import Window
from pavemap.geo.imagery.geotiff import Dataset, environment, is_remote, opened, translated
from pavemap.geo.imagery.orthophoto import Orthophoto, common_stretch, too_coarse
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
    """A window as read: pixels (H, W, 3) uint8 RGB, 0 where not valid; valid (H, W) bool.

    coarse (H, W) tells which valid pixels come from imagery too coarse for the model; None: none does.
    """

    pixels: NDArray[np.uint8]
    valid: NDArray[np.bool_]
    coarse: NDArray[np.bool_] | None = None


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
        coarsest_m: float | None = None,
    ) -> None:
        """Take a survey's orthophotos. `gdal_options` says how GDAL reaches them (S3 endpoints).

        All of 16 bits are stretched alike: by `stretch`, as where these are some of a survey's, else by
        what they have in common. Of imagery coarser than `coarsest_m`, true metres per pixel, chips say
        where they show it; None: any will do.
        """
        self.crs = crs
        ends = stretch or common_stretch(orthophotos)
        self.orthophotos = sorted(
            (photo.stretched(ends) for photo in orthophotos), key=lambda photo: photo.precedence
        )
        self.footprints = object_array([photo.outline(crs) for photo in self.orthophotos])
        self._gdal_options = dict(gdal_options or {})
        gsd_m = [photo.gsd_m for photo in self.orthophotos]
        self._coarse = too_coarse(gsd_m, coarsest_m=coarsest_m)
        self._places = _Places.of(self.footprints, gsd_m)

    def read(self, window: Window) -> Chip:
        """Read a window of this mosaic's CRS.

        Memory is bounded by the window, whatever the size, layout and resolution of the files. Raises
        DamagedRaster, Unavailable.
        """
        if window.crs != self.crs:
            raise ValueError(f"the window is in {window.crs.name}, the mosaic in {self.crs.name}")
        canvas = _Canvas(window)
        with environment(self._gdal_options):
            for index in self._places.near(window):
                photo, coarse = self.orthophotos[index], bool(self._coarse[index])
                resampler = Resampler(photo, self.crs)
                wanted = [block for block in resampler.blocks(window) if canvas.lacks(block)]
                for source, blocks in batches(wanted):
                    rgba = self._read(photo, source)
                    origin = (int(source.col_off), int(source.row_off))
                    for block in blocks:
                        layer = resampler.sample(block, rgba, origin=origin)
                        canvas.lay(block, layer, coarse=coarse)
        return canvas.chip()

    def _read(self, photo: Orthophoto, source: rasterio.windows.Window) -> RGBA:
        """Read a part of a file; one in a bucket is damaged only if it is so when opened afresh, too.

        Threads share what GDAL fetched: half of an answer that another one got is no damage.
        """
        try:
            return self._read_once(photo, source)
        except BadInput:
            if not is_remote(photo.path):
                raise
            return self._read_once(photo, source)

    def _read_once(self, photo: Orthophoto, source: rasterio.windows.Window) -> RGBA:
        try:
            with translated(photo.name, photo.path):
                return self._rgba(_files.opened(photo), photo, source)
        except (BadInput, Unavailable):
            _files.drop(photo)  # with it goes what GDAL keeps of answers that were cut off
            raise

    def _rgba(self, dataset: Dataset, photo: Orthophoto, source: rasterio.windows.Window) -> RGBA:
        """Read a part of a file as colour and coverage; other kinds of raster have their own way."""
        return read_rgba(dataset, photo, source)


@dataclass(frozen=True)
class _Places:
    """Where the orthophotos (N,) lie: their outlines with a tree of those that have an end, pixel sizes.

    endless: indices of those whose outline goes to infinity in this CRS; a tree can't hold them.
    """

    footprints: Objects
    tree: shapely.STRtree
    endless: Integers
    gsd_m: Floats
    coarsest_m: float

    @classmethod
    def of(cls, footprints: Objects, gsd_m: Sequence[float]) -> _Places:
        ends = np.isfinite(shapely.bounds(footprints)).reshape(-1, 4).all(axis=1)
        held = footprints.copy()
        held[~ends] = None
        return cls(
            footprints,
            shapely.STRtree(held),
            np.flatnonzero(~ends),
            np.array(gsd_m, np.float64),
            max(gsd_m, default=0.0),
        )

    def near(self, window: Window) -> list[int]:
        """Return, in order, the indices of those that touch a window, give or take a pixel."""
        box = window.box()
        farthest = 2.0 * max(self.coarsest_m, window.gsd_m)
        hits = self.tree.query(box, predicate="dwithin", distance=farthest)
        some = np.union1d(hits, self.endless)
        reach = 2.0 * np.maximum(self.gsd_m[some], window.gsd_m)
        found: list[int] = some[shapely.distance(self.footprints[some], box) <= reach].tolist()
        return found


class _Canvas:
    """The window being filled, front to back."""

    def __init__(self, window: Window) -> None:
        size = (window.height, window.width)
        self._pixels = np.zeros((*size, 3), np.uint8)
        self._colour = np.zeros((*size, 3), np.float32)  # touched, so costing memory, at edges only
        self._weight = np.zeros(size, np.float32)
        self._coarse: NDArray[np.float32] | None = None  # how much of the weight, once there is any

    def lacks(self, block: Block) -> bool:
        """Tell whether any pixel of a block is not yet fully covered."""
        return bool(self._weight[block.slices].min() < COVERED)

    def lay(self, block: Block, layer: Layer, *, coarse: bool) -> None:
        """Put a layer under what is there; `coarse` tells whether its imagery is too coarse."""
        if not coarse:
            self._lay(block, layer)
            return
        if self._coarse is None:
            self._coarse = np.zeros_like(self._weight)
        before = self._weight[block.slices].copy()
        self._lay(block, layer)
        self._coarse[block.slices] += self._weight[block.slices] - before

    def _lay(self, block: Block, layer: Layer) -> None:
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
        pixels: NDArray[np.uint8] = self._pixels
        if not valid.all():  # a copy has 0 where it is not told to copy
            pixels = cv2.copyTo(pixels, valid.view(np.uint8)).astype(np.uint8, copy=False)
        return Chip(pixels, valid, self._mostly_coarse(valid))

    def _mostly_coarse(self, valid: Bools) -> Bools | None:
        if self._coarse is None:
            return None
        mostly: Bools = valid & (self._coarse > 0.5 * self._weight)
        return mostly


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
            self._open[key] = _opened(photo)
            while len(self._open) > MAX_OPEN_FILES:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(key)
        return self._open[key]

    def drop(self, photo: Orthophoto) -> None:
        """Close the dataset of an orthophoto, if it is open."""
        for key in [key for key in self._open if key[0] == photo.path]:
            self._open.pop(key).close()

    def close(self) -> None:
        """Close them all."""
        while self._open:
            self._open.popitem()[1].close()


def _opened(photo: Orthophoto) -> Dataset:
    """Open an orthophoto; one that isn't framed as it is known to be is another's file in its place."""
    dataset = opened(photo.path, name=photo.name)
    if photo.is_framed_as(
        width=dataset.width,
        height=dataset.height,
        count=dataset.count,
        transform=dataset.transform,
    ):
        return dataset
    dataset.close()
    raise DamagedRaster(
        f"{photo.name} is not what was stored under its name; upload it again "
        "(pavemap survey upload --again)"
    )


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
