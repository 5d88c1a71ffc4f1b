"""Finds where roads meet others between their own ends: the places to cut a network at intersections.

Roads meet where one ends at another (a T), or where two cross on one level (an X). Roads on different
levels (a bridge over a street) cross without meeting; an end that lies on a road meets it on any level,
as a ramp does at the bridge that it leads to. Where only ends meet there is nothing to cut.
"""

from __future__ import annotations

import numpy as np
import shapely

from pavemap.geo.arrays import Floats, Integers
from pavemap.geo.roads.chainage import Ruler

TOUCH_M = 0.05
"""An end this near a road lies on it."""


def junctions_on(ruler: Ruler, level: Integers) -> tuple[Integers, Floats]:
    """Return the junctions of (R,) roads as (road, true metres along it), unsorted, some of them twice.

    `level` (R,) is 0 on the ground.
    """
    found = [_ends_on(ruler), _crossings(ruler, level), _own_crossings(ruler)]
    road, at_m = (np.concatenate(each) for each in zip(*found, strict=True))
    return road.astype(np.int64), at_m


def _ends_on(ruler: Ruler) -> tuple[Integers, Floats]:
    """Return where ends of roads lie on roads, their own among them."""
    points, at_m, first = ruler.plane.points, ruler.true.at_m, ruler.true.first
    start = np.delete(np.arange(len(points)), first[1:] - 1)
    edges = np.asarray(shapely.linestrings(np.stack([points[start], points[start + 1]], axis=1)))
    ends = shapely.points(points[np.column_stack([first[:-1], first[1:] - 1]).ravel()])
    end, edge = shapely.STRtree(edges).query(ends, predicate="dwithin", distance=TOUCH_M)
    share = shapely.line_locate_point(edges[edge], np.asarray(ends)[end], normalized=True)
    low = start[edge]
    road = np.searchsorted(first, low, side="right") - 1
    return road, at_m[low] + share * (at_m[low + 1] - at_m[low])


def _crossings(ruler: Ruler, level: Integers) -> tuple[Integers, Floats]:
    one, other = shapely.STRtree(ruler.flat).query(ruler.flat, predicate="crosses")
    once = (one < other) & (level[one] == level[other])
    one, other = one[once], other[once]
    shared = shapely.intersection(ruler.flat[one], ruler.flat[other])
    places, pair = shapely.get_coordinates(shared, return_index=True)
    road = np.concatenate([one[pair], other[pair]])
    points = np.asarray(shapely.points(np.concatenate([places, places])), dtype=object)
    return road, ruler.locate(road, points)


def _own_crossings(ruler: Ruler) -> tuple[Integers, Floats]:
    """Return where roads cross themselves, at both places along the road."""
    roads: list[Integers] = []
    places: list[Floats] = []
    for road in np.flatnonzero(~shapely.is_simple(ruler.flat)):
        line = ruler.flat[road]
        parts = shapely.get_parts(shapely.node(line))
        nodes = shapely.get_parts(shapely.union_all(shapely.boundary(parts)))
        start, stop = ruler.true.first[road], ruler.true.first[road + 1]
        points, at_m = ruler.plane.points[start:stop], ruler.true.at_m[start:stop]
        edges = np.asarray(shapely.linestrings(np.stack([points[:-1], points[1:]], axis=1)))
        node, edge = shapely.STRtree(edges).query(nodes, predicate="dwithin", distance=TOUCH_M)
        share = shapely.line_locate_point(edges[edge], nodes[node], normalized=True)
        places.append(at_m[edge] + share * (at_m[edge + 1] - at_m[edge]))
        roads.append(np.full(len(edge), road))
    empty = (np.empty(0, dtype=np.int64), np.empty(0))
    return (np.concatenate(roads), np.concatenate(places)) if roads else empty
