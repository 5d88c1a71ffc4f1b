"""Many lines with width as flat arrays: simplified, clipped to a box, and turned to shapely and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from pavemap.geo.arrays import Geometries, ranges
from pavemap.geo.compiled import kernel
from pavemap.geo.grid import Bounds


@dataclass(frozen=True)
class Polylines:
    """Lines as one array of vertices.

    points: (P, 3) float64 x, y, width; the lines one after the other.
    offsets: (N + 1,) int64, where each line starts in `points`.
    """

    points: NDArray[np.float64]
    offsets: NDArray[np.int64]

    @classmethod
    def from_shapely(cls, lines: Geometries) -> Polylines:
        """Read an array of LineStrings; a missing z is read as 0 (width unknown)."""
        points, index = shapely.get_coordinates(lines, include_z=True, return_index=True)
        points[:, 2] = np.nan_to_num(points[:, 2])
        offsets = np.searchsorted(index, np.arange(len(lines) + 1)).astype(np.int64)
        return cls(points, offsets)

    def to_shapely(self) -> Geometries:
        """Return an (N,) object array of LineString Z."""
        if not len(self):
            return np.empty(0, np.object_)
        index = np.repeat(np.arange(len(self)), self.sizes)
        return np.atleast_1d(np.asarray(shapely.linestrings(self.points, indices=index), object))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(N,) number of vertices of each line."""
        return np.diff(self.offsets)

    @property
    def lengths(self) -> NDArray[np.float64]:
        """(N,) lengths in the plane."""
        dx, dy = np.diff(self.points[:, :2], axis=0).T
        steps = np.hypot(dx, dy, out=dx)
        steps[self.offsets[1:-1] - 1] = 0.0
        return np.add.reduceat(steps, self.offsets[:-1]) if len(self) else np.zeros(0)

    def take(self, keep: NDArray[np.bool_]) -> Polylines:
        """Return some of the lines, chosen by a bool mask, in order."""
        offsets = np.concatenate([[0], np.cumsum(self.sizes[keep])])
        return Polylines(self.points[np.repeat(keep, self.sizes)], offsets)

    def at(self, index: NDArray[np.intp]) -> Polylines:
        """Return lines by number, in that order."""
        _, source = ranges(self.offsets[:-1][index], self.offsets[1:][index])
        return Polylines(self.points[source], np.concatenate([[0], np.cumsum(self.sizes[index])]))

    def __add__(self, other: Polylines) -> Polylines:
        """Return these lines and then the others."""
        offsets = np.concatenate([self.offsets, other.offsets[1:] + self.offsets[-1]])
        return Polylines(np.concatenate([self.points, other.points]), offsets)

    def ends(self) -> NDArray[np.float64]:
        """Return (N, 2, 2) the first and last x, y of each line."""
        tips = np.column_stack([self.offsets[:-1], self.offsets[1:] - 1])
        return np.asarray(self.points[tips][:, :, :2], np.float64)

    def extents(self) -> NDArray[np.float64]:
        """Return (N, 4) xmin, ymin, xmax, ymax of each line."""
        if not len(self):
            return np.empty((0, 4))
        low = np.minimum.reduceat(self.points[:, :2], self.offsets[:-1])
        return np.hstack([low, np.maximum.reduceat(self.points[:, :2], self.offsets[:-1])])

    def without_repeats(self) -> Polylines:
        """Drop vertices that lie where the one before does; a line keeps its last vertex at least."""
        new = np.ones(len(self.points), np.bool_)
        new[1:] = (np.diff(self.points[:, :2], axis=0) != 0.0).any(axis=1)
        new[self.offsets[:-1]] = new[self.offsets[1:] - 1] = True
        return Polylines(self.points[new], np.append(0, np.cumsum(new))[self.offsets])

    def transformed(self, transform: Affine, *, width_factor: float) -> Polylines:
        """Map x, y by an affine transform and multiply widths."""
        a, b, c, d, e, f = transform[:6]
        col, row, width = self.points.T
        points = np.column_stack(
            [a * col + b * row + c, d * col + e * row + f, width * width_factor]
        )
        return Polylines(points, self.offsets)

    def simplified(self, tolerance: float, *, width_tolerance: float) -> Polylines:
        """Drop vertices (Douglas and Peucker 1973) that change place or width less than tolerated.

        First and last vertices stay, repeated vertices go. A closed line keeps at least 4 vertices.
        """
        weight = tolerance / width_tolerance if width_tolerance > 0.0 else 0.0
        return Polylines(*_simplified(self.points, self.offsets, tolerance, weight))


def clip(lines: Polylines, bounds: Bounds) -> tuple[Polylines, NDArray[np.int64]]:
    """Cut lines to a box; widths are interpolated at the cuts.

    A line that leaves and comes back becomes several. A run along the box's lower x or y side is
    inside, along its upper sides outside, so boxes side by side share out every line exactly.
    Returns the pieces and, for each, the index of its line.
    """
    lines = _start_outside(lines, bounds)
    start, stop = lines.points[:-1], lines.points[1:]
    line_of = np.repeat(np.arange(len(lines)), lines.sizes)[:-1]
    t_in, t_out = _visible(start, stop, bounds)
    seen = t_out > t_in
    seen[lines.offsets[1:-1] - 1] = False  # from one line's last vertex to the next line's first
    kept = np.flatnonzero(seen)
    if not len(kept):
        return Polylines(np.empty((0, 3)), np.zeros(1, np.int64)), np.empty(0, np.int64)
    begins = np.ones(len(kept), np.bool_)
    follows = np.diff(kept) == 1
    begins[1:] = ~(follows & (t_out[kept[:-1]] == 1.0) & (t_in[kept[1:]] == 0.0))
    first = _along(start[kept], stop[kept], t_in[kept], bounds)
    last = _along(start[kept], stop[kept], t_out[kept], bounds)
    # Each piece is the first point of its first segment, then every segment's last point.
    place = np.arange(len(kept)) + np.cumsum(begins)
    points = np.empty((len(kept) + int(begins.sum()), 3))
    points[place] = last
    points[place[begins] - 1] = first[begins]
    offsets = np.append(place[begins] - 1, len(points))
    return Polylines(points, offsets), line_of[kept[begins]]


