"""The two ends of each crack line: at a junction, or where the crack itself ends.

`lines` below are (P, 3) centred points with widths, one for each pixel of the graph's chains.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.vectorizing.coverage import Coverage, coverage_at
from pavemap.geo.vectorizing.crack_graph import CrackGraph
from pavemap.geo.vectorizing.widths import Disc, across, inscribed

JUNCTION_MARGIN_PX = 2.0
"""How far past a junction's disc a branch is taken to be undisturbed."""

LONGEST_CUT = 0.4
"""An edge is never cut back at one side by more than this part of its length."""

END_RAYS = (-0.8, -0.72, -0.64, -0.56, -0.3, -0.15, 0.0, 0.15, 0.3, 0.56, 0.64, 0.72, 0.8)
"""Where across a crack's end, in half-widths, it is felt how far the crack reaches."""


@kernel
def trusted_parts(
    lines: NDArray[np.float64],
    graph: CrackGraph,
    degrees: NDArray[np.int64],
    words: NDArray[np.uint64],
    around: Disc,
) -> NDArray[np.int64]:
    """Return (E, 2) the first and last point of each edge that are trusted."""
    offsets, nodes = graph.offsets, graph.nodes
    cuts = np.empty((len(nodes), 2), np.int64)
    for e in range(len(nodes)):
        low, last = offsets[e], offsets[e + 1] - 1
        cuts[e, 0], cuts[e, 1] = low, last
        if nodes[e, 0] < 0:
            continue
        longest = LONGEST_CUT * _length(lines, low, last)
        for side in range(2):
            start, step = (last, -1) if side else (low, 1)
            if degrees[nodes[e, side]] > 1:
                reach = graph.radii[e, side] + JUNCTION_MARGIN_PX
            else:
                tip = (start, low + last - start)
                reach = 1.5 * _end_radius(lines, graph.chain, tip, words, around) + 1.0
            reach = min(reach, longest)
            k = start
            covered = 0.0
            while covered < reach:
                covered += _distance(lines, k, k + step)
                k += step
            cuts[e, side] = k
    return cuts


@kernel
def _distance(lines: NDArray[np.float64], i: int, j: int) -> float:
    dx, dy = lines[i, 0] - lines[j, 0], lines[i, 1] - lines[j, 1]
    return float(np.sqrt(dx * dx + dy * dy))


@kernel
def _length(lines: NDArray[np.float64], low: int, last: int) -> float:
    total = 0.0
    for k in range(low, last):
        total += _distance(lines, k, k + 1)
    return total


@kernel
def _end_radius(
    lines: NDArray[np.float64],
    chain: NDArray[np.int64],
    tip: tuple[int, int],
    words: NDArray[np.uint64],
    around: Disc,
) -> float:
    """Return the crack's half-width near a tip, though the skeleton may hook into a corner there.

    tip: the points between which the edge runs, the tip's first.
    """
    k, far = tip
    step = 1 if far > k else -1
    radius, covered = inscribed(words, chain[k], around, 0.0), 0.0
    while k != far and covered <= 1.5 * radius + 2.0:
        covered += _distance(lines, k, k + step)
        k += step
        radius = max(radius, inscribed(words, chain[k], around, 0.0))
    return float(radius)


@kernel
def _outward(
    lines: NDArray[np.float64], cuts: NDArray[np.int64], e: int, side: int, reach: float
) -> tuple[float, float]:
    """Return the unit vector in which an edge's trusted part leaves at one side."""
    start, far = cuts[e, side], cuts[e, 1 - side]
    step = 1 if far > start else -1
    k = start
    while k != far and _distance(lines, start, k) < reach:
        k += step
    dx, dy = lines[start, 0] - lines[k, 0], lines[start, 1] - lines[k, 1]
    norm = np.sqrt(dx * dx + dy * dy)
    return (dx / norm, dy / norm) if norm > 0.0 else (0.0, 0.0)


