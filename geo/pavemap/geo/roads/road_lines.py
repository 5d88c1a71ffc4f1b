"""Brings the lines of a road file to degrees, densified in their own CRS, slips of drawing put right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.arrays import Objects
from pavemap.geo.crs import WGS84, degrees_off_area, reproject, unit_of
from pavemap.geo.errors import BadInput
from pavemap.geo.roads.chainage import lengths_m
from pavemap.geo.roads.road_table import FlatLines, RoadTable

MAX_EDGE_M = 500.0
"""A straight edge this long in a projection leaves the geodesic by about a centimetre."""
EARTH_RADIUS_M = 6_371_000.0
"""Mean radius, for what may be a third of a percent off."""
STRAY_M = 0.01
"""Vertices nearer than this to the one before are left out; ends stay."""
BACK_STEP_M, BACK_STEP_TURN = 1.0, np.radians(150.0)
"""A vertex on an edge shorter than this, at which the line turns by more, is a slip of the drawing."""
MAX_VERTICES = 10_000_000
"""Some five million kilometres of road: more is a wrong CRS or an attack."""
MIN_LENGTH_M = 0.01
FAR_OUTSIDE_DEG = 10.0
"""Farther than this outside the area that a CRS is for, its x and y are rather exchanged."""


def to_degrees(flat: FlatLines, crs: CRS, table: RoadTable) -> FlatLines:
    """Densify lines in their own CRS and move them to EPSG:4326, leaving out what has no length there."""
    _refuse_degrees(flat.lines, crs)
    corners = shapely.bounds(flat.lines).reshape(-1, 2, 2)
    ends = np.asarray(reproject(shapely.points(corners), crs, WGS84))
    lon, lat = np.asarray(shapely.get_x(ends)), np.asarray(shapely.get_y(ends))
    lon[~np.isfinite(lon)] = np.nan
    on_earth = (np.abs(lat) <= 90.0).all(axis=1)
    keep = on_earth & (np.abs(lon) <= 180.0).all(axis=1) & (np.abs(lon[:, 1] - lon[:, 0]) < 180.0)
    torn = on_earth & ~keep & _across_180(lon)
    off = ~(keep | torn)
    table.note(flat.feature[off], "coordinates off the Earth in the file's CRS", "left out")
    table.note(flat.feature[torn], "crosses the 180th meridian", "left out; cut it there in a GIS")
    if len(flat.lines) and off.all():
        raise BadInput(
            f"no coordinate of the file fits its CRS, {crs.name}; GeoJSON must be in degrees (RFC 7946), "
            "other files need the CRS that they were drawn in"
        )
    far = np.zeros(table.count, np.bool_)
    outside = (degrees_off_area(crs, lon, lat) > FAR_OUTSIDE_DEG).any(axis=1)
    far[flat.feature[keep & outside]] = True
    table.note_all(far, f"lies outside the area of {crs.name}", "kept; are x and y exchanged?")
    flat = flat[keep]
    step = _edge_in_units_of(crs)
    # A vertex within a hair of the end would turn the road's last edge, and its strip's end, about.
    clear = shapely.remove_repeated_points(flat.lines, step * STRAY_M / MAX_EDGE_M)
    flat = replace(flat, lines=np.asarray(clear))
    still = shapely.length(flat.lines) == 0.0  # GEOS can't densify a line that stays where it is
    table.note(flat.feature[still], "zero length", "left out")
    flat = flat[~still]
    lines = flat.lines
    if shapely.length(lines).sum() / step + shapely.get_num_coordinates(lines).sum() > MAX_VERTICES:
        raise BadInput(
            f"the roads are too long or too detailed to be true in {crs.name}; check the CRS"
        )
    lines = reproject(shapely.segmentize(lines, step), crs, WGS84)
    lines, stepped = _without_back_steps(np.asarray(shapely.remove_repeated_points(lines)))
    table.note(flat.feature[stepped], "a step back of less than a metre", "straightened")
    flat = replace(flat, lines=lines)
    short = ~(lengths_m(flat.lines) >= MIN_LENGTH_M)
    table.note(flat.feature[short], "zero length", "left out")
    return flat[~short]


def _refuse_degrees(lines: Objects, crs: CRS) -> None:
    """Raise BadInput for coordinates that are degrees under the name of a projected CRS."""
    degrees = np.array([180.0, 90.0, 180.0, 90.0])
    if crs.is_projected and len(lines) and (np.abs(shapely.total_bounds(lines)) <= degrees).all():
        raise BadInput(
            f"the coordinates look like degrees, but the file says that they are in {crs.name}; set the "
            "CRS that they are in (for degrees EPSG:4326) in a GIS, without transforming them"
        )


def _without_back_steps(
    lines: NDArray[np.object_],
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Leave out the vertices at which (N,) lines in degrees step back, and say which lines had any.

    A step back has two such vertices, a spike one: of two neighbours the first is left out. It is done
    once, so that a road drawn there and back keeps its length but for one edge. Ends stay.
    """
    points, owner = shapely.get_coordinates(lines, return_index=True)
    metres = np.radians(1.0) * EARTH_RADIUS_M * np.diff(points, axis=0)
    metres[:, 0] *= np.cos(np.radians(points[1:, 1]))
    before, after = metres[:-1], metres[1:]
    size = np.hypot(*metres.T)
    reverses = (before * after).sum(axis=1) < np.cos(BACK_STEP_TURN) * size[:-1] * size[1:]
    back = np.zeros(len(points), np.bool_)
    back[1:-1] = reverses & (np.minimum(size[:-1], size[1:]) < BACK_STEP_M)
    back[1:-1] &= owner[2:] == owner[:-2]
    place = np.arange(len(points))
    run = place - np.maximum.accumulate(np.where(back, 0, place))
    out = back & (run % 2 == 1)
    stepped = np.zeros(len(lines), np.bool_)
    stepped[owner[out]] = True
    kept = ~out & stepped[owner]
    number = np.cumsum(stepped) - 1
    straight = lines.copy()
    left = shapely.linestrings(points[kept], indices=number[owner[kept]])
    straight[stepped] = shapely.remove_repeated_points(left)  # of a spike, both its feet
    return straight, stepped


def _across_180(lon: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which pairs (N, 2) of longitudes lie on either side of the 180th meridian.

    They go on into another turn (179.9, 180.1) or jump (179.9, -179.9), but not both.
    """
    turn = np.floor((lon + 180.0) / 360.0)
    goes_on = np.abs(turn[:, 1] - turn[:, 0]) == 1.0
    jumps = np.abs(lon[:, 1] - lon[:, 0]) >= 180.0
    across: NDArray[np.bool_] = goes_on != jumps
    return across


def _edge_in_units_of(crs: CRS) -> float:
    """Return MAX_EDGE_M in the units of a CRS: degrees of latitude, metres or feet."""
    metres = unit_of(crs) * (EARTH_RADIUS_M if crs.is_geographic else 1.0)
    return MAX_EDGE_M / metres if metres > 0.0 else MAX_EDGE_M
