"""How much of a point is crack, between the pixels of a probability picture.

Coverage is 0.5 where the probability equals the threshold, 0 and 1 as far below and above it as the scale
from 0 to 1 allows; so at a threshold of 0.5 it is the probability itself.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel


class Coverage(NamedTuple):
    """A probability picture, read as coverage.

    pixels: (H * W,) uint8 probabilities, row by row, 255 = 1. shape: (H, W).
    table: (256,) the coverage of each 8-bit probability.
    """

    pixels: NDArray[np.uint8]
    shape: tuple[int, int]
    table: NDArray[np.float64]


def coverage_of(probability: NDArray[np.uint8], *, threshold: float) -> Coverage:
    """Read a probability picture (H, W) as coverage at a threshold within (0, 1)."""
    rows, cols = probability.shape
    return Coverage(probability.reshape(-1), (rows, cols), coverage_table(threshold))


@lru_cache(maxsize=16)
def coverage_table(threshold: float) -> NDArray[np.float64]:
    """Return (256,) the coverage of each 8-bit probability at a threshold within (0, 1)."""
    ramp = 2.0 * min(threshold, 1.0 - threshold)
    covered = 0.5 + (np.arange(256) / 255.0 - threshold) / ramp
    return np.asarray(np.clip(covered, 0.0, 1.0), np.float64)


@kernel
def coverage_at(coverage: Coverage, x: float, y: float) -> float:
    """Interpolate at a point (pixel coordinates, centres at .5); beyond the border it is held."""
    pixels, table = coverage.pixels, coverage.table
    rows, cols = coverage.shape
    u, v = min(max(x - 0.5, 0.0), cols - 1.0), min(max(y - 0.5, 0.0), rows - 1.0)
    col, row = int(u), int(v)
    u -= col
    v -= row
    right, lower = min(col + 1, cols - 1), min(row + 1, rows - 1) * cols
    upper = row * cols
    top = _between(table[pixels[upper + col]], table[pixels[upper + right]], u)
    bottom = _between(table[pixels[lower + col]], table[pixels[lower + right]], u)
    return _between(top, bottom, v)


@kernel
def coverage_within(coverage: Coverage, x: float, y: float) -> float:
    """Do as `coverage_at` for a point that is surely inside.

    Most of all time goes here; unsigned indices into a flat array save the tests for negative ones.
    """
    pixels, table, cols = coverage.pixels, coverage.table, coverage.shape[1]
    u, v = x - 0.5, y - 0.5
    col, row = int(u), int(v)
    upper, lower = np.uint64(row * cols + col), np.uint64((row + 1) * cols + col)
    one = np.uint64(1)
    u -= col
    top = _between(table[pixels[upper]], table[pixels[upper + one]], u)
    bottom = _between(table[pixels[lower]], table[pixels[lower + one]], u)
    return _between(top, bottom, v - row)


@kernel
def _between(start: float, stop: float, part: float) -> float:
    return start + (stop - start) * part
