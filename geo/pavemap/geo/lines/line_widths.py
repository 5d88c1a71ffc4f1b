"""What the widths along a line add up to beyond their mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.lines.flat_lines import Polylines

HALVINGS = 40
"""Of the span from the narrowest to the widest place: to the 12th digit."""


def width_quantile(lines: Polylines, part: float) -> NDArray[np.float64]:
    """Return (N,) the width that a part (0 to 1) of each line's length does not exceed.

    Between vertices widths change evenly, so this is exact however lines are simplified. Steps with an
    end of unknown width (0) don't count; 0 for a line that has no other.
    """
    return _quantiles(lines.points, lines.offsets, part)


@kernel
def _quantiles(
    points: NDArray[np.float64], offsets: NDArray[np.int64], part: float
) -> NDArray[np.float64]:
    found = np.zeros(len(offsets) - 1)
    for n in range(len(found)):
        low, high, length = np.inf, 0.0, 0.0
        for k in range(offsets[n], offsets[n + 1] - 1):
            a, b = points[k, 2], points[k + 1, 2]
            if a > 0.0 and b > 0.0:
                length += _way(points, k)
                low, high = min(low, a, b), max(high, a, b)
        if length <= 0.0:
            continue
        for _ in range(HALVINGS):
            middle = 0.5 * (low + high)
            if _length_below(points, offsets[n], offsets[n + 1], middle) < part * length:
                low = middle
            else:
                high = middle
        found[n] = high
    return found


@kernel
def _length_below(points: NDArray[np.float64], start: int, stop: int, width: float) -> float:
    """Return the length along which a line is at most so wide."""
    below = 0.0
    for k in range(start, stop - 1):
        a, b = points[k, 2], points[k + 1, 2]
        if a > 0.0 and b > 0.0:
            least, most = min(a, b), max(a, b)
            if most <= width:
                below += _way(points, k)
            elif least < width:
                below += _way(points, k) * (width - least) / (most - least)
    return below


@kernel
def _way(points: NDArray[np.float64], k: int) -> float:
    dx, dy = points[k + 1, 0] - points[k, 0], points[k + 1, 1] - points[k, 1]
    return float(np.sqrt(dx * dx + dy * dy))
