"""Crack widths below the pixel: inscribed radii of the mask, and profiles across a line.

A thresholded mask knows a width only to the pixel. The integral of `coverage` along a line's normal is
the width, its centroid the true centre: for a mask without grey levels their means along a line are exact
at any angle, and blur, which spreads the border evenly to both sides, doesn't change them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.vectorizing.bitmap import WORD, Bitmap, is_set
from pavemap.geo.vectorizing.coverage import Coverage, coverage_at, coverage_within

MAX_RADIUS_PX = 64
"""Discs are searched up to this radius: wider than any crack, and the halo of a cell."""

SKIRT_PX = 4.0
"""How far past the border a profile follows coverage that still falls."""

FAINT = 0.01
"""Coverage below this ends a profile. (At exactly 0, rounding would decide whether it goes on.)"""


class Disc(NamedTuple):
    """The pixels of a disc, nearest first: where `inscribed` looks for the background.

    steps: from the middle pixel's index to each one's; distances: how far they are, in pixels; starts:
    the number of the first that is as far as each whole distance.
    """

    steps: NDArray[np.int64]
    distances: NDArray[np.float64]
    starts: NDArray[np.int64]


def inscribed_radii(mask: Bitmap, pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each pixel (an index, see `bitmap`) the radius of the largest disc of mask around it.

    The distance from the pixel's centre to the nearest background pixel's centre, less the half
    pixel to the border between them; beyond the picture all is background.
    """
    return _inscribed_radii(mask.words, pixels, disc(mask.stride))


@lru_cache(maxsize=16)
def disc(stride: int) -> Disc:
    """Return the disc of all radii that are looked for, in pictures of a stride."""
    axis = np.arange(-MAX_RADIUS_PX, MAX_RADIUS_PX + 1)
    rows, cols = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    squared = rows**2 + cols**2
    order = np.argsort(squared, kind="stable")
    order = order[squared[order] <= MAX_RADIUS_PX**2][1:]
    starts = np.searchsorted(squared[order], np.arange(MAX_RADIUS_PX + 1) ** 2)
    return Disc((rows * stride + cols)[order], np.sqrt(squared[order]), starts)


@kernel
def _inscribed_radii(
    words: NDArray[np.uint64],
    pixels: NDArray[np.int64],
    around: Disc,
) -> NDArray[np.float64]:
    radii = np.empty(len(pixels))
    for k in range(len(pixels)):
        radii[k] = inscribed(words, pixels[k], around, 0.0)
    return radii


@kernel
def inscribed(
    words: NDArray[np.uint64],
    pixel: int,
    around: Disc,
    least: float,
) -> float:
    """Return the radius of the largest disc in the mask around a pixel, known to be `least` at least.

    (From one pixel to another a radius changes by no more than the distance between them.)
    """
    steps = around.steps
    size = WORD * len(words)
    for j in range(around.starts[min(max(int(least + 0.5), 0), MAX_RADIUS_PX)], len(steps)):
        other = pixel + steps[j]
        if other < 0 or other >= size or not is_set(words, other):
            return float(around.distances[j] - 0.5)
    return float(MAX_RADIUS_PX)


@kernel
def _half_profile(
    coverage: Coverage,
    x: float,
    y: float,
    dx: float,
    dy: float,
    first: float,
    reach: float,
    inside: bool,
) -> tuple[float, float, bool]:
    """Add up coverage at whole pixels along a unit vector until it has fallen to nothing.

    first: distance of the first sample; inside: whether the ray is sure to stay within the picture.
    Returns the sum, the sum of coverage x distance, and whether a border was met within `reach` pixels
    (if not, the ray runs along another crack and says nothing about this one).
    """
    area = moment = 0.0
    crossed = False
    before, limit, s = 1.0, reach, first
    x += first * dx
    y += first * dy
    while s < limit:
        here = coverage_within(coverage, x, y) if inside else coverage_at(coverage, x, y)
        if crossed and here > before + 0.1:  # it rises again: the next crack begins
            break
        area += here
        moment += here * s
        if not crossed and here < 0.5:
            crossed = True
            limit = s + SKIRT_PX
        if crossed and here < FAINT:
            break
        before = here
        x += dx
        y += dy
        s += 1.0
    return area, moment, crossed


@kernel
def across(
    coverage: Coverage,
    x: float,
    y: float,
    dx: float,
    dy: float,
    radius: float,
    phase: float,
) -> tuple[float, float]:
    """Measure a crack across the direction (dx, dy) at a point near its middle.

    radius: about half its width; phase: where between two samples the point lies, 0 to 1. Samples a
    pixel apart are exact along rows and columns; at 45 degrees they are if phases alternate.
    Returns how far the centre lies from the point, toward (-dy, dx), and the width; 0 and twice the
    radius where the crack opens into another and has no border.
    """
    reach = 1.5 * radius + 2.5
    rows, cols = coverage.shape
    margin = reach + SKIRT_PX + 1.0
    inside = margin <= x < cols - margin and margin <= y < rows - margin
    area, moment, met = _half_profile(coverage, x, y, -dy, dx, phase, reach, inside)
    area_2, moment_2, met_2 = _half_profile(coverage, x, y, dy, -dx, 1.0 - phase, reach, inside)
    width = area + area_2
    if not (met and met_2) or width <= 0.0:
        return 0.0, 2.0 * radius
    shift = (moment - moment_2) / width
    if abs(shift) > 0.5 * radius + 1.0:
        return 0.0, width
    return shift, width
