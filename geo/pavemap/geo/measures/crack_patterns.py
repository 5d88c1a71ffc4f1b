"""Alligator and block cracking: patterns found in the network that cracks make together.

The pieces are made to meet exactly (`noding`) and closed to faces, the cells of the network.

    alligator   cells below 0.1 m2, at least 3 that touch
    block       cells of 0.1 to 10 m2 that fill 0.6 of their smallest rectangle, at least 3 that touch
    branching   where cells don't close: at least 4 junctions linked by cracks shorter than 0.3 m

Source of the sizes: FHWA-HRT-13-092, Distress Identification Manual for the Long-Term Pavement
Performance Program (2014), fatigue cracking (pieces usually less than 0.3 m on the longest side)
and block cracking (approximately rectangular pieces of about 0.1 to 10 m2). ASTM D6433 draws the
same line by sides (alligator below 0.5 m, blocks of 0.3 x 0.3 to 3 x 3 m). The numbers of cells and
junctions are pavemap's: a single closed loop is no pattern.

The area of a pattern is that of its cells, and, where they don't close, that of the hull around the
links. Raters draw a rectangle around, so this is a lower estimate of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Geometries, Integers, ranges
from pavemap.geo.groups import groups
from pavemap.geo.measures.noding import end_nodes, node_lines
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.scene import Pieces

TILE_M = 2.0
"""Side of the tiles in which the length of cracks in a pattern is summed up, in true metres."""
PHASE = 0.382
"""Of a side: where tiles begin; what is drawn by round numbers runs along no border, in two of them."""
TOUCHING = 1e-6
"""An edge this near to a cell, in the CRS, bounds it."""


@dataclass(frozen=True)
class Pattern:
    """K grounds (cells, hulls) with a pattern, and which of P pieces are part of it.

    ground: (K,) polygons in the CRS, without overlap; alligator: (K,) bool, else block; piece: (M,) and
    of: (M,), the pieces that bound or lie in each ground, inside: (M,) length of each that does, in CRS
    units. alligator_piece, block_piece: (P,) bool, the
    pieces of cracks of which most bounds or lies in such ground.
    """

    ground: Geometries
    alligator: NDArray[np.bool_]
    piece: Integers
    of: Integers
    inside: Floats
    alligator_piece: NDArray[np.bool_]
    block_piece: NDArray[np.bool_]


def find_pattern(pieces: Pieces, *, scale: Floats, params: MeasureParams) -> Pattern:
    """Find the patterns in P pieces of cracks; scale: (P,) CRS units per true metre."""
    lines = pieces.lines
    unit = float(np.median(scale)) if len(scale) else 1.0
    tolerance = params.node_tolerance_m * unit
    near = _meeting(lines, tolerance)
    edges = node_lines(lines[near], tolerance)
    nodes, degree = end_nodes(edges)
    faces = _faces(edges[_bound_something(nodes, degree)])
    area = shapely.area(faces) / unit**2
    small = area < params.alligator_cell_m2
    block = ~small & (area <= params.block_cell_m2)
    block[block] = _fills(faces[block]) >= params.block_rectangularity
    small = _in_company(faces, small, params.pattern_min_cells)
    block = _in_company(faces, block, params.pattern_min_cells)
    hulls = _hulls(edges, nodes, degree, cells=faces[small], unit=unit, params=params)
    ground = np.concatenate([faces[small], hulls, faces[block]])
    alligator = np.arange(len(ground)) < small.sum() + len(hulls)
    piece, of, inside = _bounding(lines, near, ground, tolerance)
    members = [
        _mostly_inside(pieces, shapely.buffer(some, tolerance, quad_segs=2), TILE_M * unit)
        for some in (ground[alligator], ground[~alligator])
    ]
    return Pattern(ground, alligator, piece, of, inside, members[0], members[1] & ~members[0])


def _meeting(lines: Geometries, tolerance: float) -> Integers:
    """Return the lines that come near another one, or close in themselves; the others bound nothing."""
    one, two = shapely.STRtree(lines).query(lines, predicate="dwithin", distance=tolerance)
    found = _among(len(lines), one[one != two]) | shapely.is_closed(lines)
    return np.flatnonzero(found)


def _faces(edges: Geometries) -> Geometries:
    """Return the polygons that edges bound, with what lies inside them taken out.

    Edges that cross unseen, within the tolerance of an end, can bound what is no polygon: left out.
    """
    with np.errstate(invalid="ignore"):  # GEOS divides 0 by 0 where edges fold, and goes on
        faces = shapely.get_parts(shapely.polygonize(edges))
    return np.asarray(faces[shapely.is_valid(faces)], object)


def _bound_something(nodes: Integers, degree: Integers) -> NDArray[np.bool_]:
    """Tell of (N, 2) edges, by the nodes they join, which are left when loose ends are taken off.

    One after the other, each edge looked at twice: a long crack with branches is as many edges deep.
    """
    at = np.argsort(nodes, axis=None, kind="stable") // 2
    first = np.concatenate([[0], np.cumsum(degree)])
    keep = np.ones(len(nodes), np.bool_)
    left, joined = degree.tolist(), nodes.tolist()
    loose = np.flatnonzero(degree == 1).tolist()
    while loose:
        node = loose.pop()
        for edge in at[first[node] : first[node + 1]].tolist():
            if keep[edge]:
                keep[edge] = False
                for end in joined[edge]:
                    left[end] -= 1
                    if left[end] == 1:
                        loose.append(end)
    return keep


def _fills(faces: Geometries) -> Floats:
    """Return which share of its smallest rectangle each face fills."""
    around = shapely.area(shapely.oriented_envelope(faces))
    share: Floats = shapely.area(faces) / np.where(around > 0.0, around, 1.0)
    return share


def _in_company(faces: Geometries, wanted: NDArray[np.bool_], fewest: int) -> NDArray[np.bool_]:
    """Keep the wanted faces that touch, one through another, at least so many."""
    some = np.flatnonzero(wanted)
    if not len(some):
        return wanted
    points, owner = shapely.get_coordinates(faces[some], return_index=True)
    _, vertex = np.unique(points[:, 0] + 1j * points[:, 1], return_inverse=True)
    cells, vertices = len(some), int(vertex.max()) + 1
    group = groups(np.column_stack([owner, cells + vertex]), cells + vertices)
    enough = np.bincount(group[:cells])[group[:cells]] >= fewest
    return _among(len(faces), some[enough])


def _hulls(
    edges: Geometries,
    nodes: Integers,
    degree: Integers,
    *,
    cells: Geometries,
    unit: float,
    params: MeasureParams,
) -> Geometries:
    """Return the hulls of branching that closes no cells, less the cells they meet."""
    junctions = (degree[nodes] >= 3).all(axis=1) & (nodes[:, 0] != nodes[:, 1])
    link = junctions & (shapely.length(edges) < params.alligator_link_m * unit)
    middle = shapely.line_interpolate_point(edges, 0.5, normalized=True)
    closed, _ = shapely.STRtree(cells).query(middle, predicate="dwithin", distance=TOUCHING)
    link[closed] = False
    some = np.flatnonzero(link)
    if not len(some):
        return np.empty(0, object)
    group = groups(nodes[some], int(nodes.max()) + 1)
    linked = np.unique(nodes[some])
    size = np.bincount(group[linked], minlength=group.max() + 1)
    some = some[size[group[nodes[some, 0]]] >= params.alligator_min_junctions]
    if not len(some):
        return np.empty(0, object)
    _, which = np.unique(group[nodes[some, 0]], return_inverse=True)
    order = np.argsort(which, kind="stable")
    hulls = shapely.convex_hull(shapely.multilinestrings(edges[some][order], indices=which[order]))
    return _apart(np.atleast_1d(hulls), cells)


def _apart(hulls: Geometries, cells: Geometries) -> Geometries:
    """Take cells and earlier hulls out of hulls, so that no ground counts twice."""
    hulls = hulls[shapely.area(hulls) > 0.0]
    hulls = hulls[np.argsort(-shapely.area(hulls), kind="stable")]
    apart = np.empty(len(hulls), object)
    tree, cell_tree = shapely.STRtree(hulls), shapely.STRtree(cells)
    for place, hull in enumerate(hulls):
        before = [other for other in tree.query(hull) if other < place]
        taken = [*hulls[before], *cells[cell_tree.query(hull)]]
        apart[place] = shapely.difference(hull, shapely.union_all(taken)) if taken else hull
    return np.asarray(apart[shapely.area(apart) > 0.0], object)


def _bounding(
    lines: Geometries, near: Integers, ground: Geometries, tolerance: float
) -> tuple[Integers, Integers, Floats]:
    """Return (piece, ground, length) where pieces bound or lie in ground, and how much of them does."""
    around = shapely.buffer(ground, tolerance, quad_segs=1)
    piece, of = shapely.STRtree(around).query(lines[near], predicate="intersects")
    return near[piece], of, _length_inside(lines[near[piece]], around[of])


def _length_inside(lines: Geometries, polygons: Geometries) -> Floats:
    """Return (N,) how much of each line lies in the polygon beside it."""
    shapely.prepare(polygons)
    within = shapely.covers(polygons, lines)
    inside: Floats = np.where(within, shapely.length(lines), 0.0)
    inside[~within] = shapely.length(shapely.intersection(lines[~within], polygons[~within]))
    return inside


def _mostly_inside(pieces: Pieces, ground: Geometries, tile: float) -> NDArray[np.bool_]:
    """Return the pieces of cracks of whose length, over all pieces, most lies in a pattern's ground."""
    parts = _tiled(ground, tile)
    piece, part = shapely.STRtree(parts).query(pieces.lines, predicate="intersects")
    inside = _length_inside(pieces.lines[piece], parts[part])
    cracks = int(pieces.crack.max(initial=-1)) + 1
    seen = np.bincount(pieces.crack[piece], inside, minlength=cracks)
    whole = np.bincount(pieces.crack, shapely.length(pieces.lines), minlength=cracks)
    most: NDArray[np.bool_] = (seen > whole / 2.0)[pieces.crack]
    return most


