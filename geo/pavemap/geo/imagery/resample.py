"""Lays an orthophoto's pixels onto a window's grid: antialiased, block by block, blind to tile borders.

How a tile is read so that cutting an image into tiles changes nothing:

1. The window is worked in blocks that are fixed to the world. Over one block the way from window to
   source pixels, whatever lies between (rotation, flip, another CRS), is affine to 1e-2 source pixels
   or better, so each block is one `cv2.warpAffine`.
2. Where a window pixel is larger than a source pixel it takes the mean of n x n bilinear samples, n
   large enough that no source pixel is passed over. Overviews are not used: they are made from one tile,
   by anyone's program.
3. Colour is premultiplied by coverage and both are resampled alike. Outside the tile, and where it has no
   data, coverage is 0. A pixel that a border crosses so has the mean colour of what the tile shows of
   it, and the fraction shown; `pavemap.geo.imagery.mosaic` fills the rest from the next tile. For two
   tiles cut from one image the fractions add up to 1 and the result is that of the uncut image.
4. A block on the source's own pixel grid is copied.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import rasterio.windows
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.errors import BadInput
from pavemap.geo.grid import Window
from pavemap.geo.imagery.orthophoto import Orthophoto, mapped, transformer
from pavemap.geo.imagery.pixels import OPAQUE, RGBA, SETTLED_PX

BLOCK_PX = 512
"""Side of a block in window pixels, less where each of them covers many source pixels."""

BLOCK_SOURCE_PX = 2048
"""About the largest side of a block in source pixels: bounds memory, whatever the ratio."""

MAX_READ_PX = 16_000_000
"""Source pixels read at a time: the neighbouring blocks of a cell in one go, in 64 MB of RGBA."""

MAX_REDUCTION = 64
"""Imagery this many times finer than the survey is refused: nobody meant that."""

SAMPLE_SPACING_PX = 1.2625
"""Samples lie at most so far apart in the source; no round number, so that round ratios are stable."""

MARGIN_PX = SETTLED_PX + 2
"""Source pixels read around a block: no-data rims, and the bilinear kernel."""

ALIGNED_PX = 0.01
"""A grid this close to the source's own counts as the same."""

Layer = NDArray[Any]
"""(H, W, 4) premultiplied colour and coverage on a scale of 255: uint8 if fully covered, else float32."""

Box = tuple[int, int, int, int]
"""Pixels [left, right) x [top, bottom) as (left, top, right, bottom)."""


@dataclass(frozen=True)
class Block:
    """A part of a window and its way into one source."""

    pixels: Box
    matrix: Affine
    """Maps (column, row) pixel corners of the window to those of the source."""
    source: Box
    """What to read for it: with margin, clipped to the source."""
    samples: tuple[int, int]
    """How many samples a window pixel takes along its columns and its rows."""

    @property
    def slices(self) -> tuple[slice, slice]:
        """Take the block out of an array of the window."""
        left, top, right, bottom = self.pixels
        return slice(top, bottom), slice(left, right)


