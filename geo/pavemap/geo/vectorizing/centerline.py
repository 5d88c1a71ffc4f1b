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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.lines.flat_lines import Polylines
from pavemap.geo.vectorizing.bitmap import WORD
from pavemap.geo.vectorizing.coverage import Coverage
from pavemap.geo.vectorizing.crack_graph import CrackGraph, node_degrees
from pavemap.geo.vectorizing.ends import line_ends, place_junctions, trusted_parts
from pavemap.geo.vectorizing.skeleton import Skeleton
from pavemap.geo.vectorizing.widths import Disc, across, disc, inscribed

DIRECTION_SIGMA_PX = 2.0
"""Smoothing before directions are taken: enough to level single steps."""

TANGENT_REACH = 3
"""A tangent is the chord between the points this far before and after."""

SNAP = 256.0
"""Coordinates are rounded to 1/256 pixel: equal in all windows, and exact where cells are cut."""


Columns = tuple[NDArray[np.float64], NDArray[np.float64]]
"""The (n,) x and y of an edge's points."""


class Smoothing(NamedTuple):
    """The two kernels: one to learn directions by, one for the moved points."""

    rough: NDArray[np.float64]
    fine: NDArray[np.float64]


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
    graph: CrackGraph, skeleton: Skeleton, coverage: Coverage, *, smooth_px: float
) -> Polylines:
    """Turn the chains of a graph into lines with widths in pixel coordinates (centres at .5).

    coverage: of the picture that was thinned, its filled holes set. Edges that share a node end in the
    same point.
    """
    smoothing = Smoothing(gaussian(DIRECTION_SIGMA_PX), arc_keeping(smooth_px))
    points, offsets = _refined(graph, skeleton.mask.words, disc(graph.stride), coverage, smoothing)
    return Polylines(points, offsets)


@kernel
def _refined(
    graph: CrackGraph,
    words: NDArray[np.uint64],
    around: Disc,
    coverage: Coverage,
    smoothing: Smoothing,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    lines = _centred(graph, words, around, coverage, smoothing)
    degrees = node_degrees(graph.nodes, graph.node_count)
    cuts = trusted_parts(lines, graph, degrees, words, around)
    places = place_junctions(lines, graph, cuts)
    ends = line_ends(lines, graph, cuts, degrees, places, coverage)
    return _assemble(lines, graph.nodes[:, 0] < 0, cuts, ends)


@kernel
def _centred(
    graph: CrackGraph,
    words: NDArray[np.uint64],
    around: Disc,
    coverage: Coverage,
    smoothing: Smoothing,
) -> NDArray[np.float64]:
    """Return (P, 3) the centred and smoothed points, with widths, of the chains' pixels."""
    lines = np.empty((len(graph.chain), 3))
    longest = np.max(np.diff(graph.offsets)) + 2 * max(len(smoothing.rough), len(smoothing.fine))
    work = np.empty((6, longest))
    for e in range(len(graph.nodes)):
        edge = slice(graph.offsets[e], graph.offsets[e + 1])
        chain, closed = graph.chain[edge], graph.nodes[e, 0] < 0
        padded, n = work[0], len(chain)
        rough, moved = (work[1, :n], work[2, :n]), (work[3, :n], work[4, :n])
        width = work[5, :n]
        _pixel_centres(chain, graph.stride, moved)
        for axis in range(2):
            _smooth(moved[axis], smoothing.rough, closed, True, padded, rough[axis])
        _measure(chain, closed, rough, words, around, coverage, moved, width)
        for axis in range(2):
            _smooth(moved[axis], smoothing.fine, closed, True, padded, rough[axis])
            lines[edge, axis] = rough[axis]
        _smooth(width, smoothing.rough, closed, False, padded, rough[0])
        lines[edge, 2] = rough[0]
    return lines


@kernel
def _pixel_centres(chain: NDArray[np.int64], stride: int, centres: Columns) -> None:
    """Write into `centres` the x and y of n pixels."""
    inverse = 1.0 / stride  # an index is far enough from a row's start for the product to be exact
    for i in range(len(chain)):
        row = int(chain[i] * inverse)
        centres[0][i], centres[1][i] = chain[i] - row * stride - WORD + 0.5, row - 0.5


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
def _measure(
    chain: NDArray[np.int64],
    closed: bool,
    rough: Columns,
    words: NDArray[np.uint64],
    around: Disc,
    coverage: Coverage,
    moved: Columns,
    width: NDArray[np.float64],
) -> None:
    """Measure the crack across an edge; `moved`, the pixels' centres, become the crack's.

    rough: the smoothed pixels. width: (n,), is written.
    """
    x, y = rough
    across_x, across_y = moved
    last = len(chain) - 1
    measured = at_col = at_row = 0
    radius = shift = 0.0
    for i in range(len(chain)):
        dx, dy = _tangent(x, y, i, closed)
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
            px, py = x[i] + along * dx, y[i] + along * dy
            middle, width[i] = across(coverage, px, py, dx, dy, radius, 0.5 * (turn & 1))
            for k in range(measured + 1, i):
                part = (k - measured) / (i - measured)
                width[k] = width[measured] + (width[i] - width[measured]) * part
                across_x[k] *= shift + (middle - shift) * part
                across_y[k] *= shift + (middle - shift) * part
            across_x[i] *= middle
            across_y[i] *= middle
            measured, shift, at_col, at_row = i, middle, col, row
    for i in range(len(chain)):
        across_x[i] += x[i]
        across_y[i] += y[i]


@kernel
def _tangent(
    x: NDArray[np.float64], y: NDArray[np.float64], i: int, closed: bool
) -> tuple[float, float]:
    """Return the unit vector along a smoothed edge at one of its points."""
    last = len(x) - 1
    before, after = i - TANGENT_REACH, i + TANGENT_REACH
    if closed:
        before, after = before % last, after % last
    else:
        before, after = max(before, 0), min(after, last)
    dx, dy = x[after] - x[before], y[after] - y[before]
    norm = max(np.sqrt(dx * dx + dy * dy), 1e-9)
    return dx / norm, dy / norm


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
