"""The survey grid: square cells on a pixel grid that is fixed to the world, not to any file.

Pixel (i, j) of the whole survey covers [i g, (i + 1) g) x [j g, (j + 1) g) of the working CRS, g the
ground sampling distance; cell (c, r) holds `cell_px` x `cell_px` of these pixels. Whatever the tiles,
the same ground falls into the same pixels, which is why a result can't depend on how the imagery was cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from pavemap.geo.arrays import in_blocks
from pavemap.geo.errors import BadInput

ALIGNMENT_PX = 32
"""Cells and halos are multiples of this, so that pooling in any network stays in phase with the world."""

LEAST_HALO_PX = 64
"""What vectorising needs around a cell, whatever the network sees."""

POLYGONS_AT_A_TIME = 10_000
"""Polygons whose blocks are split together: at 4 m cells and 100 m segments, some 100 MB."""

CORNER_GRID = 1024.0
"""Corners are rounded to this part of a pixel of the world's grid: alike in every window."""

Bounds = tuple[float, float, float, float]
"""West, south, east, north, in the units of some CRS."""


@dataclass(frozen=True, order=True)
class Cell:
    """One square of the survey grid; `row` grows northward."""

    col: int
    row: int


@dataclass(frozen=True)
class Window:
    """A north-up block of pixels in a working CRS: upper left corner, pixel size in CRS metres, size."""

    crs: CRS
    left: float
    top: float
    gsd_m: float
    width: int
    height: int

    @property
    def transform(self) -> Affine:
        """The affine map from (column, row) to (x, y)."""
        return Affine(self.gsd_m, 0.0, self.left, 0.0, -self.gsd_m, self.top)

    @property
    def bounds(self) -> Bounds:
        """(xmin, ymin, xmax, ymax) in the CRS."""
        right = self.left + self.width * self.gsd_m
        return self.left, self.top - self.height * self.gsd_m, right, self.top

    def box(self) -> shapely.Polygon:
        """The window as a polygon in the CRS."""
        return shapely.box(*self.bounds)

    def to_pixels(self, shapes: NDArray[np.object_]) -> NDArray[np.object_]:
        """Return shapes of the CRS in (column, row), rounded on the world's grid; z is kept."""
        left, top = round(self.left / self.gsd_m), round(self.top / self.gsd_m)

        def moved(points: NDArray[np.float64]) -> NDArray[np.float64]:
            world = np.round(points[:, :2] / self.gsd_m * CORNER_GRID) / CORNER_GRID
            return np.column_stack([world[:, 0] - left, top - world[:, 1], points[:, 2:]])

        has_z = bool(shapely.has_z(shapes).any())
        return np.asarray(shapely.transform(shapes, moved, include_z=has_z), object)


def in_bands(x: NDArray[np.float64], y: NDArray[np.float64], *, height: float) -> NDArray[np.intp]:
    """Return an order of places along bands of a height, from west to east: neighbours come together."""
    return np.lexsort((x, np.floor(y / height)))


def check_gsd(gsd_m: float) -> None:
    """Refuse a pixel that has no size. Raises BadInput."""
    if not (math.isfinite(gsd_m) and gsd_m > 0.0):
        raise BadInput(f"a pixel of {gsd_m} m can't be surveyed; give a size such as 0.002")


