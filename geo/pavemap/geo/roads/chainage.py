"""True ground distances along lines in degrees, and cutting lines at them.

Lengths are geodesics on the WGS 84 ellipsoid (Karney 2013, through PROJ), vertex to vertex: no projection,
hence no zone and no scale factor. Between two vertices a position is interpolated in degrees, which is
true to millimetres because the edges of a network are short (`road_lines.MAX_EDGE_M`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod

from pavemap.geo.arrays import Floats, Integers, ranges
from pavemap.geo.crs import WGS84, reproject

WGS84_ELLIPSOID = Geod(ellps="WGS84")

SNAP_M = 0.001
"""A cut this near a vertex is made at the vertex, so that no edge is too short to have a direction."""
STEP_M = 2.0**-30
"""Distances count in steps of about a nanometre: sums of whole numbers don't depend on the other lines."""


@dataclass(frozen=True)
class Chainage:
    """The vertices of R lines end to end, and how far along its line each of them lies."""

    points: Floats
    """(P, 2) longitude and latitude."""
    first: Integers
    """(R + 1,) where each line's vertices begin in `points`."""
    at_m: Floats
    """(P,) true ground metres from the first vertex of the line."""

    @property
    def length_m(self) -> Floats:
        """(R,) true ground length of each line."""
        return self.at_m[self.first[1:] - 1]

    def snapped(self, line: Integers, at_m: Floats) -> Floats:
        """Move (M,) distances along lines onto the nearest vertex where one is within SNAP_M."""
        after = self.vertex_after(line, at_m)
        nearest = at_m
        for vertex in (after, after - 1):
            close = np.abs(self.at_m[vertex] - at_m) <= SNAP_M
            nearest = np.where(close, self.at_m[vertex], nearest)
        return nearest

    def cut(self, line: Integers, from_m: Floats, to_m: Floats) -> NDArray[np.object_]:
        """Return (M,) parts of lines between two distances, from_m < to_m, both on the line.

        Neighbouring parts share their end point exactly.
        """
        count = len(line)
        low = np.searchsorted(self._key(), self._key_of(line, from_m), side="right")
        high = np.searchsorted(self._key(), self._key_of(line, to_m), side="left")
        part, vertex = ranges(low, high)
        points = np.concatenate([self._at(line, from_m), self.points[vertex], self._at(line, to_m)])
        owner = np.concatenate([np.arange(count), part, np.arange(count)])
        order = np.argsort(owner, kind="stable")
        lines = np.empty(count, dtype=object)
        shapely.linestrings(points[order], indices=owner[order], out=lines)
        return lines

    def _at(self, line: Integers, at_m: Floats) -> Floats:
        after = self.vertex_after(line, at_m)
        before = after - 1
        share = (at_m - self.at_m[before]) / (self.at_m[after] - self.at_m[before])
        # At a vertex the vertex itself, not what rounding makes of it.
        share = np.clip(share, 0.0, 1.0)[:, None]
        start, end = self.points[before], self.points[after]
        return np.where(share == 1.0, end, start + share * (end - start))

    def vertex_after(self, line: Integers, at_m: Floats) -> Integers:
        """Return, by index in `points`, the vertex at whose edge's end (M,) distances along lines lie."""
        found = np.searchsorted(self._key(), self._key_of(line, at_m), side="left")
        vertex: Integers = np.clip(found, self.first[line] + 1, self.first[line + 1] - 1)
        return vertex

    def _key(self) -> Any:
        """Pairs (line, distance) as complex numbers, which numpy orders first by line."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first)) + 1j * self.at_m

    @staticmethod
    def _key_of(line: Integers, at_m: Floats) -> Any:
        return line + 1j * at_m


def measure(lines: NDArray[np.object_]) -> Chainage:
    """Measure (R,) LineStrings in degrees (EPSG:4326), none of them empty."""
    points, line = shapely.get_coordinates(lines, return_index=True)
    first = np.searchsorted(line, np.arange(len(lines) + 1))
    same = line[1:] == line[:-1]
    steps = np.zeros(len(points), dtype=np.int64)
    begin, end = points[:-1][same], points[1:][same]
    _, _, lengths = WGS84_ELLIPSOID.inv(begin[:, 0], begin[:, 1], end[:, 0], end[:, 1])
    steps[1:][same] = np.rint(np.asarray(lengths) / STEP_M)
    total = np.cumsum(steps)
    at_m: Floats = (total - total[first[:-1]][line]).astype(np.float64) * STEP_M
    return Chainage(points, first, at_m)


@dataclass(frozen=True)
class Ruler:
    """(R,) lines as they lie in a plane, beside their true chainage: tells how far along a point lies."""

    flat: NDArray[np.object_]
    true: Chainage
    plane: Chainage

    @classmethod
    def of(cls, lines: NDArray[np.object_], plane: CRS) -> Ruler:
        """Lay (R,) LineStrings in degrees (EPSG:4326) into a plane."""
        flat = np.asarray(reproject(lines, WGS84, plane), dtype=object)
        true = measure(lines)
        points = shapely.get_coordinates(flat)
        steps = np.zeros(len(points))
        steps[1:] = np.hypot(*np.diff(points, axis=0).T)
        steps[true.first[:-1]] = 0.0
        total = np.cumsum(steps)
        line = np.repeat(np.arange(len(lines)), np.diff(true.first))
        return cls(flat, true, Chainage(points, true.first, total - total[true.first[:-1]][line]))

    def locate(self, line: Integers, points: NDArray[np.object_]) -> Floats:
        """Return how far (true metres) along lines (M,) the places next to points of the plane lie."""
        at = shapely.line_locate_point(self.flat[line], points)
        after = self.plane.vertex_after(line, at)
        before = after - 1
        edge = self.plane.at_m[after] - self.plane.at_m[before]
        share = np.clip((at - self.plane.at_m[before]) / np.maximum(edge, 1e-12), 0.0, 1.0)
        start, end = self.true.at_m[before], self.true.at_m[after]
        return self.true.snapped(line, start + share * (end - start))


def lengths_m(lines: NDArray[np.object_]) -> Floats:
    """Return the (R,) true ground lengths of LineStrings in degrees (EPSG:4326)."""
    return measure(lines).length_m
