"""From pixel chains to true lines: centred below the pixel, free of staircase, with true ends.

Every step has a fixed reach of a few local widths, so neighbouring windows draw the same line:

1. A chain is smoothed to learn its direction; profiles across it (see `widths`) then move each point
   to the centre of the crack and give its width.
2. The moved points are smoothed by a kernel of fixed size that leaves straight lines and circular
   arcs where they are (its second moment is zero, so bends are not cut).
3. Within a junction's disc a skeleton is pulled toward the wider side. There each branch is cut back
   and led straight to the one point nearest to all branches' directions.
4. Thinning ends half a width short, or hooks into a corner. Each dead end is cut back and led straight
   on to the border. If the crack is cut square, the line ends on the border; if it is round, at the
   centre of the round, as does the line whose brush stroke it is. A tapering crack ends at its tip.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.vectorizing.bitmap import WORD
from pavemap.geo.vectorizing.ends import line_ends, place_junctions, trusted_parts
from pavemap.geo.vectorizing.graph import CrackGraph
from pavemap.geo.vectorizing.skeleton import Skeleton
from pavemap.geo.vectorizing.widths import Disc, across, disc, inscribed

DIRECTION_SIGMA_PX = 2.0
"""Smoothing before directions are taken: enough to level single steps."""

TANGENT_REACH = 3
"""A tangent is the chord between the points this far before and after."""

SNAP = 256.0
"""Coordinates are rounded to 1/256 pixel: equal in all windows, and exact where cells are cut."""


@lru_cache(maxsize=16)
def gaussian(sigma: float) -> NDArray[np.float64]:
    """Return a normalised Gaussian out to three sigma, odd in length."""
    t = np.arange(-np.ceil(3 * sigma), np.ceil(3 * sigma) + 1)
    weights = np.exp(-0.5 * (t / sigma) ** 2)
    return np.asarray(weights / weights.sum(), np.float64)


@lru_cache(maxsize=16)
def arc_keeping(sigma: float) -> NDArray[np.float64]:
    """Return a smoothing kernel whose second moment is zero: it doesn't draw bends inward."""
    base = gaussian(sigma)
    t = np.arange(len(base)) - len(base) // 2
    second, fourth = (base * t**2).sum(), (base * t**4).sum()
    weights = base * (fourth - second * t**2)
    return np.asarray(weights / weights.sum(), np.float64)


