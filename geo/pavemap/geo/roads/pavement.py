"""Lays the pavement of road segments: one polygon each, that share no area and together lose none.

All of it happens in one plane per network, a stereographic projection centred on the network. It is
conformal, so a circle on the ground is a circle in the plane, and half a width becomes a radius by the
point scale at the segment: true widths for a street or for a country, with no seams between UTM zones.

Each segment claims a strip of ground (`strips`). All the borders of the claims are then drawn on one fine
grid, where they cut each other into faces. A face that several segments claim goes to the first of them in
the given order (at a junction), or, of segments side by side on one level, to the one that reaches farther
over it. A pavement is the union of its faces. So neighbours have their corners in common, point by point:
nothing is shared or lost in any other CRS either, no polygon turns invalid by reprojection, and the order
of the features has no say.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import shapely
from pyproj import CRS, Proj

from pavemap.geo.arrays import Floats, Integers, Objects
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput
from pavemap.geo.grid import in_bands
from pavemap.geo.roads.strips import Claims, claim_ground

GRID_M = 1e-4
"""Borders are rounded to a tenth of a millimetre."""
BLOCK = 2_000
"""Segments divided at a time; noding takes less time and memory in small parts."""
THREADS = 2
"""GEOS works outside Python's lock."""
BAND_M = 5_000.0
"""Blocks run along bands of this height, from west to east."""
MAX_PAIRS_AT_ONCE = 10_000_000
MAX_PAIRS_EACH = 100
"""Claims that a segment may meet, on average; real networks have about ten."""


@dataclass(frozen=True)
class Pavements:
    """(N,) MultiPolygons in EPSG:4326 (empty where others take all), and their true area in m2."""

    polygons: Objects
    area_m2: Floats


def lay_pavement(
    lines: Objects, *, width_m: Floats, precedence: Integers, level: Integers | None = None
) -> Pavements:
    """Lay the pavement of (N,) centre-lines in EPSG:4326, `width_m` wide in true ground metres.

    Of two segments that claim the same ground the one with the lower `precedence` has it; the numbers
    must differ, and put higher levels first. Only segments of one `level` (N,) part the ground between
    them where they lie side by side; None: all are on one. Raises BadInput for a network that is not of
    this world in extent or in overlaps.
    """
    plane = network_plane(lines)
    flat = reproject(lines, WGS84, plane)
    if not np.isfinite(shapely.get_coordinates(flat)).all():
        raise BadInput("the roads span more than half the Earth; check the file's CRS")
    scale = point_scale(lines, plane)
    claims = claim_ground(flat, width_m / 2.0 * scale)
    if level is not None:
        claims = replace(claims, abreast=claims.abreast.level_with(level))
    polygons = _divided(claims, precedence)
    return Pavements(reproject(polygons, plane, WGS84), shapely.area(polygons) / scale**2)


def network_plane(lines: Objects) -> CRS:
    """Return the stereographic CRS centred on lines in degrees, to a tenth of a degree."""
    lon, lat = np.radians(_centres(lines)).T
    x, y, z = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
    lon_0 = np.degrees(np.arctan2(y.mean(), x.mean()))
    lat_0 = np.degrees(np.arctan2(z.mean(), np.hypot(x.mean(), y.mean())))
    centre = {"lon_0": round(float(lon_0), 1), "lat_0": round(float(lat_0), 1)}
    return CRS.from_dict({"proj": "stere", "datum": "WGS84", "units": "m", **centre})


def point_scale(lines: Objects, plane: CRS) -> Floats:
    """Return (N,) plane metres per true metre at the middle of each line's extent."""
    lon, lat = _centres(lines).T
    scale: Floats = np.asarray(Proj(plane).get_factors(lon, lat).meridional_scale)
    return scale


def _centres(shapes: Objects) -> Floats:
    centres: Floats = shapely.bounds(shapes).reshape(-1, 2, 2).mean(axis=1)
    return centres


