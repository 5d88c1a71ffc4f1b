"""Which ground was imaged, as polygons: of each cell as it is surveyed, of each pavement as it is measured.

A cell that was imaged whole needs no polygon. Of any other the believed pixels are outlined, to within a
pixel and with a bounded number of vertices: where the mask is a scatter of specks (masked noise), it
is outlined in coarser and coarser blocks, so that a cell never costs more than a few kilobytes.

A pavement's imaged part is what is left of it when all that was not imaged is taken away: cells that are
missing or failed, and the rest of those that were imaged in part. Most pavements lose nothing, and
cost no geometry at all.
"""

from __future__ import annotations

import cv2
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import shapes

from pavemap.geo.arrays import POLYGON_TYPES, Objects, polygonal
from pavemap.geo.grid import Grid

MAX_VERTICES = 2_000
"""Of one cell's imaged part."""

MAX_BORDER_PX = 40_000
"""Pixel sides that are outlined at all; a staircase along each side of a cell has a tenth of it."""

STRAY_PX = 1.0
"""How far the outline may stray from the pixels' sides: the staircase of a slanted edge becomes a line."""


def imaged_part(believed: NDArray[np.bool_], *, transform: Affine) -> shapely.MultiPolygon | None:
    """Outline the imaged pixels (H, W) of a cell; None when that is the whole cell.

    transform maps (column, row) to the coordinates wanted. Empty when nothing was imaged.
    """
    if believed.all():
        return None
    if not believed.any():
        return shapely.MultiPolygon()
    block_px = 1
    while True:
        mask, step = _in_blocks(believed, block_px)
        if _border_px(mask) <= MAX_BORDER_PX:
            part = _outlined(mask)
            if shapely.get_num_coordinates(part) <= MAX_VERTICES:
                break
        block_px *= 2
    matrix = transform @ step

    def placed(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points.T
        return np.column_stack(
            [matrix.a * x + matrix.b * y + matrix.c, matrix.d * x + matrix.e * y + matrix.f]
        )

    moved: shapely.MultiPolygon = shapely.transform(part, placed)
    return moved


def imaged_ground(
    pavements: Objects, *, places: NDArray[np.int64], parts: Objects, grid: Grid
) -> Objects:
    """Return the imaged part of each pavement (N,), in the grid's CRS.

    `places` (M, 2) are the columns and rows of all cells that meet a pavement and were not imaged
    whole; `parts` (M,) what was imaged of each, None where it was nothing.
    """
    unseen = _unseen(places, parts, grid=grid)
    shapely.prepare(pavements)
    hole, pavement = shapely.STRtree(pavements).query(unseen, predicate="intersects")
    imaged = pavements.copy()
    order = np.argsort(pavement, kind="stable")
    members, starts = np.unique(pavement[order], return_index=True)
    groups = np.split(unseen[hole[order]], starts[1:])
    for member, holes in zip(members, groups, strict=False):
        imaged[member] = shapely.difference(pavements[member], shapely.union_all(holes))
    return imaged


def imaged_by_both(one: Objects, other: Objects) -> Objects:
    """Return what two surveys both imaged of each pavement (N,), from the imaged parts in one CRS.

    Polygons only: where the two parts merely touch there is no ground.
    """
    both: Objects = shapely.intersection(one, other)
    for mixed in np.flatnonzero(~np.isin(shapely.get_type_id(both), POLYGON_TYPES)):
        both[mixed] = polygonal(both[mixed])
    return both


def _in_blocks(believed: NDArray[np.bool_], block_px: int) -> tuple[NDArray[np.bool_], Affine]:
    """Return the mask in blocks that are imaged where most of their pixels are, and a block's size."""
    height, width = believed.shape
    rows, cols = max(height // block_px, 1), max(width // block_px, 1)
    if (rows, cols) == (height, width):
        return believed, Affine.identity()
    share = cv2.resize(believed.astype(np.float32), (cols, rows), interpolation=cv2.INTER_AREA)
    return share >= np.float32(0.5), Affine.scale(width / cols, height / rows)


def _border_px(mask: NDArray[np.bool_]) -> int:
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    return int(np.count_nonzero(across) + np.count_nonzero(down))


def _outlined(mask: NDArray[np.bool_]) -> shapely.MultiPolygon:
    """Return the true pixels as polygons in (column, row)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if len(rows) and mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all():
        # At the side of most tiles it is a rectangle.
        box = shapely.box(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        return shapely.MultiPolygon([box])
    found = shapes(mask.astype(np.uint8), mask=mask, connectivity=4)
    whole = np.array([shapely.geometry.shape(outline) for outline, _ in found], dtype=object)
    simple = shapely.simplify(whole, STRAY_PX, preserve_topology=True)
    return polygonal(shapely.union_all(simple))


def _unseen(places: NDArray[np.int64], parts: Objects, *, grid: Grid) -> Objects:
    """Return what was not imaged: whole cells, joined along their rows, and the rest of others."""
    nothing = np.array([part is None for part in parts], dtype=bool)
    rest = shapely.difference(grid.boxes(places[~nothing]), parts[~nothing])
    return np.concatenate([_rows_of(places[nothing], grid), rest[~shapely.is_empty(rest)]])


def _rows_of(places: NDArray[np.int64], grid: Grid) -> Objects:
    """Return cells as rectangles, each as many cells of a row as follow each other."""
    if not len(places):
        return np.empty(0, dtype=object)
    ordered = places[np.lexsort((places[:, 0], places[:, 1]))]
    step = np.diff(ordered, axis=0)
    breaks = np.flatnonzero((step[:, 0] != 1) | (step[:, 1] != 0)) + 1
    first = ordered[np.concatenate([[0], breaks])]
    last = ordered[np.concatenate([breaks - 1, [len(ordered) - 1]])]
    return grid.boxes(first, to=last)