def refine(
    graph: CrackGraph,
    skeleton: Skeleton,
    *,
    probability: NDArray[np.uint8],
    coverage: NDArray[np.float64],
    smooth_px: float,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Turn the chains of a graph into lines (x, y, width) in pixel coordinates (centres at .5).

    probability is the picture that was thinned, its filled holes set; coverage is its
    `coverage_table`. Returns points (Q, 3) and offsets (E + 1,). Edges that share a node end in the
    same point.
    """
    points, offsets = _refined(
        graph.chain,
        graph.offsets,
        graph.nodes,
        graph.radii,
        graph.node_count,
        skeleton.mask.words,
        graph.stride,
        disc(graph.stride),
        probability.reshape(-1),
        probability.shape,
        coverage,
        gaussian(DIRECTION_SIGMA_PX),
        arc_keeping(smooth_px),
    )
    return points, offsets


@kernel
def _refined(
    chain: NDArray[np.int64],
    offsets: NDArray[np.int64],
    nodes: NDArray[np.int64],
    radii: NDArray[np.float64],
    node_count: int,
    words: NDArray[np.uint64],
    stride: int,
    around: Disc,
    pixels: NDArray[np.uint8],
    shape: tuple[int, int],
    coverage: NDArray[np.float64],
    rough: NDArray[np.float64],
    fine: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    closed = nodes[:, 0] < 0
    lines = np.empty((len(chain), 3))
    longest = np.max(np.diff(offsets)) + 2 * max(len(rough), len(fine))
    work = np.empty((6, longest))
    for e in range(len(closed)):
        edge = slice(offsets[e], offsets[e + 1])
        _centre(
            chain[edge],
            closed[e],
            words,
            stride,
            around,
            pixels,
            shape,
            coverage,
            rough,
            fine,
            work,
            lines[edge],
        )
    degrees = np.zeros(node_count, np.int64)
    for node in nodes.reshape(-1):
        if node >= 0:
            degrees[node] += 1
    cuts = trusted_parts(lines, chain, offsets, nodes, radii, degrees, words, around)
    places = place_junctions(lines, offsets, nodes, radii, cuts, node_count)
    ends = line_ends(lines, offsets, nodes, cuts, degrees, places, pixels, shape, coverage)
    return _assemble(lines, closed, cuts, ends)


@kernel
def _smooth(
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    closed: bool,
    odd: bool,
    padded: NDArray[np.float64],
    smooth: NDArray[np.float64],
) -> None:
    """Convolve with even weights into `smooth`; values past open ends are mirrored.

    odd: they are mirrored through the end point, which then stays where it is. padded: room to work.
    """
    n, reach = len(values), len(weights) // 2
    padded[reach : reach + n] = values
    for k in range(1, reach + 1):
        padded[reach - k] = _beyond(values, -k, n - 1, closed, odd)
        padded[reach + n - 1 + k] = _beyond(values, n - 1 + k, n - 1, closed, odd)
    for i in range(n):
        smooth[i] = weights[reach] * values[i]
    for j in range(reach):  # tap by tap, so that the inner loop runs as vector code
        for i in range(n):
            smooth[i] += weights[j] * (padded[i + j] + padded[i + 2 * reach - j])


@kernel
def _beyond(values: NDArray[np.float64], k: int, last: int, closed: bool, odd: bool) -> float:
    """Return the value that stands for an index past either end."""
    if closed:
        return float(values[k % last])
    end = values[0] if k < 0 else values[last]
    mirrored = values[min(-k, last)] if k < 0 else values[max(2 * last - k, 0)]
    return float(2.0 * end - mirrored if odd else mirrored)


@kernel
def _centre(
    chain: NDArray[np.int64],
    closed: bool,
    words: NDArray[np.uint64],
    stride: int,
    around: Disc,
    pixels: NDArray[np.uint8],
    shape: tuple[int, int],
    coverage: NDArray[np.float64],
    rough: NDArray[np.float64],
    fine: NDArray[np.float64],
    work: NDArray[np.float64],
    line: NDArray[np.float64],
) -> None:
    """Write into `line` (n, 3) the centred and smoothed points, with widths, of an edge's n pixels."""
    n, last = len(chain), len(chain) - 1
    x, y, across_x, across_y, width = (
        work[1, :n],
        work[2, :n],
        work[3, :n],
        work[4, :n],
        work[5, :n],
    )
    inverse = 1.0 / stride  # an index is far enough from a row's start for the product to be exact
    for i in range(n):
        row = int(chain[i] * inverse)
        across_x[i], across_y[i] = chain[i] - row * stride - WORD + 0.5, row - 0.5
    _smooth(across_x, rough, closed, True, work[0], x)
    _smooth(across_y, rough, closed, True, work[0], y)
    measured = at_col = at_row = 0
    radius = shift = 0.0
    for i in range(n):
        before, after = i - TANGENT_REACH, i + TANGENT_REACH
        if closed:
            before, after = before % last, after % last
        else:
            before, after = max(before, 0), min(after, last)
        dx, dy = x[after] - x[before], y[after] - y[before]
        norm = max(np.sqrt(dx * dx + dy * dy), 1e-9)
        dx, dy = dx / norm, dy / norm
        col, row = int(across_x[i]), int(across_y[i])
        across_x[i], across_y[i] = -dy, dx
        # Two of four pixels on any straight way are measured, chosen by their place on the world's
        # grid (which windows share); between them is interpolated. One of the two is measured half a
        # pixel further along and with half a pixel's phase: centres alone don't stand for the whole
        # of a slanted crack. (0.35: whichever way is "along", rounding must not decide it.)
        turn = (col + 2 * row) & 3
        if turn < 2 or i in (0, last):
            along = 0.5 * turn / max(abs(dx), abs(dy), 0.5) if turn < 2 else 0.0
            along = along if dx + 0.35 * dy > 0.0 else -along
            way = np.sqrt((col - at_col) ** 2 + (row - at_row) ** 2)
            radius = inscribed(words, chain[i], around, radius - way)
            middle, width[i] = across(
                pixels,
                shape,
                coverage,
                x[i] + along * dx,
                y[i] + along * dy,
                dx,
                dy,
                radius,
                0.5 * (turn & 1),
            )
            for k in range(measured + 1, i):
                part = (k - measured) / (i - measured)
                width[k] = width[measured] + (width[i] - width[measured]) * part
                across_x[k] *= shift + (middle - shift) * part
                across_y[k] *= shift + (middle - shift) * part
            across_x[i] *= middle
            across_y[i] *= middle
            measured, shift, at_col, at_row = i, middle, col, row
    for i in range(n):
        across_x[i] += x[i]
        across_y[i] += y[i]
    _smooth(across_x, fine, closed, True, work[0], x)
    _smooth(across_y, fine, closed, True, work[0], y)
    line[:, 0], line[:, 1] = x, y
    _smooth(width, rough, closed, False, work[0], x)
    line[:, 2] = x


@kernel
def _assemble(
    lines: NDArray[np.float64],
    closed: NDArray[np.bool_],
    cuts: NDArray[np.int64],
    ends: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Put together each edge's first point, trusted points and last point."""
    count = len(closed)
    points = np.empty((len(lines) + 2 * count, 3))
    starts = np.zeros(count + 1, np.int64)
    size = 0
    for e in range(count):
        low, last = cuts[e, 0], cuts[e, 1]
        if closed[e]:
            for k in range(low, last + 1):
                points[size] = lines[k if k < last else low]
                size += 1
        else:
            points[size, :2] = ends[e, 0]
            points[size, 2] = lines[low, 2]
            size += 1
            for k in range(low, last + 1):
                points[size] = lines[k]
                size += 1
            points[size, :2] = ends[e, 1]
            points[size, 2] = lines[last, 2]
            size += 1
        starts[e + 1] = size
    for k in range(size):
        for axis in range(2):
            points[k, axis] = np.round(points[k, axis] * SNAP) / SNAP
    return points[:size], starts
