"""Places beside a road: distance along its centre-line and offset from it, and back to the plane.

Stations run from 0 at the start of a segment's centre-line to its length, offsets are positive to
the left of its direction; both are true ground metres. A point belongs to the nearest edge of the
centre-line; beyond the two ends the first and the last edge go straight on.

The way back (`place`) draws parallels to the centre-line, mitred at its vertices, so that strips
and cells laid side by side share their borders. At a vertex the two ways differ by a sliver; both
keep areas and lengths whole. At a vertex sharper than any corner each edge's parallels end square.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Geometries, Integers, counted, ranges
from pavemap.geo.compiled import kernel
from pavemap.geo.errors import BadInput

RUN_EDGES = 32
"""Edges that are looked at, or passed over, together: a road of 16 km is some 100 runs."""
ROUNDING_M = 1e-6

SHARPEST_TURN = np.radians(120.0)
"""Of a corner, whose parallels meet within two offsets of its vertex; beyond, a mitre would run off."""


@dataclass(frozen=True)
class RoadFrames:
    """S centre-lines as flat arrays, in true metres from the first vertex of each.

    points: (V, 2) vertices, one line after the other; offsets: (S + 1,) where each starts.
    mitres: (V, 2, 2) where the parallel at offset 1 m to the left of the edge before ends, and that of the
    edge after starts, relative to the vertex: one place but where the line turns sharply.
    stations: (V,) distance of each vertex from the start of its line.
    origins: (S, 2) the first vertices in the CRS; scale: (S,) CRS units per true metre.
    """

    points: Floats
    offsets: Integers
    mitres: Floats
    stations: Floats
    origins: Floats
    scale: Floats

    @classmethod
    def from_lines(cls, lines: Geometries, *, scale: Floats) -> RoadFrames:
        """Read (S,) LineStrings of a metric CRS. Raises BadInput for a line without length."""
        flat, owner = shapely.get_coordinates(lines, return_index=True)
        new = np.ones(len(flat), np.bool_)
        new[1:] = (owner[1:] != owner[:-1]) | (np.diff(flat, axis=0) != 0.0).any(axis=1)
        flat, owner = flat[new], owner[new]
        offsets = np.searchsorted(owner, np.arange(len(lines) + 1)).astype(np.int64)
        short = np.flatnonzero(np.diff(offsets) < 2)
        if len(short):
            raise BadInput(
                f"segment number {short[0]} has a centre-line without length; leave it out"
            )
        origins = flat[offsets[:-1]]
        points = (flat - origins[owner]) / scale[owner, None]
        steps = np.diff(points, axis=0)
        length = np.hypot(*steps.T)
        length[offsets[1:-1] - 1] = 0.0
        run = np.concatenate([[0.0], np.cumsum(length)])
        stations = run - run[offsets[:-1]][owner]
        return cls(points, offsets, _mitres(steps, offsets), stations, origins, scale)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Floats:
        """(S,) true lengths of the centre-lines in m."""
        return self.stations[self.offsets[1:] - 1]

    @property
    def closed(self) -> NDArray[np.bool_]:
        """(S,) whether a centre-line ends where it starts."""
        ends, starts = self.points[self.offsets[1:] - 1], self.points[self.offsets[:-1]]
        return np.asarray((ends == starts).all(axis=1), np.bool_)

    def local(self, points: Floats, segment: Integers) -> Floats:
        """Bring (P, 2) points of the CRS into true metres about the origin of their segment."""
        local: Floats = (points - self.origins[segment]) / self.scale[segment, None]
        return local

    def project(self, local: Floats, segment: Integers) -> tuple[Floats, Floats, Floats]:
        """Return station, offset, and the centre-line's bearing in radians beside (P, 2) local points."""
        return _project(local, segment, self.points, self.offsets, self.stations)

    def place(self, segment: Integers, station: Floats, offset: Floats) -> Floats:
        """Return (P, 2) points of the CRS at stations (kept within the line) and offsets."""
        edge = self._edge(segment, station)
        start, stop = self.stations[edge], self.stations[edge + 1]
        t = np.clip((station - start) / (stop - start), 0.0, 1.0)[:, None]
        sides = offset[:, None]
        first = self.points[edge] + sides * self.mitres[edge, 1]
        second = self.points[edge + 1] + sides * self.mitres[edge + 1, 0]
        local = first + t * (second - first)
        placed: Floats = local * self.scale[segment, None] + self.origins[segment]
        return placed

    def strips(self, segment: Integers, right: Floats, left: Floats) -> Geometries:
        """Draw (P,) polygons in the CRS, each between two offsets (right < left) along its segment."""
        counts = 2 * np.diff(self.offsets)[segment]
        strip, step = counted(2 * counts)
        count = counts[strip]
        back = step >= count
        vertex, side = np.divmod(np.where(back, 2 * count - 1 - step, step), 2)
        vertex += self.offsets[segment[strip]]
        aside = np.where(back, left[strip], right[strip])[:, None]
        owner = segment[strip]
        local = self.points[vertex] + aside * self.mitres[vertex, side]
        ring = local * self.scale[owner, None] + self.origins[owner]
        rings = np.asarray(shapely.linearrings(ring, indices=strip), object)
        return whole_polygons(np.asarray(shapely.remove_repeated_points(rings), object))

    def slices(
        self, segment: Integers, start: Floats, stop: Floats, *, aside_m: Floats
    ) -> Geometries:
        """Draw (P,) polygons in the CRS, each from one station to another, `aside_m` to either side."""
        first, last = self._edge(segment, start) + 1, self._edge(segment, stop) + 1
        between, vertex = ranges(first, last)
        ends = np.arange(len(segment))
        owner = np.tile(np.concatenate([ends, between, ends]), 2)
        station = np.tile(np.concatenate([start, self.stations[vertex], stop]), 2)
        back = np.arange(len(owner)) >= len(owner) // 2
        offset = np.where(back, aside_m[owner], -aside_m[owner])
        order = np.lexsort((np.where(back, -station, station), back, owner))
        ring = self.place(segment[owner], station, offset)[order]
        rings = np.asarray(shapely.linearrings(ring, indices=owner[order]), object)
        return whole_polygons(np.asarray(shapely.remove_repeated_points(rings), object))

    def _edge(self, segment: Integers, station: Floats) -> Integers:
        """Return the index of the first vertex of the edge that holds each station."""
        before = np.concatenate([[0.0], np.cumsum(self.lengths + 1.0)])
        owner = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        key = before[segment] + np.clip(station, 0.0, self.lengths[segment])
        edge = np.searchsorted(self.stations + before[owner], key, side="right") - 1
        edge = np.clip(edge, self.offsets[segment], self.offsets[segment + 1] - 2)
        return np.asarray(edge, np.int64)