class Resampler:
    """The way from one orthophoto to windows of one CRS and pixel size."""

    def __init__(self, photo: Orthophoto, crs: CRS) -> None:
        """Work out scale and rotation at the centre of the photo, for any window to come."""
        self.photo = photo
        self._inverse = ~photo.transform
        self._turn = _full_turn(photo.crs) if photo.crs.is_geographic else None
        self._middle_x = mapped(photo.transform, *np.array([photo.width, photo.height]) / 2.0)[0]
        self._crs = crs
        self._pixel_step = self._steps_at_centre()

    def reduction(self, gsd_m: float) -> float:
        """Return how many source pixels, at most, lie across a pixel of this size in the window's CRS."""
        return max(self._pixel_step) * gsd_m

    def blocks(self, window: Window) -> list[Block]:
        """Cut a window into world-fixed blocks; return those that the photo's frame touches.

        Raises BadInput for a photo that is finer than the window beyond reason.
        """
        step = np.array(self._pixel_step) * window.gsd_m
        if self.reduction(window.gsd_m) > MAX_REDUCTION:
            raise BadInput(
                f"{self.photo.name} has pixels of {self.photo.gsd_m * 1000:.2g} mm, over {MAX_REDUCTION} "
                "times finer than the survey's; check the survey's pixel size (--gsd, gsd_m: metres) and "
                "the file's CRS"
            )
        across, down = np.maximum(np.ceil(step / SAMPLE_SPACING_PX), 1).astype(int)
        side = BLOCK_PX
        while side * step.max() > BLOCK_SOURCE_PX:
            side //= 2
        columns = _cuts(window.left / window.gsd_m, window.width, side)
        rows = _cuts(-window.top / window.gsd_m, window.height, side)
        x, y = self._into_source(window, *np.meshgrid(columns, rows))
        corners = np.stack([x, y], axis=-1)  # (rows + 1, columns + 1, 2)
        found = []
        for row, top in enumerate(rows[:-1]):
            for column, left in enumerate(columns[:-1]):
                quad = corners[row : row + 2, column : column + 2]
                source = self._to_read(quad)
                if source is None:
                    continue
                pixels = (
                    max(left, 0),
                    max(top, 0),
                    min(columns[column + 1], window.width),
                    min(rows[row + 1], window.height),
                )
                matrix = _affine(quad, left=left, top=top, side=side)
                found.append(Block(pixels, matrix, source, (int(across), int(down))))
        return found

    def sample(self, block: Block, rgba: RGBA, *, origin: tuple[int, int]) -> Layer:
        """Resample one block from a read picture whose upper left is source pixel `origin`."""
        left, top, right, bottom = block.source
        part = rgba[top - origin[1] : bottom - origin[1], left - origin[0] : right - origin[0]]
        nx, ny = block.samples
        solid = self.photo.mask_kind == "none" or bool(part[..., 3].min() == OPAQUE)
        if (nx, ny) == (1, 1) and (shift := _whole_shift(block)) is not None:
            return _copied(block, part, shift, solid=solid)
        if not (solid and self._surrounded(block)):
            part = part.astype(np.float32)
        width, height = block.pixels[2] - block.pixels[0], block.pixels[3] - block.pixels[1]
        # from sample centres of the block to pixel centres of the part
        step = (
            Affine.translation(-left - 0.5, -top - 0.5)
            @ block.matrix
            @ Affine.translation(block.pixels[0], block.pixels[1])
            @ Affine.scale(1.0 / nx, 1.0 / ny)
            @ Affine.translation(0.5, 0.5)
        )
        layer = cv2.warpAffine(
            part,
            np.array(step[:6], float).reshape(2, 3),
            (width * nx, height * ny),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(0, 0, 0, 0),
        )
        if (nx, ny) != (1, 1):
            layer = cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA)
        return layer

    def _steps_at_centre(self) -> tuple[float, float]:
        """Return source pixels per CRS unit along x and along y, at the centre of the photo."""
        photo = self.photo
        reach = max(photo.width, photo.height) / 2.0
        column = photo.width / 2.0 + np.array([-reach, reach, 0.0, 0.0])
        row = photo.height / 2.0 + np.array([0.0, 0.0, -reach, reach])
        x, y = mapped(photo.transform, column, row)
        if photo.crs != self._crs:
            x, y = transformer(photo.crs, self._crs).transform(x, y)
        crs_per_px = np.array([[x[1] - x[0], x[3] - x[2]], [y[1] - y[0], y[3] - y[2]]]) / (
            2 * reach
        )
        px_per_crs = np.linalg.inv(crs_per_px)
        across, down = np.hypot(px_per_crs[0], px_per_crs[1])
        return float(across), float(down)

    def _into_source(
        self, window: Window, column: NDArray[Any], row: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self.photo.crs == self._crs:
            return mapped(self._inverse @ window.transform, column, row)
        way = transformer(self._crs, self.photo.crs)
        x, y = way.transform(*mapped(window.transform, column, row))
        return mapped(self._inverse, self._on_its_turn(x), y)

    def _on_its_turn(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Write longitudes as the photo's are: -179.9 is 180.1 for one that crosses the 180th meridian."""
        if self._turn is None:
            return x
        with np.errstate(invalid="ignore"):  # what has no place in the photo's CRS is infinite
            return x + self._turn * np.round((self._middle_x - x) / self._turn)

    def _to_read(self, quad: NDArray[np.float64]) -> Box | None:
        """Return the source pixels around four corners, or None if they miss the source."""
        if not np.isfinite(quad).all():
            return None
        low, high = np.floor(quad.min((0, 1))), np.ceil(quad.max((0, 1)))
        size = np.array([self.photo.width, self.photo.height])
        if (high < 0).any() or (low > size).any():
            return None
        low = np.clip(low - MARGIN_PX, 0, size)
        high = np.clip(high + MARGIN_PX, 0, size)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def _surrounded(self, block: Block) -> bool:
        """Tell whether all that the block samples lies inside the source."""
        left, top, right, bottom = block.source
        inside = right < self.photo.width and bottom < self.photo.height
        return inside and min(left, top) > 0


def batches(blocks: Sequence[Block]) -> Iterator[tuple[rasterio.windows.Window, list[Block]]]:
    """Group blocks, in order, into reads of at most MAX_READ_PX (or one block)."""
    group: list[Block] = []
    union: Box = (0, 0, 0, 0)
    for block in blocks:
        wider = _union(union, block.source) if group else block.source
        if group and _area(wider) > MAX_READ_PX:
            yield _window(union), group
            group, wider = [], block.source
        group.append(block)
        union = wider
    if group:
        yield _window(union), group


def _full_turn(crs: CRS) -> float:
    """Return 360 degrees in the unit of a geographic CRS."""
    return 2.0 * math.pi / float(crs.axis_info[0].unit_conversion_factor)


def _union(one: Box, other: Box) -> Box:
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])


