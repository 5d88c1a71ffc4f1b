"""Shares the agency's own pavement polygons among road segments: each bit of it to the nearest centre-line.

The polygons may be one for each road, one for a whole town, or anything between; where they overlap the
ground counts once, holes and islands stay as they are. All of it happens in one conformal plane, square by
square, so that memory is bounded: points along the centre-lines get their Voronoi cells, the cells of one
segment are united, and cut the pavement. Points stand half a step from a segment's two ends, so that
neighbours part in a straight cut across the road; parallel carriageways part in the middle between them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import POLYGON_TYPES, Integers, Objects, counted, polygonal
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput
from pavemap.geo.roads.pavement import Pavements, network_plane, point_scale
from pavemap.geo.roads.road_table import ImportNote
from pavemap.geo.vector_files import read_raw_lines

REACH_M = 25.0
"""Pavement farther from every centre-line is none of theirs."""
STEP_M = 1.0
"""Between the points along a centre-line."""
TILE_M = 400.0
FAR_M = 100.0 * TILE_M
"""Where points stand about a square that no pavement in it is nearest to."""


@dataclass(frozen=True)
class AgencyPavement:
    """(P,) polygons in EPSG:4326 as the agency drew them, valid, and the repairs made."""

    polygons: Objects
    report: list[ImportNote]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the polygons, in whichever order they came."""
        rounded = shapely.normalize(shapely.set_precision(self.polygons, 1e-9))
        return hashlib.sha256(b"".join(sorted(shapely.to_wkb(rounded)))).hexdigest()


def read_pavement(path: Path, *, layer: str | None = None) -> AgencyPavement:
    """Read polygons from the formats that roads come in. Raises BadInput where none is left to use."""
    raw = read_raw_lines(Path(path), layer=layer, shapes="polygon")
    kinds = shapely.get_type_id(raw.geometries)
    usable = np.isin(kinds, POLYGON_TYPES) & ~shapely.is_empty(raw.geometries)
    notes = [
        ImportNote(f"pavement #{index + 1}", "no polygon, or one that can't be read", "left out")
        for index in np.flatnonzero(~usable)
    ]
    drawn = shapely.force_2d(raw.geometries[usable])
    invalid = ~shapely.is_valid(drawn)
    notes += [
        ImportNote(f"pavement #{index + 1}", "an outline that crosses itself", "repaired")
        for index in np.flatnonzero(usable)[invalid]
    ]
    whole = shapely.make_valid(drawn)
    polygons = reproject(np.asarray(whole, dtype=object), raw.crs, WGS84)
    if len(polygons) == 0 or not np.isfinite(shapely.get_coordinates(polygons)).all():
        raise BadInput(
            f"'{path.name}' holds no pavement polygon that can be used; check its layer and its CRS"
        )
    return AgencyPavement(polygons, notes)


def share_pavement(pavement: AgencyPavement, lines: Objects) -> Pavements:
    """Share pavement among (N,) centre-lines in EPSG:4326; a segment that has none gets an empty one."""
    plane = network_plane(lines)
    flat = np.asarray(reproject(lines, WGS84, plane), dtype=object)
    ground = np.asarray(shapely.make_valid(reproject(pavement.polygons, WGS84, plane)))
    tree, ground_tree = shapely.STRtree(flat), shapely.STRtree(ground)
    shapes: list[Objects] = []
    owners: list[Integers] = []
    for tile in _tiles(flat):
        found = np.sort(ground_tree.query(tile, predicate="intersects"))
        near = np.sort(tree.query(tile, predicate="dwithin", distance=REACH_M))
        if len(found) and len(near):
            # Clipped first: a polygon may be a whole town's.
            parts = shapely.union_all(shapely.intersection(ground[found], tile))
            shares, owner = _shared_in(parts, tile, flat[near])
            shapes.append(shares)
            owners.append(near[owner])
    polygons = _united(shapes, owners, len(lines))
    scale = point_scale(lines, plane)
    return Pavements(reproject(polygons, plane, WGS84), shapely.area(polygons) / scale**2)


