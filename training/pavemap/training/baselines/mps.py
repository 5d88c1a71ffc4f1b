"""Minimal path selection (Amhaz, Chambon, Idier and Baltazart, 2016).

1. End points, locally: the darkest pixel of every cell of P x P pixels, kept when it is darker than the
   mean of all of them by some deviations.
2. Paths: between the end points of neighbouring cells, the path with the least sum of grey (Dijkstra).
3. Selection, globally: a path is kept when its cost, the sum divided by its number of pixels, lies below
   the mean of all paths' costs by some deviations. The kept paths make the skeleton.
4. Artefacts: loops are filled and thinned again, short spikes and short pieces are cut off.
5. Width: pixels beside the crack are added while they are about as dark as its skeleton.

Simplified: a path stays within the cells of its two end points and those around them; spikes are cut by
taking off end pixels a number of times and growing the remaining ends back.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import product
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pavemap.training.baselines.choosing import (
    Floats32,
    Mask,
    Method,
    Pixels,
    flattened,
    grey_of,
    without_specks,
)
from pavemap.training.baselines.compiled import compiled

NEIGHBOURS = ((0, 1), (1, -1), (1, 0), (1, 1))  # half of the eight: a path has two ends
EIGHT = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class EndPoints:
    """The cells, and how much darker than the others an end point is, in deviations."""

    cell_px: int
    end_deviations: float


@dataclass(frozen=True)
class Selection:
    """What a path is kept by, what a piece is kept by, and how far the width grows."""

    path_deviations: float
    least_length_px: int
    width_deviations: float


@dataclass(frozen=True)
class Candidates:
    """All paths of an image."""

    grey: Floats32  # (H, W)
    pixels: NDArray[np.int64]  # flat indices of all paths' pixels, one path after the other
    starts: NDArray[np.int64]  # where each path starts in `pixels`, and the end
    costs: NDArray[np.float64]  # mean grey of each path


def candidates(pixels: Pixels, settings: EndPoints) -> Candidates:
    """Every minimal path between end points of neighbouring cells."""
    grey = np.asarray(cv2.GaussianBlur(flattened(grey_of(pixels)), (0, 0), 1.0), np.float32)
    rows, columns = _end_points(grey, settings)
    flat, starts, costs = _all_paths(
        np.ascontiguousarray(grey, np.float64),
        rows,
        columns,
        settings.cell_px,
        np.array(NEIGHBOURS),
    )
    return Candidates(grey, flat, starts, costs)


def cracks(found: Candidates, selection: Selection) -> Mask:
    """The kept paths, cleaned, at their width."""
    skeleton = np.zeros(found.grey.shape, bool)
    if not len(found.costs):
        return skeleton
    limit = found.costs.mean() - selection.path_deviations * found.costs.std()
    kept = np.repeat(found.costs < limit, np.diff(found.starts))
    skeleton.reshape(-1)[found.pixels[kept]] = True
    skeleton = _cleaned(skeleton, selection.least_length_px)
    return _widened(skeleton, found.grey, selection.width_deviations)


def _end_points(grey: Floats32, settings: EndPoints) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column (cells down, cells across) of each cell's end point; -1 where it has none."""
    side = settings.cell_px
    down, across = grey.shape[0] // side, grey.shape[1] // side
    blocks = grey[: down * side, : across * side].reshape(down, side, across, side)
    cells = blocks.transpose(0, 2, 1, 3).reshape(down, across, side * side)
    row, column = np.divmod(cells.argmin(-1), side)
    darkest = cells.min(-1)
    kept = darkest < darkest.mean() - settings.end_deviations * darkest.std()
    rows = np.where(kept, row + np.arange(down)[:, None] * side, -1)
    columns = np.where(kept, column + np.arange(across)[None] * side, -1)
    return rows.astype(np.int64), columns.astype(np.int64)


