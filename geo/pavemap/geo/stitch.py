"""Stitching: the lines of single cells become cracks that run over any number of cells.

A cell's lines are cut at its sides, so a crack that goes on in the next cell has an end on their common
side in both. Ends of different cells that lie together are joined, nearest first; the result is the
same in whatever order the lines come. Beyond the lines themselves memory is needed for the ends on cell
sides only.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from pavemap.geo.chains import Chains, walk_chains
from pavemap.geo.crs import ground_scales
from pavemap.geo.grid import Grid
from pavemap.geo.lines import Geometries, Polylines

TOLERANCE_PX = 1.5
"""Ends of neighbouring cells at most this far apart are one place of one crack."""

ON_SIDE_PX = 0.25
"""A line that was cut ends this near to its cell's side, storage in degrees allowed for."""

CONTACT_PX = 0.02
"""Ends this near to each other are the same point: a node of the network."""


def stitch(
    lines: Geometries,
    cells: NDArray[np.int64],
    *,
    grid: Grid,
    min_length_m: float = 0.0,
) -> tuple[Geometries, NDArray[np.int64]]:
    """Join lines over cell sides; drop networks of joined lines shorter than `min_length_m`.

    lines: (N,) LineString Z in the grid's CRS, each within its cell. cells: (N, 2) column and row.
    Returns the cracks and, for each line given, the index of its crack, or -1 where that was dropped.
    Where three or more ends meet on a side there is a junction, and all of them stay ends.
    """
    if not len(lines):
        return lines, np.empty(0, np.int64)
    order = _canonical_order(lines, cells)
    flat = Polylines.from_shapely(lines[order])
    partner = match_ends(_ends(flat), cells[order], grid=grid)
    chains = walk_chains(partner)
    joined = _joined(flat, partner, chains)
    chain_of = np.empty(len(lines), np.int64)
    chain_of[order[chains.entries // 2]] = np.repeat(
        np.arange(len(joined)), np.diff(chains.offsets)
    )
    if min_length_m <= 0.0:
        return joined.to_shapely(), chain_of
    keep = network_lengths(joined, grid=grid) >= min_length_m
    number = np.where(keep, np.cumsum(keep) - 1, -1)
    return joined.take(keep).to_shapely(), number[chain_of]


def match_ends(
    ends: NDArray[np.float64], cells: NDArray[np.int64], *, grid: Grid
) -> NDArray[np.int64]:
    """Pair the ends of lines across cell sides.

    ends: (N, 2, 2) first and last point of each line; cells: (N, 2). Returns (2 N,) the partner of each
    end (2 i the first, 2 i + 1 the last of line i), or -1: what `walk_chains` takes.
    """
    partner = np.full(2 * len(ends), -1, np.int64)
    open_line = (ends[:, 0] != ends[:, 1]).any(axis=1)
    points, cell = ends.reshape(-1, 2), np.repeat(cells, 2, axis=0)
    low = cell * grid.cell_m
    to_side = np.minimum(np.abs(points - low), np.abs(points - low - grid.cell_m)).min(axis=1)
    at_side = np.flatnonzero((to_side <= ON_SIDE_PX * grid.gsd_m) & np.repeat(open_line, 2))
    if len(at_side) < 2:
        return partner
    tree = KDTree(points[at_side])
    at_side = at_side[~_crowded(tree, CONTACT_PX * grid.gsd_m)]
    pairs = KDTree(points[at_side]).query_pairs(TOLERANCE_PX * grid.gsd_m, output_type="ndarray")
    first, second = at_side[pairs].T
    apart = np.abs(cell[first] - cell[second]).max(axis=1)
    first, second = first[apart == 1], second[apart == 1]
    distance = np.hypot(*(points[first] - points[second]).T)
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
    return partner


def network_lengths(lines: Polylines, *, grid: Grid) -> NDArray[np.float64]:
    """Return for each line the length, in true metres, of all lines it is connected with."""
    count = len(lines)
    points = _ends(lines).reshape(-1, 2)
    pairs = KDTree(points).query_pairs(CONTACT_PX * grid.gsd_m, output_type="ndarray") // 2
    links = coo_array((np.ones(len(pairs), np.int8), tuple(pairs.T)), shape=(count, count))
    network = connected_components(links, directed=False)[1]
    middle = lines.points[(lines.offsets[:-1] + lines.offsets[1:] - 1) // 2]
    true = lines.lengths / ground_scales(grid.crs, middle[:, 0], middle[:, 1])
    lengths: NDArray[np.float64] = np.bincount(network, true)[network]
    return lengths


def _ends(lines: Polylines) -> NDArray[np.float64]:
    """Return (N, 2, 2) the first and last x, y of each line."""
    tips = np.column_stack([lines.offsets[:-1], lines.offsets[1:] - 1])
    return lines.points[tips][:, :, :2]


def _canonical_order(lines: Geometries, cells: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return an order of the lines that depends on where they are, not on how they came."""
    start = shapely.get_coordinates(shapely.get_point(lines, 0))
    keys = [*start.T, *shapely.bounds(lines).T, shapely.length(lines), *np.asarray(cells).T]
    return np.lexsort(keys)


def _crowded(tree: KDTree, contact: float) -> NDArray[np.bool_]:
    """Mark points where three or more lie together."""
    pairs = tree.query_pairs(contact, output_type="ndarray")
    beside = np.bincount(pairs.ravel(), minlength=tree.n)
    crowded = beside > 1
    crowded[pairs[crowded[pairs].any(axis=1)].ravel()] = True
    return crowded


def _joined(lines: Polylines, partner: NDArray[np.int64], chains: Chains) -> Polylines:
    """Copy the lines chain by chain, each joint once, in the middle of the two ends."""
    points = lines.points.copy()
    tip = np.column_stack([lines.offsets[:-1], lines.offsets[1:] - 1]).ravel()
    paired = np.flatnonzero(partner >= 0)
    points[tip[paired]] = (lines.points[tip[paired]] + lines.points[tip[partner[paired]]]) / 2.0
    piece, backward = chains.entries // 2, chains.entries % 2
    sizes = lines.sizes[piece]
    ends = np.cumsum(sizes)
    within = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
    step = np.repeat(1 - 2 * backward, sizes)
    source = np.repeat(tip[chains.entries], sizes) + step * within
    repeated = np.zeros(len(source), np.bool_)
    follows = np.ones(len(piece), np.bool_)
    follows[chains.offsets[:-1]] = False
    repeated[(ends - sizes)[follows]] = True
    total = np.add.reduceat(sizes - follows, chains.offsets[:-1])
    return Polylines(points[source[~repeated]], np.concatenate([[0], np.cumsum(total)]))