def halo_for(reach_px: int) -> int:
    """Return the halo of cells for a network of which a pixel depends on others `reach_px` away."""
    return max(LEAST_HALO_PX, -(-reach_px // ALIGNMENT_PX) * ALIGNMENT_PX)


@dataclass(frozen=True)
class Grid:
    """The cells of one survey: working CRS, pixel size (CRS metres), cell and halo size in pixels."""

    crs: CRS
    gsd_m: float
    cell_px: int = 2048
    halo_px: int = LEAST_HALO_PX

    def __post_init__(self) -> None:
        """Refuse sizes that would put a network's pooling out of phase with the world."""
        check_gsd(self.gsd_m)
        if self.cell_px <= 0 or self.cell_px % ALIGNMENT_PX or self.halo_px % ALIGNMENT_PX:
            raise BadInput(f"cell and halo sizes must be multiples of {ALIGNMENT_PX} pixels")

    @property
    def cell_m(self) -> float:
        """Side of a cell in CRS metres."""
        return self.cell_px * self.gsd_m

    @property
    def halo_m(self) -> float:
        """Width of the halo in CRS metres."""
        return self.halo_px * self.gsd_m

    def bounds(self, cell: Cell) -> Bounds:
        """Return (xmin, ymin, xmax, ymax) of a cell without its halo."""
        left, bottom = self._edge(cell.col), self._edge(cell.row)
        return left, bottom, self._edge(cell.col + 1), self._edge(cell.row + 1)

    def box(self, cell: Cell) -> shapely.Polygon:
        """Return a cell without its halo as a polygon."""
        return shapely.box(*self.bounds(cell))

    def boxes(
        self,
        cells: NDArray[np.int64],
        *,
        to: NDArray[np.int64] | None = None,
        margin_m: float = 0.0,
    ) -> NDArray[np.object_]:
        """Return the squares of (N, 2) columns and rows, or the rectangles that reach from these to others,
        wider by a margin on every side."""
        last = cells if to is None else to
        low, high = cells * self.cell_m - margin_m, (last + 1) * self.cell_m + margin_m
        boxes: NDArray[np.object_] = shapely.box(low[:, 0], low[:, 1], high[:, 0], high[:, 1])
        return boxes

    def window(self, cell: Cell) -> Window:
        """Return the pixels to read for a cell: its own and a halo on every side."""
        size = self.cell_px + 2 * self.halo_px
        left = (cell.col * self.cell_px - self.halo_px) * self.gsd_m
        top = ((cell.row + 1) * self.cell_px + self.halo_px) * self.gsd_m
        return Window(self.crs, left, top, self.gsd_m, size, size)

    def core(self) -> tuple[slice, slice]:
        """Return the slices that take a cell's own pixels out of an array with halo."""
        own = slice(self.halo_px, self.halo_px + self.cell_px)
        return own, own

    def cells_meeting(self, polygons: Iterable[BaseGeometry]) -> list[Cell]:
        """Return, sorted, every cell whose interior a polygon (in the grid's CRS) overlaps."""
        found = self.indices_meeting(np.array(list(polygons), dtype=object))
        return [Cell(col, row) for col, row in found.tolist()]

    def indices_meeting(self, polygons: NDArray[np.object_]) -> NDArray[np.int64]:
        """Return what `cells_meeting` does as an (N, 2) array of columns and rows."""
        found = [self._indices_of(some) for some in in_blocks(polygons, POLYGONS_AT_A_TIME)]
        return np.unique(np.concatenate([*found, np.empty((0, 2), np.int64)]), axis=0)

    def _edge(self, index: int) -> float:
        return index * self.cell_px * self.gsd_m

    def _indices_of(self, polygons: NDArray[np.object_]) -> NDArray[np.int64]:
        """Split all bounding boxes in halves until blocks are single cells, dropping those that miss.

        Blocks are shrunk by a millionth of a cell, so that polygons that only touch one don't meet it.
        """
        polygons = polygons[~shapely.is_empty(polygons)]
        shapely.prepare(polygons)
        inset = self.cell_m * 1e-6 * np.array([1.0, 1.0, -1.0, -1.0])
        blocks = np.floor(shapely.bounds(polygons) / self.cell_m).astype(np.int64)
        blocks[:, 2:] += 1
        owner = np.arange(len(polygons))
        found = [np.empty((0, 2), np.int64)]
        while len(blocks):
            boxes = shapely.box(*(blocks * self.cell_m + inset).T)
            meets = shapely.intersects(polygons[owner], boxes)
            blocks, owner = blocks[meets], owner[meets]
            single = (blocks[:, 2] - blocks[:, 0] == 1) & (blocks[:, 3] - blocks[:, 1] == 1)
            found.append(np.unique(blocks[single, :2], axis=0))
            blocks, owner = _halved(blocks[~single]), np.tile(owner[~single], 2)
        return np.concatenate(found)


def _halved(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    """Cut each (col0, row0, col1, row1) block across its longer side."""
    wide = (blocks[:, 2] - blocks[:, 0]) >= (blocks[:, 3] - blocks[:, 1])
    low, high = blocks.copy(), blocks.copy()
    middle_col = (blocks[:, 0] + blocks[:, 2]) // 2
    middle_row = (blocks[:, 1] + blocks[:, 3]) // 2
    low[:, 2] = np.where(wide, middle_col, blocks[:, 2])
    low[:, 3] = np.where(wide, blocks[:, 3], middle_row)
    high[:, 0] = np.where(wide, middle_col, blocks[:, 0])
    high[:, 1] = np.where(wide, blocks[:, 1], middle_row)
    return np.concatenate([low, high])
