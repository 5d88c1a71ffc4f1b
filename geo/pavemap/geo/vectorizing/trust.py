"""How far lines can be trusted: the probability along them, and how much of them is sure.

A false crack is faint for its whole length, a true one is faint here and there. So lines may be traced
down to a low probability, and a network of them is believed for the length of it that is sure: what
Canny's rule (1986) asks of pixels, asked of lengths. Lengths add up over the cells of a survey, where a
mean or a greatest value that is still to grow could not be judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.lines.flat_lines import Polylines
from pavemap.geo.vectorizing.hysteresis import crack_level


@dataclass(frozen=True)
class Trust:
    """How far each of N lines can be trusted.

    confidence: (N,) mean probability along it, NaN where that is not known. sure: (N,) share of its
    length that is sure, and so counts towards the least length of a network.
    """

    confidence: NDArray[np.float64]
    sure: NDArray[np.float64]

    @classmethod
    def unknown(cls, count: int) -> Self:
        """Return that of lines of which nothing is known: all of each counts."""
        return cls(np.full(count, np.nan), np.ones(count))

    @classmethod
    def together(cls, parts: Sequence[Self]) -> Self:
        """Return that of the lines of several cells, one after the other."""
        return cls(
            np.concatenate([part.confidence for part in parts]),
            np.concatenate([part.sure for part in parts]),
        )

    @classmethod
    def of(
        cls, lines: Polylines, probability: NDArray[np.uint8], *, sure_threshold: float | None
    ) -> Self:
        """Look along lines in pixels of a probability picture (H, W), 255 = 1."""
        length = np.maximum(lines.lengths, 1e-9)
        return cls(
            _integrals(lines, probability) / 255.0 / length,
            sure_lengths(lines, probability, threshold=sure_threshold) / length,
        )


def sure_lengths(
    lines: Polylines, probability: NDArray[np.uint8], *, threshold: float | None
) -> NDArray[np.float64]:
    """Return (N,) the length of each line within pixels of at least a probability.

    lines: in pixels of the picture (H, W), 255 = 1. With no threshold all of a line is sure. A line cut
    along the sides of pixels has parts whose sure lengths sum to its own.
    """
    if threshold is None:
        return lines.lengths
    sure = (probability >= crack_level(threshold)).view(np.uint8)
    return _integrals(lines, sure)


def _integrals(lines: Polylines, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    if not len(lines):
        return np.zeros(0)
    return np.asarray(_along(lines.points, lines.offsets, picture), np.float64)


@kernel
def _along(
    points: NDArray[np.float64], offsets: NDArray[np.int64], picture: NDArray[np.uint8]
) -> NDArray[np.float64]:
    """Sum a picture's values along lines, pixel by pixel (Amanatides and Woo 1987)."""
    rows, cols = picture.shape
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
                seen = picture[min(max(row, 0), rows - 1), min(max(col, 0), cols - 1)]
                total[n] += (until - at) * length * seen
                at = until
                if to_x <= to_y:
                    to_x += 1.0 / abs(dx)
                    col += 1 if dx > 0.0 else -1
                else:
                    to_y += 1.0 / abs(dy)
                    row += 1 if dy > 0.0 else -1
    return total
