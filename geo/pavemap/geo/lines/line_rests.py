"""What is left of a line when something was said of parts of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import cast

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.ops import substring

LEAST_M = 0.05
"""A shorter rest is a cut that was not quite at the end of the other part."""

M_PER_DEG = 111_320.0
NEAR_DEG = 1e-7
"""A centimetre: a line that comes this near to a point again has two places there."""

ABOUT_AS_LONG = 0.8
SHARED = 0.1
"""Less of the shorter line than this is no stretch of both, but where one was moved a little."""
MOVED_M, MOVED = 0.25, 0.05
"""How far from its crack a line may be moved, in metres or as a share of its length: no farther than to the
next crack, mostly."""


def rests_of(
    line: shapely.LineString, parts: Sequence[shapely.LineString], *, is_part: bool = False
) -> list[shapely.LineString]:
    """Return the stretches of a line (degrees, z is kept) that no part speaks of, however it runs.

    A part speaks of what lies between the places of the line that are nearest to its two ends: of its own
    stretch where the line was split, and of the one that it takes the place of where it was moved. Where a
    line meets itself, as a ring does, an end has several places; those count that are as far apart as the
    part is long, with its middle between them. Parts of one line that is somewhere else, and was not cut
    there, take the place of all of it. `is_part` says that the line may be itself a part, of a crack that
    the others run on along.
    """
    one = shapely.line_merge(shapely.MultiLineString([*parts]))
    if isinstance(one, shapely.LineString) and _stands_for(line, one, is_part=is_part):
        return []
    least = LEAST_M / M_PER_DEG
    said = sorted(_stretch(line, part) for part in parts)
    found, end = [], 0.0
    for first, last in [*said, (line.length, line.length)]:
        if first - end > least:
            found.append(cast(shapely.LineString, substring(line, end, first)))
        end = max(end, last)
    return found


def share_ground(one: shapely.LineString, other: shapely.LineString) -> bool:
    """Tell whether two lines (degrees) of a crack speak of the same stretch of it, as they run there."""
    first, last = _stretch(one, other)
    least = max(LEAST_M / M_PER_DEG, SHARED * min(one.length, other.length))
    middle = one.interpolate((first + last) / 2.0)
    far = 2.0 * max(MOVED_M / M_PER_DEG, MOVED * min(one.length, other.length))  # both were moved
    return last - first > least and bool(middle.distance(other) < far)


def _stands_for(line: shapely.LineString, other: shapely.LineString, *, is_part: bool) -> bool:
    """Tell whether a line was moved to another, rather than cut to it."""
    alike = ABOUT_AS_LONG * line.length < other.length < line.length / ABOUT_AS_LONG
    if not alike or line.buffer(NEAR_DEG).covers(other):
        return False
    least = MOVED_M / M_PER_DEG
    # What is as long as a whole crack, and runs elsewhere, is no part of it.
    uncut = not is_part and other.length > line.length - least
    return uncut or _gap(line, other) < least


def _gap(line: shapely.LineString, other: shapely.LineString) -> float:
    """Return how far the ends of another line are from a line's, along it or straight; 0 for rings."""
    if line.is_closed and other.is_closed:
        return 0.0
    first, last = _stretch(line, other)
    (start, end), ends = _ends(line), _ends(other)
    straight = min(max(start.distance(one), end.distance(two)) for one, two in (ends, ends[::-1]))
    return min(max(first, line.length - last), straight)


def _ends(line: shapely.LineString) -> tuple[shapely.Point, shapely.Point]:
    return shapely.Point(line.coords[0]), shapely.Point(line.coords[-1])


def _stretch(line: shapely.LineString, part: shapely.LineString) -> tuple[float, float]:
    points = shapely.get_coordinates(part)
    ways = [tuple(sorted(way)) for way in product(*(_places(line, points[at]) for at in (0, -1)))]
    if len(ways) > 1:
        middle = part.interpolate(0.5, normalized=True)
        ways.sort(key=lambda way: _misfit(line, way, part, middle))
    first, last = ways[0]
    return first, last


def _places(line: shapely.LineString, point: NDArray[np.float64]) -> list[float]:
    """Return how far along a line it is nearest to a point: once, or wherever it comes as near."""
    points = shapely.get_coordinates(line)
    steps = np.diff(points, axis=0)
    square = (steps**2).sum(axis=1)
    along = ((point - points[:-1]) * steps).sum(axis=1) / np.where(square > 0.0, square, 1.0)
    along = np.clip(along, 0.0, 1.0)
    away = np.hypot(*(points[:-1] + along[:, None] * steps - point).T)
    near = np.flatnonzero(away <= away.min() + NEAR_DEG)
    runs = np.split(near, np.flatnonzero(np.diff(near) > 1) + 1)
    best = np.array([run[np.argmin(away[run])] for run in runs])
    sizes = np.sqrt(square)
    before = np.cumsum(sizes) - sizes
    return [float(place) for place in before[best] + along[best] * sizes[best]]


def _misfit(
    line: shapely.LineString,
    way: Sequence[float],
    part: shapely.LineString,
    middle: shapely.Point,
) -> float:
    first, last = way
    between = line.interpolate((first + last) / 2.0)
    return abs(last - first - part.length) + float(between.distance(middle))