def whole_polygons(rings: Geometries) -> Geometries:
    """Make polygons of rings; one that crosses itself (in a tight bend) is put right."""
    polygons = np.atleast_1d(np.asarray(shapely.polygons(rings), object))
    wrong = ~shapely.is_valid(polygons)
    polygons[wrong] = shapely.buffer(shapely.make_valid(polygons[wrong]), 0.0)
    return polygons


def _mitres(steps: Floats, offsets: Integers) -> Floats:
    """Return, for each vertex, the vectors to the ends of its two edges' parallels 1 m to the left."""
    size = np.hypot(*steps.T)
    normals = (
        np.column_stack([-steps[:, 1], steps[:, 0]]) / np.where(size > 0.0, size, 1.0)[:, None]
    )
    ends = np.empty((offsets[-1], 2, 2))
    ends[1:, 0], ends[:-1, 1] = normals, normals
    ends[offsets[:-1], 0] = ends[offsets[:-1], 1]
    ends[offsets[1:] - 1, 1] = ends[offsets[1:] - 1, 0]
    middle = ends.sum(axis=1)
    half = (middle**2).sum(axis=1) / 2.0  # 1 + cos(turn)
    corner = half >= 1.0 + np.cos(SHARPEST_TURN) - ROUNDING_M
    ends[corner] = (middle[corner] / half[corner, None])[:, None]
    return ends