@compiled
def _all_paths(
    grey: NDArray[np.float64],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    cell_px: int,
    neighbours: NDArray[np.int64],
) -> Any:
    """The pixels of every path, where each starts, and its mean grey."""
    height, width = grey.shape
    pixels = [0 for _ in range(0)]
    starts = [0]
    costs = [0.0 for _ in range(0)]
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            if rows[i, j] < 0:
                continue
            top, left = max(0, (i - 2) * cell_px), max(0, (j - 2) * cell_px)
            bottom, right = min(height, (i + 3) * cell_px), min(width, (j + 3) * cell_px)
            window = grey[top:bottom, left:right]
            wide = right - left
            best, before = _spread(window, rows[i, j] - top, columns[i, j] - left)
            for n in range(len(neighbours)):
                k, m = i + neighbours[n, 0], j + neighbours[n, 1]
                if k >= rows.shape[0] or m < 0 or m >= rows.shape[1] or rows[k, m] < 0:
                    continue
                place = (rows[k, m] - top) * wide + columns[k, m] - left
                total = best[place]
                while place >= 0:
                    pixels.append((top + place // wide) * width + left + place % wide)
                    place = before[place]
                costs.append(total / (len(pixels) - starts[-1]))
                starts.append(len(pixels))
    return np.array(pixels, np.int64), np.array(starts, np.int64), np.array(costs, np.float64)


@compiled
def _spread(grey: NDArray[np.float64], row: int, column: int) -> Any:
    """Dijkstra from a pixel: each pixel's least sum of grey, and the pixel before it; flat."""
    height, width = grey.shape
    best = np.full(height * width, np.inf)
    before = np.full(height * width, -1)
    start = row * width + column
    best[start] = grey[row, column]
    heap = [(best[start], start)]
    while heap:
        cost, place = heapq.heappop(heap)
        if cost > best[place]:
            continue
        y, x = place // width, place % width
        for v in range(max(0, y - 1), min(height, y + 2)):
            for u in range(max(0, x - 1), min(width, x + 2)):
                further = cost + grey[v, u]
                if further < best[v * width + u]:
                    best[v * width + u] = further
                    before[v * width + u] = place
                    heapq.heappush(heap, (further, v * width + u))
    return best, before


def _cleaned(paths: Mask, least_length_px: int) -> Mask:
    """One skeleton of the paths: loops filled and thinned, short spikes and pieces cut off."""
    from skimage import morphology

    # Paths go from corner to corner; ground that did too would leak out of their loops.
    ground = without_specks(~paths, least_px=least_length_px, connectivity=4)
    thin: Any = morphology.skeletonize
    skeleton = _mask(thin(~ground))
    pruned = skeleton
    spike_px = least_length_px // 4
    for _ in range(spike_px):
        pruned = pruned & ~_ends(pruned)
    ends = _ends(pruned)
    for _ in range(spike_px):  # what was cut off true ends grows back, spikes do not
        ends = (_mask(ndimage.binary_dilation(ends, EIGHT)) & skeleton & ~pruned) | ends
    return without_specks(pruned | (ends & skeleton), least_px=least_length_px)


def _ends(skeleton: Mask) -> Mask:
    counts = cv2.filter2D(skeleton.astype(np.uint8), -1, EIGHT, borderType=cv2.BORDER_CONSTANT)
    return skeleton & _mask(counts <= 2)


def _widened(skeleton: Mask, grey: Floats32, deviations: float) -> Mask:
    if not skeleton.any():
        return skeleton
    on_crack = grey[skeleton]
    dark = grey <= on_crack.mean() + deviations * on_crack.std()
    allowed = (dark & _near(skeleton)) | skeleton
    return _mask(ndimage.binary_propagation(skeleton, EIGHT, mask=allowed))


def _near(skeleton: Mask) -> Mask:
    """Within 8 pixels: wider than that is no crack of this method's."""
    return _mask(cv2.dilate(skeleton.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0)


def _mask(array: Any) -> Mask:
    return np.asarray(array, np.bool_)


METHOD = Method(
    first=[EndPoints(cell, ends) for cell, ends in product((8, 12, 16, 20), (-0.5, 0.0, 0.5))],
    second=[
        Selection(paths, length, widths)
        for paths, length, widths in product((-0.25, 0.0, 0.5), (60, 100, 150), (0.0, 1.0, 2.0))
    ],
    respond=candidates,
    decide=cracks,
    most_images=18,
)