def _tiled(shapes: Geometries, side: float) -> Geometries:
    """Unite polygons tile by tile of a grid: united whole, a net costs each of its lines all its length."""
    tile = np.zeros((len(shapes), 2), np.int64)
    for axis in (0, 1):
        bounds = shapely.bounds(shapes)
        low, high = np.floor(bounds[:, [axis, axis + 2]] / side - PHASE).astype(np.int64).T
        of, place = ranges(low, high + 1)
        shapes, tile, crosses = shapes[of], tile[of], (high > low)[of]
        tile[:, axis] = place
        strips = _strips((place[crosses] + PHASE) * side, side, bounds[of][crosses], axis)
        shapes[crosses] = shapely.intersection(shapes[crosses], strips)
    some = shapely.area(shapes) > 0.0
    if not some.any():
        return np.empty(0, object)
    _, which = np.unique(tile[some], axis=0, return_inverse=True)
    order = np.argsort(which.ravel(), kind="stable")
    together = np.full(which.max() + 1, None, dtype=object)
    shapely.geometrycollections(shapes[some][order], indices=which.ravel()[order], out=together)
    return np.asarray(shapely.union_all(together[:, None], axis=1), object)


def _strips(start: Floats, side: float, bounds: Floats, axis: int) -> Geometries:
    """Return boxes as wide as a tile along an axis, and as long as the bounds are along the other."""
    edges = bounds.copy()
    edges[:, axis], edges[:, axis + 2] = start, start + side
    return np.asarray(shapely.box(*edges.T), object)


def _among(count: int, some: Integers) -> NDArray[np.bool_]:
    """Return (count,) True for the indices given."""
    flags = np.zeros(count, np.bool_)
    flags[some] = True
    return flags
