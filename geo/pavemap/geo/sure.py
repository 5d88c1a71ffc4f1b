"""How much of a line is sure: the length along which the probability reaches a level.

A false crack is faint for its whole length, a true one is faint here and there. So lines may be traced
down to a low probability, and a network of them is believed for the length of it that is sure: what
Canny's rule (1986) asks of pixels, asked of lengths. Lengths add up over the cells of a survey, where a
mean or a greatest value that is still to grow could not be judged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.hysteresis import crack_level
from pavemap.geo.lines import Polylines


def sure_lengths(
    lines: Polylines, probability: NDArray[np.uint8], *, threshold: float | None
) -> NDArray[np.float64]:
    """Return (N,) the length of each line within pixels of at least a probability.

    lines: in pixels of the picture (H, W), 255 = 1. With no threshold all of a line is sure. A line cut
    along the sides of pixels has parts whose sure lengths sum to its own.
    """
    if threshold is None:
        return lines.lengths
    level = crack_level(threshold)
    return np.asarray(_sure(lines.points, lines.offsets, probability, level), np.float64)


@kernel
def _sure(
    points: NDArray[np.float64],
    offsets: NDArray[np.int64],
    probability: NDArray[np.uint8],
    level: int,
) -> NDArray[np.float64]:
    """Walk each line from pixel to pixel (Amanatides and Woo 1987)."""
    rows, cols = probability.shape
    total = np.zeros(len(offsets) - 1)
    for n in range(len(total)):
        for k in range(offsets[n], offsets[n + 1] - 1):
            x, y = points[k, 0], points[k, 1]
            dx, dy = points[k + 1, 0] - x, points[k + 1, 1] - y
            length = np.hypot(dx, dy)
            col, row = int(np.floor(x)), int(np.floor(y))
            to_x = (col + (dx > 0.0) - x) / dx if dx != 0.0 else np.inf
            to_y = (row + (dy > 0.0) - y) / dy if dy != 0.0 else np.inf
            at = 0.0
            while at < 1.0:
                until = min(to_x, to_y, 1.0)
                seen = probability[min(max(row, 0), rows - 1), min(max(col, 0), cols - 1)]
                if seen >= level:
                    total[n] += (until - at) * length
                at = until
                if to_x <= to_y:
                    to_x += 1.0 / abs(dx)
                    col += 1 if dx > 0.0 else -1
                else:
                    to_y += 1.0 / abs(dy)
                    row += 1 if dy > 0.0 else -1
    return total
