"""What is left of a line when something was said of parts of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import shapely
from shapely.ops import substring

LEAST_M = 0.05
"""A shorter rest is a cut that was not quite at the end of the other part."""

M_PER_DEG = 111_320.0


def rests_of(
    line: shapely.LineString, parts: Sequence[shapely.LineString]
) -> list[shapely.LineString]:
    """Return the stretches of a line (degrees, z is kept) that no part speaks of, however it runs.

    A part speaks of what lies between the places of the line that are nearest to its two ends: of its own
    stretch where the line was split, and of the one that it takes the place of where it was moved.
    """
    least = LEAST_M / M_PER_DEG
    said = sorted(_stretch(line, part) for part in parts)
    found, end = [], 0.0
    for first, last in [*said, (line.length, line.length)]:
        if first - end > least:
            found.append(cast(shapely.LineString, substring(line, end, first)))
        end = max(end, last)
    return found


def _stretch(line: shapely.LineString, part: shapely.LineString) -> tuple[float, float]:
    ends: Iterable[float] = (
        line.project(shapely.Point(part.coords[index][:2])) for index in (0, -1)
    )
    first, last = sorted(ends)
    return first, last
