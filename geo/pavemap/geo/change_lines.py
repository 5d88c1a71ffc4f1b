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
from pavemap.geo.lines.line_steps import Runs, Steps, beside, filled, without_tips
from pavemap.geo.lines.pieces import cut_by_segments

Kind = Literal["new", "grown", "gone", "unchanged"]
KINDS: tuple[Kind, ...] = ("new", "grown", "gone", "unchanged")

STEPS_PER_TOLERANCE = 4
"""Steps in a tolerance: the end of a match is found to an eighth of the tolerance."""

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
    mean width of the other survey beside it, NaN where none is near or known.
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
        starts = Runs.of(steps, matched).starts
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

    ground: (S,); width_mm: (S,) of the line beside it, NaN where none is within reach or it is unknown;
    matched: (S,) whether one is, short gaps filled and what lies past its end taken off.
    """

    steps: Steps
    ground: Integers
    width_mm: Floats
    matched: Bools

    @classmethod
    def of(
        cls, lines: Geometries, others: Geometries, *, ground: Geometries, reach: float
    ) -> _Matches:
        _, where, pieces = cut_by_segments(lines, ground)
        steps = Steps.of(Polylines.from_shapely(pieces), reach / STEPS_PER_TOLERANCE)
        near, width, past = beside(steps, others, reach)
        matched = without_tips(steps, filled(steps, near, reach), past)
        return cls(steps, where[steps.line], width, matched)

    def settled(self, other: _Matches, reach: float) -> Bools:
        """Return (S,) what is matched in the end, less the short runs that nothing keeps."""
        runs = Runs.of(self.steps, self.matched)
        short = self.matched[runs.starts] & (runs.length < RUN_TOLERANCES * reach) & ~runs.whole
        if short.any():
            short &= self._lie_along(runs, short, other, reach) < MOSTLY
        return self.matched & ~short[runs.of_step]

    def _lie_along(self, runs: Runs, some: Bools, other: _Matches, reach: float) -> Floats:
        """Return for each run how many lines of the other survey, all matched, lie along it, in shares.

        A line is shared out among the runs by which of them is nearest to each of its steps, so that a
        run that only crosses it has little of it. Known of the runs asked for alone.
        """
        theirs = Runs.of(other.steps, other.matched)
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