def _tiles(lines: Objects) -> Objects:
    """Return the squares of a grid that are within reach of lines, however far pavement goes."""
    points = shapely.get_coordinates(shapely.segmentize(lines, TILE_M))
    around = TILE_M * np.array([[dx, dy] for dx in (-1, 0, 1) for dy in (-1, 0, 1)])
    near = np.floor((points[:, None] + around).reshape(-1, 2) / TILE_M).astype(np.int64)
    corner = np.unique(near, axis=0).astype(np.float64) * TILE_M
    return np.asarray(shapely.box(*corner.T, *(corner + TILE_M).T), dtype=object)


def _shared_in(
    ground: shapely.Geometry, tile: shapely.Polygon, lines: Objects
) -> tuple[Objects, Integers]:
    """Cut the ground of a square by nearest line; return the shares and the line of each, by index."""
    within = shapely.intersection(lines, shapely.buffer(tile, REACH_M + STEP_M))
    parts, line = shapely.get_parts(within, return_index=True)
    points, owner = _points_along(parts, line)
    reach = shapely.union_all(shapely.buffer(parts, REACH_M, quad_segs=4))
    ground = shapely.intersection(ground, reach)
    regions, lines_here = _nearest_ground(points, owner)
    return np.asarray(shapely.intersection(regions, ground)), lines_here


def _nearest_ground(points: NDArray[np.float64], owner: Integers) -> tuple[Objects, Integers]:
    """Unite the Voronoi cells of each owner's points; return its region, and the owner of each.

    Qhull's cells share their corners, so that they part and meet exactly even where points along straight
    streets lie on one circle; GEOS's then overlap, and can't be united.
    """
    from scipy.spatial import Voronoi  # few imports bring pavement

    middle = points.mean(axis=0)
    turn = np.linspace(0.0, 2.0 * np.pi, 8, endpoint=False)
    rim = FAR_M * np.column_stack([np.cos(turn), np.sin(turn)])  # closes the outer points' cells
    diagram = Voronoi(np.concatenate([points - middle, rim]))
    cells = [diagram.regions[region] for region in diagram.point_region[: len(points)]]
    which = np.repeat(np.arange(len(cells)), [len(cell) for cell in cells])
    corners = diagram.vertices[np.concatenate(cells)] + middle
    polygons = shapely.polygons(shapely.linearrings(corners, indices=which))
    by_owner = np.argsort(owner, kind="stable")
    lines_here, group = np.unique(owner, return_inverse=True)
    groups = np.full(len(lines_here), None, dtype=object)
    shapely.geometrycollections(polygons[by_owner], indices=group[by_owner], out=groups)
    return np.asarray(shapely.coverage_union_all(groups[:, None], axis=1)), lines_here


def _points_along(lines: Objects, owner: Integers) -> tuple[NDArray[np.float64], Integers]:
    """Return distinct points about STEP_M apart along lines, and the owner of each."""
    length = shapely.length(lines)
    count = np.maximum(np.ceil(length / STEP_M), 1).astype(np.int64)
    which, place = counted(count)
    points = shapely.line_interpolate_point(
        lines[which], (place + 0.5) / count[which], normalized=True
    )
    rounded = np.round(shapely.get_coordinates(points), 4)
    _, first = np.unique(rounded, axis=0, return_index=True)
    first = np.sort(first)
    return rounded[first], owner[which[first]]


def _united(shapes: list[Objects], owners: list[Integers], count: int) -> Objects:
    """Unite the shares of each of `count` segments into a MultiPolygon."""
    pavements = np.full(count, shapely.MultiPolygon(), dtype=object)
    if not shapes:
        return pavements
    share, owner = np.concatenate(shapes), np.concatenate(owners)
    by_owner = np.argsort(owner, kind="stable")
    segments, first = np.unique(owner[by_owner], return_index=True)
    for segment, its in zip(segments, np.split(share[by_owner], first[1:]), strict=True):
        pavements[segment] = polygonal(shapely.union_all(its))
    return pavements