@kernel
def place_junctions(
    lines: NDArray[np.float64], graph: CrackGraph, cuts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Put each junction where the lines of its branches come closest (least squares).

    The middle of the skeleton's own junction pixels has a small weight, which settles the place along
    branches that are all parallel, and is taken instead if the lines meet outside the junction.
    """
    nodes, radii = graph.nodes, graph.radii
    middle = np.zeros((graph.node_count, 4))  # x, y, number of ends, radius
    for e in range(len(nodes)):
        for side in range(2):
            node = nodes[e, side]
            if node >= 0:
                k = graph.offsets[e + 1] - 1 if side else graph.offsets[e]
                middle[node, 0] += lines[k, 0]
                middle[node, 1] += lines[k, 1]
                middle[node, 2] += 1.0
                middle[node, 3] = max(middle[node, 3], radii[e, side])
    normal = np.zeros((graph.node_count, 5))  # a11, a12, a22, b1, b2
    for e in range(len(nodes)):
        for side in range(2):
            node = nodes[e, side]
            if node >= 0:
                ux, uy = _outward(lines, cuts, e, side, max(4.0, radii[e, side]))
                x, y = lines[cuts[e, side], 0], lines[cuts[e, side], 1]
                across = uy * x - ux * y
                normal[node, 0] += uy * uy
                normal[node, 1] -= uy * ux
                normal[node, 2] += ux * ux
                normal[node, 3] += uy * across
                normal[node, 4] -= ux * across
    placed = np.empty((graph.node_count, 2))
    for n in range(graph.node_count):
        ends = middle[n, 2]
        cx, cy = middle[n, 0] / ends, middle[n, 1] / ends
        pull = 0.02 * ends
        a11, a12, a22 = normal[n, 0] + pull, normal[n, 1], normal[n, 2] + pull
        b1, b2 = normal[n, 3] + pull * cx, normal[n, 4] + pull * cy
        determinant = a11 * a22 - a12 * a12
        x = (b1 * a22 - b2 * a12) / determinant
        y = (a11 * b2 - a12 * b1) / determinant
        inside = (x - cx) ** 2 + (y - cy) ** 2 <= (middle[n, 3] + 1.0) ** 2
        placed[n, 0], placed[n, 1] = (x, y) if inside else (cx, cy)
    return placed


@kernel
def line_ends(
    lines: NDArray[np.float64],
    graph: CrackGraph,
    cuts: NDArray[np.int64],
    degrees: NDArray[np.int64],
    placed: NDArray[np.float64],
    coverage: Coverage,
) -> NDArray[np.float64]:
    """Return (E, 2, 2) the first and last point of each edge; a bad cut at a dead end is undone."""
    nodes = graph.nodes
    ends = np.zeros((len(nodes), 2, 2))
    for e in range(len(nodes)):
        for side in range(2):
            node = nodes[e, side]
            if node < 0:
                continue
            if degrees[node] > 1:
                ends[e, side, 0], ends[e, side, 1] = placed[node, 0], placed[node, 1]
                continue
            tip = graph.offsets[e + 1] - 1 if side else graph.offsets[e]
            cut = cuts[e, side]
            length = _length(lines, min(tip, cut), max(tip, cut))
            ux, uy = _outward(lines, cuts, e, side, 4.0 + lines[cut, 2])
            way = _way_to_end(coverage, lines[cut], ux, uy, length)
            if way < 0.0:
                cuts[e, side] = tip
                ends[e, side, 0], ends[e, side, 1] = lines[tip, 0], lines[tip, 1]
            else:
                ends[e, side, 0] = lines[cut, 0] + way * ux
                ends[e, side, 1] = lines[cut, 1] + way * uy
    return ends


@kernel
def _way_to_end(
    coverage: Coverage,
    start: NDArray[np.float64],
    ux: float,
    uy: float,
    length: float,
) -> float:
    """Return how far straight on from a point a crack ends; -1 if it bends away before.

    length is what the skeleton itself still ran from there.
    """
    x, y, width = start[0], start[1], start[2]
    border, cut = _way_to_border(coverage, x, y, ux, uy, length + width + 3.0)
    if border < 0.0 or border < 0.9 * length - 1.0:
        return -1.0
    if cut:
        return border
    half = 0.5 * width
    for _ in range(10):  # the half-width just that far from the end; it shrinks to 0 on a taper
        at = max(border - half, 0.0)
        half = min(
            half,
            0.5 * across(coverage, x + at * ux, y + at * uy, ux, uy, half, 0.0)[1],
        )
    if half < 0.5:
        return border
    base = max(border - half, 0.0)
    count = mean_s = mean_e = see = ses = 0.0
    for part in END_RAYS:
        t = max(min(part * half, half - 0.5), -(half - 0.5))
        px, py = x + base * ux - t * uy, y + base * uy + t * ux
        if coverage_at(coverage, px, py) < 0.5:
            continue
        s, _ = _way_to_border(coverage, px, py, ux, uy, 3.0 * half + 2.0)
        if s >= 0.0:
            e = np.sqrt(1.0 - (t / half) ** 2)
            count += 1.0
            mean_s += base + s
            mean_e += e
            see += e * e
            ses += e * (base + s)
    if count < 2.0:
        return border
    mean_s /= count
    mean_e /= count
    variance = see / count - mean_e * mean_e
    bulge = (ses / count - mean_e * mean_s) / variance if variance > 1e-9 else 0.0
    return float(max(mean_s - min(max(bulge, 0.0), half) * mean_e, 0.0))


@kernel
def _way_to_border(
    coverage: Coverage,
    x: float,
    y: float,
    ux: float,
    uy: float,
    limit: float,
) -> tuple[float, bool]:
    """Return how far a ray stays in the crack (-1: past limit), and whether the picture ends there."""
    rows, cols = coverage.shape
    before = coverage_at(coverage, x, y)
    s = 0.0
    while s < limit:
        s += 0.5
        px, py = x + s * ux, y + s * uy
        if px < 0.0 or py < 0.0 or px > cols or py > rows:
            out_x = max(-px, px - cols, 0.0) / max(abs(ux), 1e-12)
            out_y = max(-py, py - rows, 0.0) / max(abs(uy), 1e-12)
            return max(s - max(out_x, out_y), 0.0), True
        after = coverage_at(coverage, px, py)
        if after < 0.5:
            fallen = before - after
            part = (before - 0.5) / fallen if fallen > 0.0 and before > 0.5 else 0.0
            return s - 0.5 + 0.5 * part, False
        before = after
    return -1.0, False