def _divided(claims: Claims, precedence: Integers) -> Objects:
    """Give every bit of claimed ground to one segment, and return the (N,) MultiPolygons.

    Block by block of neighbours, so that memory is bounded. A border is rounded by what touches it, and
    all that touches a block's claims is at hand, so that the blocks fit without a seam.
    """
    count = len(precedence)
    tree = shapely.STRtree(claims.ground.shapes)
    along = in_bands(*_centres(claims.ground.shapes[:count]).T, height=BAND_M)
    pavements = np.full(count, shapely.MultiPolygon(), dtype=object)
    blocks = [np.sort(along[start : start + BLOCK]) for start in range(0, count, BLOCK)]
    nears = [_meeting(claims, tree, block) for block in blocks]

    def shares(block: Integers, near: Integers) -> Objects:
        return _shares(claims.of(near), precedence[near])[np.searchsorted(near, block)]

    with ThreadPoolExecutor(THREADS) as pool:
        for block, laid in zip(blocks, pool.map(shares, blocks, nears), strict=True):
            pavements[block] = laid
    return pavements


def _meeting(claims: Claims, tree: shapely.STRtree, block: Integers) -> Integers:
    """Return, sorted, the segments whose claims meet a claim of the block, found a few at a time."""
    shapes = claims.ground.shapes[np.isin(claims.ground.owner, block)]
    step = max(1, MAX_PAIRS_AT_ONCE // len(claims.ground.shapes))
    found = [block]
    pairs = 0
    for start in range(0, len(shapes), step):
        _, other = tree.query(shapes[start : start + step], predicate="intersects")
        pairs += len(other)
        if pairs > MAX_PAIRS_EACH * len(block) + MAX_PAIRS_AT_ONCE // 100:
            raise BadInput(
                "the roads lie upon each other too often; give narrower widths or a file without copies"
            )
        found.append(np.unique(claims.ground.owner[other]))
    return np.unique(np.concatenate(found))


def _shares(claims: Claims, precedence: Integers) -> Objects:
    """Cut the ground along all borders and mitres, and give each face to its first claimant.

    Ground that all its claimants have renounced (in a knot of short, bent segments) stays theirs.
    """
    borders = np.concatenate(
        [shapely.boundary(claims.ground.shapes), claims.mitres.shapes, claims.abreast.borders]
    )
    faces = shapely.get_parts(shapely.polygonize([shapely.union_all(borders, grid_size=GRID_M)]))
    inside = shapely.point_on_surface(faces)
    face, claim = shapely.STRtree(claims.ground.shapes).query(inside, predicate="intersects")
    claimant = claims.ground.owner[claim]
    beyond, corner = shapely.STRtree(claims.renounced.shapes).query(inside, predicate="intersects")
    count = len(precedence)
    renounced = np.isin(face * count + claimant, beyond * count + claims.renounced.owner[corner])
    # The last to write is the first in precedence of those that have not renounced.
    order = np.lexsort((-precedence[claimant], ~renounced))
    owner = np.full(len(faces), -1)
    owner[face[order]] = claimant[order]
    _part_abreast(owner, claims, precedence, inside, face[~renounced], claimant[~renounced])
    by_owner = np.argsort(owner, kind="stable")
    by_owner = by_owner[owner[by_owner] >= 0]
    return _dissolved(faces[by_owner], owner[by_owner], count)


def _part_abreast(
    owner: Integers,
    claims: Claims,
    precedence: Integers,
    inside: Objects,
    face: Integers,
    claimant: Integers,
) -> None:
    """Give faces to the claimant, of their owner and those beside it, that reaches farthest over them."""
    rival = claims.abreast.meets(owner[face], claimant, len(precedence))
    contested = np.isin(face, face[rival]) & (rival | (claimant == owner[face]))
    face, claimant = face[contested], claimant[contested]
    away = shapely.distance(inside[face], claims.lines[claimant]) - claims.radius[claimant]
    # To a millimetre: of two lines that are one the first in precedence keeps the ground.
    order = np.lexsort((-precedence[claimant], -np.round(away, 3)))
    owner[face[order]] = claimant[order]


def _dissolved(faces: Objects, owner: Integers, count: int) -> Objects:
    """Unite faces, sorted by owner, whose edges match, into one MultiPolygon for each of `count`."""
    shares = _collected(faces, owner, count)
    united = np.asarray(shapely.coverage_union_all(shares[:, None], axis=1))
    parts, whose = shapely.get_parts(united, return_index=True)
    return _collected(parts, whose, count)


def _collected(polygons: Objects, owner: Integers, count: int) -> Objects:
    collected = np.full(count, shapely.MultiPolygon(), dtype=object)
    shapely.multipolygons(polygons, indices=owner, out=collected)
    return collected
