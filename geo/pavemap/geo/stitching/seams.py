"""Which ends of lines belong together over the sides of cells, as far as that can be known yet.

A cell's lines are cut at its sides, so a crack that goes on in the next cell has an end on their common
side in both. Ends of different cells that lie together are paired, nearest first. Who is paired depends
only on a group of ends of which each is near another; a group is left for later as a whole while one
of its ends could still get a neighbour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from pavemap.geo.grid import Grid
from pavemap.geo.groups import groups

TOLERANCE_PX = 1.5
"""Ends of neighbouring cells at most this far apart are one place of one crack."""

ON_SIDE_PX = 0.25
"""A line that was cut ends this near to its cell's side, storage in degrees allowed for."""

CONTACT_PX = 0.02
"""Ends this near to each other are the same point: a node of the network."""


@dataclass(frozen=True)
class Ends:
    """The ends of N lines, 2 i the first and 2 i + 1 the last of line i.

    points: (2 N, 2) x, y. cells: (2 N, 2) column and row of the cell that saw the end.
    free: (2 N,) bool, whether the end may still be paired. waiting: (2 N,) bool, whether lines that
    come later may end beside it.
    """

    points: NDArray[np.float64]
    cells: NDArray[np.int64]
    free: NDArray[np.bool_]
    waiting: NDArray[np.bool_]


def match_ends(ends: Ends, *, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Pair ends across cell sides.

    Returns (2 N,) the partner of each end, or -1 (what `walk_chains` takes), and (2 N,) whether that is
    final. Where three or more ends meet there is a junction, and none of them is paired.
    """
    partner = np.full(len(ends.points), -1, np.int64)
    final = ~ends.waiting
    at_side = np.flatnonzero(ends.free & _on_side(ends, grid))
    if not len(at_side):
        return partner, final
    near = KDTree(ends.points[at_side]).query_pairs(
        TOLERANCE_PX * grid.gsd_m, output_type="ndarray"
    )
    group = groups(near, len(at_side))
    late = np.bincount(group, ends.waiting[at_side])[group] > 0
    final[at_side] = ~late
    first, second = at_side[near].T
    apart = np.abs(ends.cells[first] - ends.cells[second]).max(axis=1)
    distance = np.hypot(*(ends.points[first] - ends.points[second]).T)
    crowded = np.zeros(len(partner), np.bool_)
    crowded[at_side] = _crowded(near[distance <= CONTACT_PX * grid.gsd_m], len(at_side))
    good = (apart == 1) & ~crowded[first] & ~crowded[second] & ~late[near[:, 0]]
    _pair_nearest(partner, first[good], second[good], distance[good])
    return partner, final


def _on_side(ends: Ends, grid: Grid) -> NDArray[np.bool_]:
    low = ends.cells * grid.cell_m
    to_side = np.minimum(np.abs(ends.points - low), np.abs(ends.points - low - grid.cell_m))
    on_side: NDArray[np.bool_] = to_side.min(axis=1) <= ON_SIDE_PX * grid.gsd_m
    return on_side


def _crowded(contacts: NDArray[np.int64], count: int) -> NDArray[np.bool_]:
    """Mark points where three or more lie together."""
    crowded = np.bincount(contacts.ravel(), minlength=count) > 1
    crowded[contacts[crowded[contacts].any(axis=1)].ravel()] = True
    return crowded


def _pair_nearest(
    partner: NDArray[np.int64],
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    distance: NDArray[np.float64],
) -> None:
    """Fill `partner` from candidate pairs, the nearest pair of free ends first."""
    low_end, high_end = np.minimum(first, second), np.maximum(first, second)
    nearest = np.lexsort([high_end, low_end, distance])
    first, second = first[nearest], second[nearest]
    while len(first):
        rank = np.arange(len(first))
        best = np.full(len(partner), len(first))
        np.minimum.at(best, first, rank)
        np.minimum.at(best, second, rank)
        mutual = (best[first] == rank) & (best[second] == rank)
        partner[first[mutual]] = second[mutual]
        partner[second[mutual]] = first[mutual]
        free = (partner[first] < 0) & (partner[second] < 0)
        first, second = first[free], second[free]
