"""Crack lines made to meet exactly: near ends joined, lines cut where another ends or crosses.

What the vectoriser draws meets at common points already; lines corrected by hand, or from
elsewhere, may miss each other by a hair. Only lines that need it are touched.
"""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from pavemap.geo.arrays import Floats, Geometries, Integers
from pavemap.geo.groups import groups
from pavemap.geo.lines.flat_lines import Polylines

ROUNDING = 1e-6
"""In the CRS; places this near to each other are one."""


def node_lines(lines: Geometries, tolerance: float) -> Geometries:
    """Return lines that meet at common end points only; tolerance in units of the CRS."""
    lines = _ends_joined(shapely.force_2d(lines), tolerance)
    # A step back by rounding, as cuts may leave, would keep a cell from closing.
    lines = shapely.remove_repeated_points(lines, tolerance=ROUNDING)
    tree = shapely.STRtree(lines)
    nodes, degree = end_nodes(lines)
    hosts = _ended_upon(lines, tree, nodes, degree, tolerance)
    crossing = _crossing(lines, tree, nodes)
    touched = np.unique(np.concatenate([hosts[0], hosts[1], crossing]))
    if not len(touched):
        return lines
    snapped = lines.copy()
    if len(hosts[0]):
        host, which = np.unique(hosts[1], return_inverse=True)
        order = np.argsort(which, kind="stable")
        ends = shapely.multipoints(hosts[2][order], indices=which[order])
        snapped[host] = shapely.snap(lines[host], ends, tolerance * 1.01)
    cut = shapely.get_parts(shapely.union_all(snapped[touched]))
    kept = np.ones(len(lines), np.bool_)
    kept[touched] = False
    return np.concatenate([lines[kept], cut])


def end_nodes(lines: Geometries) -> tuple[Integers, Integers]:
    """Return (N, 2) a number for each end of a line, equal where ends are, and how many ends each has."""
    flat = Polylines.from_shapely(lines)
    ends = np.concatenate(
        [flat.points[flat.offsets[:-1], :2], flat.points[flat.offsets[1:] - 1, :2]]
    )
    _, node = np.unique(_keys(ends), return_inverse=True)
    nodes = node.reshape(2, -1).T.astype(np.int64)
    return nodes, np.bincount(nodes.ravel())


def _keys(points: Floats) -> NDArray[np.complex128]:
    return points[:, 0] + 1j * points[:, 1]


def _ends_joined(lines: Geometries, tolerance: float) -> Geometries:
    """Move loose ends and what lies within the tolerance of them to their mean."""
    flat = Polylines.from_shapely(lines)
    heads, tails = flat.offsets[:-1], flat.offsets[1:] - 1
    at = np.concatenate([heads, tails])
    distinct, which, count = np.unique(
        _keys(flat.points[at, :2]), return_inverse=True, return_counts=True
    )
    places = np.column_stack([distinct.real, distinct.imag])
    pairs = cKDTree(places).query_pairs(tolerance, output_type="ndarray")
    apart = np.hypot(*(places[pairs[:, 0]] - places[pairs[:, 1]]).T)
    # Two junctions stay two; only a loose end is drawn to what is near, and rounding undone.
    pairs = pairs[(count[pairs] == 1).any(axis=1) | (apart < ROUNDING)]
    if not len(pairs):
        return lines
    group = groups(pairs, len(places))
    ends_in = np.bincount(group, count)
    middle = [np.bincount(group, count * places[:, axis]) / ends_in for axis in (0, 1)]
    several = np.bincount(group)[group] > 1
    places = np.where(several[:, None], np.column_stack(middle)[group], places)
    target = np.where(several, group + len(group), np.arange(len(group)))
    ends = np.column_stack([heads, tails])
    joined = target[which].reshape(2, -1).T
    loops = (joined[:, 0] == joined[:, 1]) & (
        which.reshape(2, -1).T[:, 0] != which.reshape(2, -1).T[:, 1]
    )
    # What the tolerance closes must be larger than it: a fleck, or a line folded on itself, is no loop.
    short = loops & ((flat.sizes < 4) | (flat.lengths <= 2.0 * tolerance))
    points = flat.points.copy()
    for end in (0, 1):
        points[ends[:, end], :2] = places[which.reshape(2, -1).T[:, end]]
    moved = Polylines(points, flat.offsets).take(~short).to_shapely()
    return np.asarray(shapely.force_2d(moved), object)


def _ended_upon(
    lines: Geometries, tree: shapely.STRtree, nodes: Integers, degree: Integers, tolerance: float
) -> tuple[Integers, Integers, Geometries]:
    """Return (line, host, point) wherever a line's loose end lies on another line, away from its ends."""
    line, end = np.nonzero(degree[nodes] == 1)
    points = np.asarray(
        np.where(end == 0, shapely.get_point(lines[line], 0), shapely.get_point(lines[line], -1)),
        object,
    )
    at, host = tree.query(points, predicate="dwithin", distance=tolerance)
    other = host != line[at]
    at, host = at[other], host[other]
    return line[at], host, points[at]


def _crossing(lines: Geometries, tree: shapely.STRtree, nodes: Integers) -> Integers:
    """Return the lines that cross another one that they share no end with."""
    one, two = tree.query(lines)
    once = one < two
    one, two = one[once], two[once]
    shared = (nodes[one][:, :, None] == nodes[two][:, None, :]).any(axis=(1, 2))
    one, two = one[~shared], two[~shared]
    met = shapely.crosses(lines[one], lines[two])
    return np.unique(np.concatenate([one[met], two[met]]))
