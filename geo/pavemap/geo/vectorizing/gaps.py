"""Closing gaps: two ends of cracks that face each other over a short way are one crack.

An end is joined to the nearest end that lies within `gap_px`, straight ahead of it to within an angle,
and for which it is the nearest likewise. Each end looks no farther than twice the gap, and which of two
ends is nearest doesn't depend on where the window lies: windows that share ground join the same ends.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from pavemap.geo.lines.flat_lines import Polylines
from pavemap.geo.vectorizing.chains import walk_chains

MAX_GAP_PX = 8.0
"""No wider gap is closed: over missing imagery, which nobody has seen, it takes at least nine pixels."""

LOOK_BACK_PX = 10
"""A line's direction at its end is that of its last so many vertices, about a pixel each."""

LOOP_GAPS = 4.0
"""A line is closed to a loop only if it is so many times longer than the gap."""

TOUCHING_PX = 1.0
"""Ends nearer than this face each other if their lines do; the way between them has no direction."""


def facing_ends(
    lines: Polylines, dead: NDArray[np.bool_], *, gap_px: float, angle_deg: float
) -> NDArray[np.int64]:
    """Pair ends over gaps.

    lines: N of them, a vertex about each pixel. dead: (N, 2), whether a line's first and last point is
    a crack's end and no junction. Returns (2 N,) the partner of each end or -1, for `walk_chains`.
    """
    partner = np.full(2 * len(lines), -1, np.int64)
    ends = np.flatnonzero(dead)
    if len(ends) < 2:
        return partner
    tips, ahead = _tips(lines, ends)
    pairs = KDTree(tips).query_pairs(gap_px, output_type="ndarray")
    line = ends[pairs] // 2
    long = lines.lengths[line[:, 0]] > LOOP_GAPS * gap_px
    pairs = pairs[(line[:, 0] != line[:, 1]) | long]
    first, second = np.concatenate([pairs, pairs[:, ::-1]]).T
    way = tips[second] - tips[first]
    distance = np.hypot(*way.T)
    near = distance < TOUCHING_PX
    # Seen from either end, the other lies ahead (or, if they touch, its line comes from there).
    straight = np.where(near, -_dot(ahead[first], ahead[second]), _dot(ahead[first], way))
    good = straight >= np.cos(np.deg2rad(angle_deg)) * np.where(near, 1.0, distance)
    half = len(pairs)
    good[:half] &= good[half:]
    good[half:] = good[:half]
    first, second, distance = first[good], second[good], distance[good]
    # By the ends' places: an order that is the same in every window.
    rank = np.empty(len(ends), np.int64)
    rank[np.lexsort(tips.T)] = np.arange(len(ends))
    order = np.lexsort([rank[second], distance, first])
    begins = np.ones(len(order), np.bool_)
    begins[1:] = np.diff(first[order]) > 0
    best = np.full(len(ends), -1, np.int64)
    best[first[order][begins]] = second[order][begins]
    mutual = np.flatnonzero((best >= 0) & (best[best] == np.arange(len(ends))))
    partner[ends[mutual]] = ends[best[mutual]]
    return partner


def bridged(lines: Polylines, partner: NDArray[np.int64]) -> tuple[Polylines, NDArray[np.int64]]:
    """Join lines at paired ends by straight stretches, along which the width changes evenly.

    Returns the lines and, for each, the number of the first line it was made of.
    """
    chains = walk_chains(partner)
    source = [np.empty(0, np.int64)]
    sizes = []
    for c in range(len(chains.closed)):
        entries = chains.entries[chains.offsets[c] : chains.offsets[c + 1]]
        parts = [_vertices(lines, int(entry)) for entry in entries]
        if chains.closed[c]:
            parts.append(parts[0][:1])
        source += parts
        sizes.append(sum(map(len, parts)))
    points = lines.points[np.concatenate(source)]
    return Polylines(points, np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])), (
        chains.entries[chains.offsets[:-1]] // 2
    )


def _vertices(lines: Polylines, entry: int) -> NDArray[np.int64]:
    along = np.arange(lines.offsets[entry // 2], lines.offsets[entry // 2 + 1])
    return along[::-1] if entry % 2 else along


def _tips(
    lines: Polylines, ends: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (K, 2) the places of ends and the unit vectors in which their lines run out."""
    line, last = ends // 2, ends % 2 == 1
    low, high = lines.offsets[line], lines.offsets[line + 1] - 1
    back = np.minimum(LOOK_BACK_PX, high - low)
    tip = np.where(last, high, low)
    points = lines.points[tip, :2]
    out = points - lines.points[np.where(last, high - back, low + back), :2]
    norm = np.maximum(np.hypot(*out.T), 1e-9)
    return points, out / norm[:, None]


def _dot(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = (a * b).sum(axis=1)
    return product
