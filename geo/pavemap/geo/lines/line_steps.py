"""Lines cut into short steps, runs of steps, and lines of another survey beside: see `change_lines`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Bools, Floats, Geometries, Integers, counted
from pavemap.geo.lines.flat_lines import Polylines

GAP_TOLERANCES = 2.0
"""A gap between matches that is shorter is noise of position."""


@dataclass(frozen=True)
class Runs:
    """R runs of steps of one kind along a line.

    starts: (R,) their first steps; length: (R,) in units of the CRS; opens, ends: (R,) whether the line
    begins or ends with it; of_step: (S,) the run of each step.
    """

    starts: NDArray[np.intp]
    length: Floats
    opens: Bools
    ends: Bools
    of_step: NDArray[np.intp]

    @classmethod
    def of(cls, steps: Steps, kind: Bools) -> Runs:
        begins = steps.first.copy()
        begins[1:] |= kind[1:] != kind[:-1]
        starts = np.flatnonzero(begins)
        opens = steps.first[starts]
        length = np.add.reduceat(steps.length, starts) if len(starts) else np.zeros(0)
        return cls(starts, length, opens, np.append(opens, True)[1:], np.cumsum(begins) - 1)

    @property
    def whole(self) -> Bools:
        """(R,) whether a run is its whole line."""
        return self.opens & self.ends


@dataclass(frozen=True)
class Steps:
    """Lines cut into S short steps, in order: (S, 3) starts and stops, (S,) line and length."""

    start: Floats
    stop: Floats
    line: Integers
    length: Floats

    @classmethod
    def of(cls, lines: Polylines, longest: float) -> Steps:
        if not len(lines):
            nothing = np.empty((0, 3))
            return cls(nothing, nothing, np.empty(0, np.int64), np.empty(0))
        within = np.ones(len(lines.points) - 1, np.bool_)
        within[lines.offsets[1:-1] - 1] = False
        start, stop = lines.points[:-1][within], lines.points[1:][within]
        line = np.repeat(np.arange(len(lines)), lines.sizes - 1)
        length = np.hypot(*(stop - start)[:, :2].T)
        count = np.maximum(np.ceil(length / longest), 1.0).astype(np.int64)
        edge, place = counted(count)
        along = (stop - start)[edge]
        low, high = (place / count[edge])[:, None], ((place + 1) / count[edge])[:, None]
        return cls(
            start[edge] + low * along,
            start[edge] + high * along,
            line[edge],
            length[edge] / count[edge],
        )

    @property
    def first(self) -> Bools:
        """(S,) whether a step is the first of its line."""
        first: Bools = np.diff(self.line, prepend=-1) != 0
        return first

    @property
    def middle(self) -> Geometries:
        """(S,) points."""
        return np.asarray(shapely.points((self.start + self.stop)[:, :2] / 2.0), object)

    def drawn(self, some: NDArray[np.intp]) -> Geometries:
        """Return some steps as lines in the plane."""
        ends = np.stack([self.start[some], self.stop[some]], axis=1)
        return np.asarray(shapely.linestrings(ends[:, :, :2]), object)

    def joined(self, starts: NDArray[np.intp]) -> Geometries:
        """Return the steps as lines that begin at `starts`."""
        sizes = np.diff(np.append(starts, len(self.line)))
        points = np.insert(self.stop, starts, self.start[starts], axis=0)
        return Polylines(points, np.append(0, np.cumsum(sizes + 1))).to_shapely()


def beside(steps: Steps, others: Geometries, reach: float) -> tuple[Bools, Floats, Bools]:
    """Return for each step if a line is within reach, the nearest one's width, and if that ended before.

    The width is NaN where none is within reach or it is unknown; an end at which another line goes on
    is none.
    """
    near, past = np.zeros((2, len(steps.line)), np.bool_)
    width = np.full(len(steps.line), np.nan)
    if not len(others) or not len(width):
        return near, width, past
    flat = Polylines.from_shapely(others)
    within = np.ones(len(flat.points) - 1, np.bool_)
    within[flat.offsets[1:-1] - 1] = False
    ends = np.stack([flat.points[:-1][within], flat.points[1:][within]], axis=1)
    tree = shapely.STRtree(np.asarray(shapely.linestrings(ends[:, :, :2])))
    step, edge = tree.query_nearest(steps.middle, max_distance=reach, all_matches=False)
    begin, along = ends[edge, 0, :2], (ends[edge, 1] - ends[edge, 0])[:, :2]
    away = (steps.start + steps.stop)[step, :2] / 2.0 - begin
    foot = (away * along).sum(axis=1) / (along**2).sum(axis=1)
    first, last = (tip[within][edge] for tip in _tips(flat))
    near[step] = True
    width[step] = _widths_at(ends[edge, :, 2], foot)
    past[step] = (first & (foot < 0.0)) | (last & (foot > 1.0))
    return near, width, past


def _widths_at(widths: Floats, part: Floats) -> Floats:
    """Return the widths at parts of edges (N, 2), NaN where that of an end is unknown."""
    start, stop = widths.T
    between = start + np.clip(part, 0.0, 1.0) * (stop - start)
    return np.where((widths > 0.0).all(axis=1), between, np.nan)


def _tips(lines: Polylines) -> tuple[Bools, Bools]:
    """Tell of each point but the last whether the edge from it begins, or ends, with a loose end."""
    heads, tails = lines.offsets[:-1], lines.offsets[1:] - 1
    at = np.concatenate([heads, tails])
    key = lines.points[at, 0] + 1j * lines.points[at, 1]
    _, which, count = np.unique(key, return_inverse=True, return_counts=True)
    alone = at[count[which] == 1]
    begins, ends = (np.zeros(len(lines.points) - 1, np.bool_) for _ in range(2))
    begins[np.intersect1d(alone, heads)] = True
    ends[np.intersect1d(alone, tails) - 1] = True
    return begins, ends


def filled(steps: Steps, near: Bools, reach: float) -> Bools:
    """Fill short gaps between matches."""
    runs = Runs.of(steps, near)
    gap = ~near[runs.starts] & (runs.length < GAP_TOLERANCES * reach) & ~runs.opens & ~runs.ends
    return near | gap[runs.of_step]


def without_tips(steps: Steps, matched: Bools, past: Bools) -> Bools:
    """Take matches past an end off where the line goes on without; what ends there ends within noise."""
    loose = matched & past
    runs = Runs.of(steps, loose)
    bare = np.concatenate([[False], ~matched, [False]])
    stops = np.append(runs.starts[1:], len(matched))
    on = (bare[runs.starts] & ~runs.opens) | (bare[stops + 1] & ~runs.ends)
    kept: Bools = matched & ~(loose & on[runs.of_step])
    return kept
