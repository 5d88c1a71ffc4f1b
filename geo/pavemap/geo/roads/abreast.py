"""Finds roads side by side whose strips overlap, and draws the border between them.

Points along each centre-line look for other lines abreast of them: near enough for the strips to overlap,
running within 30 degrees of the same or the opposite direction, and beside the point, not ahead of it.
The border runs where both strips reach equally far over it; that is the middle for equal widths:

    ------------ one ------------
    = = = = = = border = = = = = =     (distance to a centre-line) - (half its width) is the same for both
    ----------- other -----------
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Integers, Objects, counted
from pavemap.geo.roads.directions import direction_at

SAMPLE_M = 10.0
"""Between the points that look for roads beside them."""
ALIKE = np.cos(np.radians(29.3))
"""About 30 degrees; no round number, since drawn roads meet at round angles."""
AHEAD = 0.46
"""The most that what lies beside a point may lie ahead of it, as a share of its distance."""
MIN_APART_M = 0.02
"""Nearer lines are one line twice; the first of them keeps the ground."""
AT_ONCE = 100_000


@dataclass(frozen=True)
class Abreast:
    """(K,) pairs of segments side by side, one < other, and the border between the two as lines."""

    one: Integers
    other: Integers
    borders: Objects

    def of(self, segments: Integers) -> Abreast:
        """Return the pairs among some segments (sorted), renumbered 0, 1, ... in that order."""
        kept = np.isin(self.one, segments) & np.isin(self.other, segments)
        one, other = (np.searchsorted(segments, each[kept]) for each in (self.one, self.other))
        return Abreast(one, other, self.borders[kept])

    def level_with(self, level: Integers) -> Abreast:
        """Return the pairs on one level, of (N,) levels of the segments."""
        kept = level[self.one] == level[self.other]
        return Abreast(self.one[kept], self.other[kept], self.borders[kept])

    def meets(self, first: Integers, second: Integers, count: int) -> NDArray[np.bool_]:
        """Tell of (M,) pairs of `count` segments, in either order, whether they are side by side."""
        key = np.minimum(first, second) * count + np.maximum(first, second)
        known: NDArray[np.bool_] = np.isin(key, self.one * count + self.other)
        return known


@dataclass(frozen=True)
class _Marks:
    """Points on borders: at sample `place` of segment `at`, beside segment `to`."""

    at: Integers
    to: Integers
    place: Integers
    point: Floats
    along: Floats
    """(M, 2) unit vectors along the border, in the direction of the segment `at`."""
    step: Floats
    """(M,) metres from one sample of the segment `at` to the next."""


def find_abreast(lines: Objects, radius: Floats, strips: Objects) -> Abreast:
    """Find the pairs among (N,) LineStrings of a plane whose `strips` reach `radius` to both sides."""
    marks = _mark(lines, radius)
    low, high = np.minimum(marks.at, marks.to), np.maximum(marks.at, marks.to)
    # Both lines may have marked the border; the one with more marks, or else the first, draws it.
    sides, side_of = np.unique(
        np.column_stack([low, high, marks.at != low]), axis=0, return_inverse=True
    )
    side_of = side_of.reshape(-1)
    size = np.bincount(side_of, minlength=len(sides))
    order = np.lexsort((sides[:, 2], -size, sides[:, 1], sides[:, 0]))
    first = np.ones(len(order), dtype=bool)
    first[1:] = (np.diff(sides[order, :2], axis=0) != 0).any(axis=1)
    chosen = order[first]
    rank = np.full(len(sides), -1)
    rank[chosen] = np.arange(len(chosen))
    kept = rank[side_of] >= 0
    drawn = _drawn(marks, rank[side_of], kept, len(chosen))
    one, other = sides[chosen, 0], sides[chosen, 1]
    # Side by side for less than they are wide, roads only meet.
    long = np.bincount(side_of, weights=marks.step, minlength=len(sides))[chosen]
    long_enough = long >= radius[one] + radius[other]
    drawn, one, other = drawn[long_enough], one[long_enough], other[long_enough]
    within = shapely.intersection(shapely.intersection(drawn, strips[one]), strips[other])
    real = shapely.length(within) > 0.0
    return Abreast(one[real], other[real], np.asarray(within, dtype=object)[real])


def _mark(lines: Objects, radius: Floats) -> _Marks:
    length = shapely.length(lines)
    count = np.maximum(np.ceil(length / SAMPLE_M), 2).astype(np.int64)
    at, place = counted(count)
    where = (place + 0.5) / count[at] * length[at]
    tree, widest = shapely.STRtree(lines), radius.max(initial=0.0)
    found: list[tuple[Integers, ...]] = []
    for start in range(0, len(at), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        points = shapely.line_interpolate_point(lines[at[some]], where[some])
        reach = radius[at[some]] + widest
        sample, to = tree.query(points, predicate="dwithin", distance=reach)
        apart = shapely.distance(points[sample], lines[to])
        sample = sample + start
        near = (apart < radius[at[sample]] + radius[to]) & (apart > MIN_APART_M)
        found.append((sample[near], to[near]))
    sample, to = (np.concatenate(each) for each in zip(*found, strict=True))
    line, other = lines[at[sample]], lines[to]
    points = shapely.line_interpolate_point(line, where[sample])
    foot = shapely.line_locate_point(other, points)
    origin = shapely.get_coordinates(points)
    across = shapely.get_coordinates(shapely.line_interpolate_point(other, foot)) - origin
    apart = np.hypot(*across.T)
    along, beside = direction_at(line, where[sample]), direction_at(other, foot)
    fits = np.abs((along * beside).sum(axis=1)) >= ALIKE
    for way in (along, beside):
        fits &= np.abs((across * way).sum(axis=1)) <= AHEAD * apart
    reach = (apart + radius[at[sample]] - radius[to]) / 2.0
    point = origin + across / np.maximum(apart, MIN_APART_M)[:, None] * reach[:, None]
    sample, to = sample[fits], to[fits]
    step = (length / count)[at[sample]]
    same_way = np.sign((along * beside).sum(axis=1))[fits, None]
    between = along[fits] + same_way * beside[fits]
    between /= np.hypot(*between.T)[:, None]
    return _Marks(at[sample], to, place[sample], point[fits], between, step)


def _drawn(marks: _Marks, pair: Integers, kept: NDArray[np.bool_], count: int) -> Objects:
    """Draw a line through the marks of each pair, a step longer at both ends."""
    order = np.flatnonzero(kept)
    order = order[np.lexsort((marks.place[order], pair[order]))]
    pair = pair[order]
    ahead = marks.along[order] * marks.step[order, None]
    first = np.append(True, pair[1:] != pair[:-1]) if len(pair) else np.empty(0, dtype=bool)
    last = np.append(first[1:], True) if len(pair) else first
    point = marks.point[order]
    points = np.concatenate([(point - ahead)[first], point, (point + ahead)[last]])
    owner = np.concatenate([pair[first], pair, pair[last]])
    by_owner = np.argsort(owner, kind="stable")
    drawn = np.full(count, None, dtype=object)
    if len(points):
        shapely.linestrings(points[by_owner], indices=owner[by_owner], out=drawn)
    return drawn
