"""Pieces of lines: what of them lies on which pavement, cut at the borders."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Geometries
from pavemap.geo.lines.flat_lines import Polylines

ALONG = 1e-9
"""Two directions whose sine is below this are parallel: they meet along a run or not at all."""


def cut_by_segments(
    lines: Geometries, pavements: Geometries, *, tree: shapely.STRtree | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], Geometries]:
    """Cut lines at the borders of pavements and say on which pavement each piece lies.

    Both are in one CRS; pavements are polygons whose interiors are disjoint. Returns (line index,
    pavement index, piece), sorted by line and along it. What is on no pavement is left out. Every bit
    of a line is in at most one piece (along a common border in that of the lower index), so the pieces
    sum up to the length on pavement. Widths are interpolated at the cuts. Where lines come in blocks,
    `tree` is that of the pavements, made once.
    """
    shapely.prepare(pavements)
    tree = shapely.STRtree(pavements) if tree is None else tree
    line, pavement = tree.query(lines, predicate="intersects")
    inside = shapely.contains_properly(pavements[pavement], lines[line])
    whole = np.zeros(len(lines), np.bool_)
    whole[line[inside]] = True
    crossing = np.unique(line[~whole[line]])
    near = np.unique(pavement[~whole[line]])
    crack, segment, pieces = _cut(lines[crossing], pavements, near)
    indices = np.concatenate([line[inside], crossing[crack]])
    segments = np.concatenate([pavement[inside], segment])
    order = np.argsort(indices, kind="stable")
    result = np.concatenate([lines[line[inside]], pieces])[order]
    return indices[order], segments[order], result


def _cut(
    lines: Geometries, pavements: Geometries, near: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Geometries]:
    """Cut lines that meet a border; `near` are the pavements they may lie on, ascending."""
    if not len(lines):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, object)
    flat = _with_cuts(Polylines.from_shapely(lines), shapely.boundary(pavements[near]))
    flat = flat.without_repeats()
    owner = _owners(flat, pavements, near)
    line = np.repeat(np.arange(len(flat)), flat.sizes)[:-1]
    on_pavement = np.flatnonzero(owner >= 0)
    begins = np.ones(len(on_pavement), np.bool_)
    begins[1:] = (
        (np.diff(on_pavement) > 1)
        | (np.diff(owner[on_pavement]) != 0)
        | (np.diff(line[on_pavement]) != 0)
    )
    # As in lines.clip: the first point of each piece, then the last point of every segment.
    place = np.arange(len(on_pavement)) + np.cumsum(begins)
    points = np.empty((len(on_pavement) + int(begins.sum()), 3))
    points[place] = flat.points[on_pavement + 1]
    points[place[begins] - 1] = flat.points[on_pavement[begins]]
    offsets = np.append(place[begins] - 1, len(points))
    first = on_pavement[begins]
    return line[first], owner[first], Polylines(points, offsets).to_shapely()


def _owners(flat: Polylines, pavements: Geometries, near: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each step from vertex to vertex the lowest pavement its middle lies on, or -1."""
    start, stop = flat.points[:-1, :2], flat.points[1:, :2]
    middles = shapely.points((start + stop) / 2.0)
    owner = np.full(len(start), len(pavements), np.int64)
    step, pavement = shapely.STRtree(pavements[near]).query(middles, predicate="intersects")
    np.minimum.at(owner, step, near[pavement])
    owner[owner == len(pavements)] = -1
    owner[flat.offsets[1:-1] - 1] = -1  # from one line's last vertex to the next line's first
    return owner


def _with_cuts(flat: Polylines, borders: Geometries) -> Polylines:
    """Add a vertex, with interpolated width, wherever a line meets a border."""
    step, t = _meetings(flat, borders)
    if not len(step):
        return flat
    start, stop = flat.points[step], flat.points[step + 1]
    added = start + t[:, None] * (stop - start)
    position = np.concatenate([np.arange(len(flat.points)).astype(float), step + t])
    order = np.argsort(position, kind="stable")
    points = np.concatenate([flat.points, added])[order]
    line_of_step = np.repeat(np.arange(len(flat)), flat.sizes)[step]
    sizes = flat.sizes + np.bincount(line_of_step, minlength=len(flat))
    return Polylines(points, np.concatenate([[0], np.cumsum(sizes)]))


def _meetings(
    flat: Polylines, borders: Geometries
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where steps (from vertex to vertex) meet borders: step index and part of it, in (0, 1)."""
    a, b = flat.points[:-1, :2], flat.points[1:, :2]
    real = np.ones(len(a), np.bool_)
    real[flat.offsets[1:-1] - 1] = False
    steps = np.flatnonzero(real)
    edges, ring = shapely.get_coordinates(shapely.get_parts(borders), return_index=True)
    same = ring[1:] == ring[:-1]
    c, d = edges[:-1][same], edges[1:][same]
    tree = shapely.STRtree(np.asarray(shapely.linestrings(np.stack([c, d], axis=1))))
    which, edge = tree.query(shapely.linestrings(np.stack([a[steps], b[steps]], axis=1)))
    step = steps[which]
    along, border, gap = b[step] - a[step], d[edge] - c[edge], c[edge] - a[step]
    turn = _cross(along, border)
    size = np.hypot(*along.T) * np.hypot(*border.T)
    parallel = np.abs(turn) <= ALONG * size
    divisor = np.where(parallel, 1.0, turn)
    t, u = _cross(gap, border) / divisor, _cross(gap, along) / divisor
    meets = ~parallel & (u >= -ALONG) & (u <= 1.0 + ALONG)
    # A step that runs along an edge is cut where the edge begins and ends.
    square = np.maximum((along**2).sum(axis=1), np.finfo(float).tiny)
    to_c = (gap * along).sum(axis=1) / square
    to_d = ((d[edge] - a[step]) * along).sum(axis=1) / square
    found = np.concatenate([step[meets], step[parallel], step[parallel]])
    parts = np.concatenate([t[meets], to_c[parallel], to_d[parallel]])
    proper = (parts > 0.0) & (parts < 1.0)
    return found[proper], parts[proper]


def _cross(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    return product