def _window(box: Box) -> rasterio.windows.Window:
    return rasterio.windows.Window(box[0], box[1], box[2] - box[0], box[3] - box[1])


def _cuts(start: float, size: int, side: int) -> list[int]:
    """Return where multiples of `side` of the world's pixel count fall on a window that begins at
    `start`: from at or before 0 to at or after `size`."""
    first = -(round(start) % side)
    return list(range(first, size + side, side))


def _affine(quad: NDArray[np.float64], *, left: int, top: int, side: int) -> Affine:
    """Fit the affine map of a square block to its four mapped corners, exact at the mean of them."""
    across = (quad[:, 1] - quad[:, 0]).mean(0) / side
    down = (quad[1] - quad[0]).mean(0) / side
    start = quad.mean((0, 1)) - (across + down) * side / 2
    shift = start - across * left - down * top
    return Affine(across[0], down[0], shift[0], across[1], down[1], shift[1])


def _whole_shift(block: Block) -> tuple[int, int] | None:
    """Return the whole-pixel shift from window to source if the block's map is one, else None."""
    matrix, (left, top, right, bottom) = block.matrix, block.pixels
    side = max(right - left, bottom - top)
    turned = max(abs(matrix.a - 1), abs(matrix.e - 1), abs(matrix.b), abs(matrix.d))
    x, y = matrix @ (left, top)
    dx, dy = x - left, y - top
    off = max(abs(dx - round(dx)), abs(dy - round(dy)))
    return (round(dx), round(dy)) if off + turned * side < ALIGNED_PX else None


def _copied(block: Block, part: RGBA, shift: tuple[int, int], *, solid: bool) -> Layer:
    """Take a block out of a picture on the same grid; what lies beyond the picture is not covered."""
    left, top, right, bottom = block.pixels
    x, y = left + shift[0] - block.source[0], top + shift[1] - block.source[1]
    height, width = bottom - top, right - left
    inside = part[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)]
    if solid and inside.shape[:2] == (height, width):
        return inside
    layer = np.zeros((height, width, 4), np.float32)
    row, column = max(-y, 0), max(-x, 0)
    layer[row : row + inside.shape[0], column : column + inside.shape[1]] = inside
    return layer