@kernel
def _project(
    local: Floats, segment: Integers, points: Floats, offsets: Integers, stations: Floats
) -> tuple[Floats, Floats, Floats]:
    count = len(local)
    station, offset, bearing = np.empty(count), np.empty(count), np.empty(count)
    runs, boxes = _run_boxes(points, offsets)
    at = 0
    for i in range(count):
        low, high = offsets[segment[i]], offsets[segment[i] + 1] - 1
        # Neighbours follow each other mostly, so the last edge is a good first guess of how near it is.
        guess = at if low <= at < high else low
        reach = np.sqrt(_to_edge(local[i], points, guess)[0]) + ROUNDING_M
        best, at, where = np.inf, low, 0.0
        for run in range(runs[segment[i]], runs[segment[i] + 1]):
            if _to_box(local[i], boxes[run]) > reach * reach:
                continue
            first = low + (run - runs[segment[i]]) * RUN_EDGES
            for k in range(first, min(first + RUN_EDGES, high)):
                square, t = _to_edge(local[i], points, k)
                if square < best:
                    best, at, where = square, k, t
            reach = min(reach, np.sqrt(best) + ROUNDING_M)
        if where < 0.0 and at > low:  # the vertex before is as near by the edge before
            at, where = at - 1, 2.0
        ux, uy = points[at + 1, 0] - points[at, 0], points[at + 1, 1] - points[at, 1]
        px, py = local[i, 0] - points[at, 0], local[i, 1] - points[at, 1]
        length = np.hypot(ux, uy)
        bearing[i] = np.arctan2(uy, ux)
        aside = (ux * py - uy * px) / length
        if where > 1.0 and at + 1 < high:
            # Nearest to a vertex: its side is told by the bisector, its distance is straight.
            wx, wy = points[at + 2, 0] - points[at + 1, 0], points[at + 2, 1] - points[at + 1, 1]
            next_length = np.hypot(wx, wy)
            bx, by = ux / length + wx / next_length, uy / length + wy / next_length
            side = bx * (py - uy) - by * (px - ux)
            aside = np.sqrt(best) if side >= 0.0 else -np.sqrt(best)
            where = 1.0
        station[i] = stations[at] + where * length
        offset[i] = aside
    return station, offset, bearing


@kernel
def _run_boxes(points: Floats, offsets: Integers) -> tuple[Integers, Floats]:
    """Return where each line's runs of edges start, (S + 1,), and (R, 4) xmin, ymin, xmax, ymax of each."""
    runs = np.zeros(len(offsets), np.int64)
    for line in range(len(offsets) - 1):
        edges = offsets[line + 1] - offsets[line] - 1
        runs[line + 1] = runs[line] + (edges + RUN_EDGES - 1) // RUN_EDGES
    boxes = np.empty((runs[-1], 4))
    for line in range(len(offsets) - 1):
        for run in range(runs[line], runs[line + 1]):
            first = offsets[line] + (run - runs[line]) * RUN_EDGES
            last = min(first + RUN_EDGES, offsets[line + 1] - 1)
            for axis in range(2):
                boxes[run, axis] = points[first : last + 1, axis].min()
                boxes[run, axis + 2] = points[first : last + 1, axis].max()
    return runs, boxes


@kernel
def _to_edge(point: Floats, points: Floats, k: int) -> tuple[float, float]:
    """Return the squared distance to edge k, and at which part of it, or of its line, the foot is."""
    ux, uy = points[k + 1, 0] - points[k, 0], points[k + 1, 1] - points[k, 1]
    px, py = point[0] - points[k, 0], point[1] - points[k, 1]
    t = (px * ux + py * uy) / (ux * ux + uy * uy)
    inside = min(max(t, 0.0), 1.0)
    return (px - inside * ux) ** 2 + (py - inside * uy) ** 2, t


@kernel
def _to_box(point: Floats, box: Floats) -> float:
    """Return the squared distance to a box, 0 inside."""
    x = max(box[0] - point[0], 0.0, point[0] - box[2])
    y = max(box[1] - point[1], 0.0, point[1] - box[3])
    return float(x * x + y * y)
