"""Cracks of two surveys of the same ground compared line by line: new, grown, gone, unchanged.

    before   ---------------            ------------
    after    - - - - - - - - - - - -                     ---------
             [ unchanged  ] [grown ]   [   gone    ]    [  new  ]

Each line is cut into short steps, and a step is matched when a line of the other survey lies within the
tolerance. What the tolerance makes doubtful is settled along the line, in this order:

- A gap between matches that is shorter than GAP_TOLERANCES is noise of position, and matched.
- Where a line goes on past the end of the other by more than the tolerance, it matches up to that end.
- A match shorter than RUN_TOLERANCES is none: two cracks that cross at more than 30 degrees run within the
  tolerance of each other for less than that. It stays where it is the whole line, and where it is what a
  line of the other survey matched whole lies along: a short crack that has grown.

A line without any match is new (or, seen the other way, gone); of a line that is matched in part the rest
has grown (or gone: sealed, overlaid, or no longer seen). A line ends where its ground does: what goes on
into the next segment is settled there, so that the outcome doesn't depend on which segments are compared
together. The rule is the same in both directions, so comparing backwards turns what is new and grown into
what is gone, and the reverse. Steps partition their lines, so the lengths of the classes sum to the length
of the lines, and new + grown - gone is the difference of lengths, but for what ends or bends by less than
the tolerance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Bools, Floats, Geometries, Integers
from pavemap.geo.errors import BadInput
from pavemap.geo.lines.flat_lines import Polylines
from pavemap.geo.lines.line_measures import line_stats
from pavemap.geo.lines.pieces import cut_by_segments

Kind = Literal["new", "grown", "gone", "unchanged"]
KINDS: tuple[Kind, ...] = ("new", "grown", "gone", "unchanged")

STEPS_PER_TOLERANCE = 4
"""Steps in a tolerance: the end of a match is found to an eighth of the tolerance."""

GAP_TOLERANCES = 2.0
RUN_TOLERANCES = 4.0

POSITION_RMSE_M = 0.05
"""Horizontal error (radial RMSE) of an orthophoto whose survey states none: RTK or ground control."""

MOSTLY = 0.5
"""Share of a line that must lie along a run to keep it."""

CONFIDENCE_95 = 1.7308
"""Radial RMSE to the radius that holds 95 % of errors (ASPRS Positional Accuracy Standards 2014, 7.3)."""


@dataclass(frozen=True)
class LineChanges:
    """What became of the cracks: N stretches, each of one kind.

    kind: (N,) str, one of KINDS; lines: (N,) LineString Z, z = width in mm, those of `unchanged` as
    they are now; ground: (N,) index of the ground they lie on; length_m, width_mm: (N,) true metres
    and mean width; before_width_mm: (N,) mean width of what was there before, NaN but for unchanged.
    """

    kind: NDArray[np.object_]
    lines: Geometries
    ground: Integers
    length_m: Floats
    width_mm: Floats
    before_width_mm: Floats

    def by_ground(self, count: int) -> pd.DataFrame:
        """Sum up over each of `count` grounds: new_m, grown_m, gone_m, unchanged_m, widened_mm.

        widened_mm is the mean growth in width of what is unchanged in place, null where nothing is.
        """
        sums = {
            f"{kind}_m": np.bincount(
                self.ground, self.length_m * (self.kind == kind), minlength=count
            )
            for kind in KINDS
        }
        both = np.isfinite(self.before_width_mm) & (self.width_mm > 0.0)
        weight = np.where(both, self.length_m, 0.0)
        wider = np.where(both, self.width_mm - self.before_width_mm, 0.0)
        total = np.bincount(self.ground, weight, minlength=count)
        summed = np.bincount(self.ground, weight * wider, minlength=count)
        mean = np.divide(summed, total, out=np.full(count, np.nan), where=total > 0.0)
        return pd.DataFrame({**sums, "widened_mm": mean})


def default_tolerance_m(
    gsd_m: tuple[float, float], position_rmse_m: tuple[float | None, float | None] = (None, None)
) -> float:
    """Return how far apart two surveys may show the same crack, in true metres.

    1.7308 sqrt(a^2 + b^2) + g + h: the 95 % radius of the difference of two positions of radial RMSE
    a and b (POSITION_RMSE_M where not stated), and a pixel of each survey for where its line runs.
    """
    known = [POSITION_RMSE_M if each is None else each for each in position_rmse_m]
    return CONFIDENCE_95 * math.hypot(*known) + sum(gsd_m)


def compare_lines(
    before: Geometries,
    after: Geometries,
    *,
    ground: Geometries,
    tolerance_m: float,
    scale: float | Floats = 1.0,
) -> LineChanges:
    """Compare the cracks of two surveys on ground (N,) that both have imaged.

    before, after: LineString Z in one metric CRS, all that come within the tolerance of the ground;
    ground: polygons whose interiors are disjoint; scale: projected per true metres, one for all or
    (N,) of each ground. Memory goes with the lines given: compare block by block. Raises BadInput
    for a tolerance that is none.
    """
    if not (math.isfinite(tolerance_m) and tolerance_m > 0.0):
        raise BadInput(f"a tolerance of {tolerance_m:g} m matches nothing; give one such as 0.15")
    scales = np.broadcast_to(np.asarray(scale, np.float64), len(ground))
    reach = tolerance_m * (float(scales.mean()) if len(scales) else 1.0)
    matches = [
        _Matches.of(some, others, ground=ground, reach=reach)
        for some, others in ((before, after), (after, before))
    ]
    old, new = (
        _Stretches.of(one, one.settled(other, reach)) for one, other in (matches, reversed(matches))
    )
    kinds = (
        np.where(old.matched, "", "gone").astype(object),
        np.where(new.matched, "unchanged", np.where(new.in_part, "grown", "new")).astype(object),
    )
    keep = ~old.matched
    lines = np.concatenate([old.lines[keep], new.lines])
    where = np.concatenate([old.ground[keep], new.ground])
    stats = line_stats(lines, scale=scales[where])
    before_width = np.where(new.matched, new.other_width_mm, np.nan)
    return LineChanges(
        kind=np.concatenate([kinds[0][keep], kinds[1]]),
        lines=lines,
        ground=where,
        length_m=stats["length_m"].to_numpy(np.float64),
        width_mm=stats["width_mean_mm"].to_numpy(np.float64),
        before_width_mm=np.concatenate([np.full(int(keep.sum()), np.nan), before_width]),
    )


@dataclass(frozen=True)
class _Stretches:
    """Lines of one survey on the ground, cut where a match with the other survey begins or ends.

    in_part: whether another stretch of the same line is matched on this ground; other_width_mm: the
    mean width of the other survey beside it, NaN where none is near.
    """

    lines: Geometries
    ground: Integers
    matched: Bools
    in_part: Bools
    other_width_mm: Floats

    @classmethod
    def of(cls, found: _Matches, matched: Bools) -> _Stretches:
        steps, width = found.steps, found.width_mm
        if not len(matched):
            nothing = np.zeros(0, np.bool_)
            return cls(np.empty(0, object), steps.line, nothing, nothing, np.zeros(0))
        starts = _Runs.of(steps, matched).starts
        piece = steps.line[starts]
        partly = np.bincount(steps.line, matched) > 0
        known = np.where(np.isfinite(width), steps.length, 0.0)
        weighted = np.add.reduceat(np.nan_to_num(width) * known, starts)
        total = np.add.reduceat(known, starts)
        mean = np.divide(weighted, total, out=np.full(len(starts), np.nan), where=total > 0.0)
        return cls(steps.joined(starts), found.ground[starts], matched[starts], partly[piece], mean)


@dataclass(frozen=True)
class _Matches:
    """The S steps of one survey on the ground, and how the other survey lies beside each.

    ground: (S,); width_mm: (S,) of the line beside it, NaN where none is within reach; matched: (S,)
    whether one is, short gaps filled and what lies past its end taken off.
    """

    steps: _Steps
    ground: Integers
    width_mm: Floats
    matched: Bools

    @classmethod
    def of(
        cls, lines: Geometries, others: Geometries, *, ground: Geometries, reach: float
    ) -> _Matches:
        _, where, pieces = cut_by_segments(lines, ground)
        steps = _Steps.of(Polylines.from_shapely(pieces), reach / STEPS_PER_TOLERANCE)
        width, past = _beside(steps, others, reach)
        matched = _without_tips(steps, _filled(steps, np.isfinite(width), reach), past)
        return cls(steps, where[steps.line], width, matched)

    def settled(self, other: _Matches, reach: float) -> Bools:
        """Return (S,) what is matched in the end, less the short runs that nothing keeps."""
        runs = _Runs.of(self.steps, self.matched)
        short = self.matched[runs.starts] & (runs.length < RUN_TOLERANCES * reach) & ~runs.whole
        if short.any():
            short &= self._lie_along(runs, short, other, reach) < MOSTLY
        return self.matched & ~short[runs.of_step]

    def _lie_along(self, runs: _Runs, some: Bools, other: _Matches, reach: float) -> Floats:
        """Return for each run how many lines of the other survey, all matched, lie along it, in shares.

        A line is shared out among the runs by which of them is nearest to each of its steps, so that a
        run that only crosses it has little of it. Known of the runs asked for alone.
        """
        theirs = _Runs.of(other.steps, other.matched)
        whole = (other.matched[theirs.starts] & theirs.whole)[theirs.of_step]
        share = other.steps.length / theirs.length[theirs.of_step]
        asked = shapely.STRtree(self.steps.drawn(np.flatnonzero(some[runs.of_step])))
        middle = other.steps.middle
        near = asked.query(middle, predicate="dwithin", distance=reach)[0]
        step = np.unique(near[whole[near]])
        mine = np.flatnonzero(self.matched)
        drawn = self.steps.drawn(mine)
        place, at = shapely.STRtree(drawn).query(middle[step], predicate="dwithin", distance=reach)
        here = other.ground[step[place]] == self.ground[mine[at]]
        place, at = place[here], at[here]
        order = np.lexsort((shapely.distance(middle[step[place]], drawn[at]), place))
        nearest = order[np.append(True, np.diff(place[order]) != 0)[: len(order)]]
        run = runs.of_step[mine[at[nearest]]]
        shares = np.bincount(run, share[step[place[nearest]]], minlength=len(runs.starts))
        return np.asarray(shares, np.float64)


@dataclass(frozen=True)
class _Runs:
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
    def of(cls, steps: _Steps, kind: Bools) -> _Runs:
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
class _Steps:
    """Lines cut into S short steps, in order: (S, 3) starts and stops, (S,) line and length."""

    start: Floats
    stop: Floats
    line: Integers
    length: Floats

    @classmethod
    def of(cls, lines: Polylines, longest: float) -> _Steps:
        if not len(lines):
            nothing = np.empty((0, 3))
            return cls(nothing, nothing, np.empty(0, np.int64), np.empty(0))
        within = np.ones(len(lines.points) - 1, np.bool_)
        within[lines.offsets[1:-1] - 1] = False
        start, stop = lines.points[:-1][within], lines.points[1:][within]
        line = np.repeat(np.arange(len(lines)), lines.sizes - 1)
        length = np.hypot(*(stop - start)[:, :2].T)
        count = np.maximum(np.ceil(length / longest), 1.0).astype(np.int64)
        edge = np.repeat(np.arange(len(count)), count)
        place = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
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


def _beside(steps: _Steps, others: Geometries, reach: float) -> tuple[Floats, Bools]:
    """Return for each step the width of the nearest of the other lines, and whether it lies past its end.

    NaN and False where none is within reach. An end at which another line goes on is none.
    """
    width = np.full(len(steps.line), np.nan)
    past = np.zeros(len(steps.line), np.bool_)
    if not len(others) or not len(width):
        return width, past
    flat = Polylines.from_shapely(others)
    within = np.ones(len(flat.points) - 1, np.bool_)
    within[flat.offsets[1:-1] - 1] = False
    ends = np.stack([flat.points[:-1][within], flat.points[1:][within]], axis=1)
    tree = shapely.STRtree(np.asarray(shapely.linestrings(ends[:, :, :2])))
    step, edge = tree.query_nearest(steps.middle, max_distance=reach, all_matches=False)
    width[step] = ends[edge, :, 2].mean(axis=1)
    begin, along = ends[edge, 0, :2], (ends[edge, 1] - ends[edge, 0])[:, :2]
    away = (steps.start + steps.stop)[step, :2] / 2.0 - begin
    foot = (away * along).sum(axis=1)
    first, last = (tip[within][edge] for tip in _tips(flat))
    past[step] = (first & (foot < 0.0)) | (last & (foot > (along**2).sum(axis=1)))
    return width, past


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


def _filled(steps: _Steps, near: Bools, reach: float) -> Bools:
    """Fill short gaps between matches."""
    runs = _Runs.of(steps, near)
    gap = ~near[runs.starts] & (runs.length < GAP_TOLERANCES * reach) & ~runs.opens & ~runs.ends
    return near | gap[runs.of_step]


def _without_tips(steps: _Steps, matched: Bools, past: Bools) -> Bools:
    """Take matches past an end off where the line goes on without; what ends there ends within noise."""
    loose = matched & past
    runs = _Runs.of(steps, loose)
    bare = np.concatenate([[False], ~matched, [False]])
    stops = np.append(runs.starts[1:], len(matched))
    on = (bare[runs.starts] & ~runs.opens) | (bare[stops + 1] & ~runs.ends)
    kept: Bools = matched & ~(loose & on[runs.of_step])
    return kept