def _visible(
    start: NDArray[np.float64], stop: NDArray[np.float64], bounds: Bounds
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where segments enter and leave a box, as parts of them (Liang and Barsky 1984)."""
    t_in, t_out = np.zeros(len(start)), np.ones(len(start))
    for axis, (low, high) in enumerate(((bounds[0], bounds[2]), (bounds[1], bounds[3]))):
        a, step = start[:, axis], stop[:, axis] - start[:, axis]
        still = step == 0.0
        t_out[still & ((a < low) | (a >= high))] = -1.0
        divisor = np.where(still, 1.0, step)
        to_low, to_high = (low - a) / divisor, (high - a) / divisor
        np.maximum(t_in, np.minimum(to_low, to_high), out=t_in, where=~still)
        np.minimum(t_out, np.maximum(to_low, to_high), out=t_out, where=~still)
    return t_in, t_out


def _along(
    start: NDArray[np.float64], stop: NDArray[np.float64], t: NDArray[np.float64], bounds: Bounds
) -> NDArray[Any]:
    """Interpolate; a cut lies on the box's side exactly, an uncut end is the vertex itself."""
    points = start + t[:, None] * (stop - start)
    points[t == 1.0] = stop[t == 1.0]
    points[:, 0] = np.clip(points[:, 0], bounds[0], bounds[2])
    points[:, 1] = np.clip(points[:, 1], bounds[1], bounds[3])
    return points


def _start_outside(lines: Polylines, bounds: Bounds) -> Polylines:
    """Turn free loops that cross the box so that they start outside and are cut only at its side.

    A loop that hangs on another line is left: where it begins and ends is a node.
    """
    x, y = lines.points[:, 0], lines.points[:, 1]
    outside = (x < bounds[0]) | (x > bounds[2]) | (y < bounds[1]) | (y > bounds[3])
    heads, tails = lines.offsets[:-1], lines.offsets[1:] - 1
    closed = (lines.points[heads, :2] == lines.points[tails, :2]).all(axis=1) & (lines.sizes > 2)
    crossing = closed & ~outside[heads]
    if not crossing.any():
        return lines
    ends = lines.points[np.concatenate([heads, tails]), :2]
    _, place, count = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    crossing &= count[place.ravel()][: len(lines)] == 2
    order = np.arange(len(lines.points))
    for i in np.flatnonzero(crossing):
        ring = np.arange(heads[i], tails[i])
        out = np.flatnonzero(outside[ring])
        if len(out):
            turned = np.roll(ring, -out[0])
            order[heads[i] : tails[i] + 1] = np.append(turned, turned[0])
    return Polylines(lines.points[order], lines.offsets)


@kernel
def _simplified(
    points: NDArray[np.float64], offsets: NDArray[np.int64], tolerance: float, weight: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the vertices to keep (Douglas and Peucker with widths times weight as a third axis)."""
    keep = np.zeros(len(points), np.bool_)
    starts = np.zeros(len(offsets), np.int64)
    stack = np.empty((len(points) + 3, 2), np.int64)
    for n in range(len(offsets) - 1):
        low, high = offsets[n], offsets[n + 1] - 1
        keep[low] = keep[high] = True
        stack[0, 0], stack[0, 1] = low, high
        depth = 1
        if points[low, 0] == points[high, 0] and points[low, 1] == points[high, 1]:
            # A closed line's chord says nothing: it starts as a triangle.
            one, two = low + (high - low) // 3, low + 2 * (high - low) // 3
            keep[one] = keep[two] = True
            stack[0, 1] = stack[1, 0] = one
            stack[1, 1] = stack[2, 0] = two
            stack[2, 1] = high
            depth = 3
        while depth:
            depth -= 1
            low, high = stack[depth, 0], stack[depth, 1]
            worst, farthest = _farthest(points, low, high, weight)
            if worst > tolerance * tolerance:
                keep[farthest] = True
                stack[depth, 0], stack[depth, 1] = low, farthest
                stack[depth + 1, 0], stack[depth + 1, 1] = farthest, high
                depth += 2
        starts[n + 1] = starts[n] + keep[offsets[n] : offsets[n + 1]].sum()
    return points[keep], starts


@kernel
def _farthest(points: NDArray[np.float64], low: int, high: int, weight: float) -> tuple[float, int]:
    """Return the largest squared distance of the vertices between two to their chord, and whose."""
    ax, ay, az = points[low, 0], points[low, 1], points[low, 2]
    ux, uy, uz = points[high, 0] - ax, points[high, 1] - ay, (points[high, 2] - az) * weight
    norm = ux * ux + uy * uy + uz * uz
    worst, farthest = 0.0, low
    for k in range(low + 1, high):
        x, y, z = points[k, 0] - ax, points[k, 1] - ay, (points[k, 2] - az) * weight
        if norm > 0.0:
            t = min(max((x * ux + y * uy + z * uz) / norm, 0.0), 1.0)
            x, y, z = x - t * ux, y - t * uy, z - t * uz
        square = x * x + y * y + z * z
        if square > worst:
            worst, farthest = square, k
    return worst, farthest
