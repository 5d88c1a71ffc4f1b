"""Crack widths below the pixel: inscribed radii of the mask, and profiles across a line.

A thresholded mask knows a width only to the pixel. Across a line, the coverage of a point is how much
of it is crack: 0.5 where the probability equals the threshold, 0 and 1 as far below and above it as
the scale from 0 to 1 allows (so at a threshold of 0.5 coverage is the probability itself). The
integral of coverage along the normal is the width, its centroid the true centre: for a mask without
grey levels their means along a line are exact at any angle, and blur, which spreads the border evenly
to both sides, doesn't change them.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.vectorizing.bitmap import WORD, Bitmap, is_set

Disc = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]

MAX_RADIUS_PX = 64
"""Discs are searched up to this radius: wider than any crack, and the halo of a cell."""

SKIRT_PX = 4.0
"""How far past the border a profile follows coverage that still falls."""

FAINT = 0.01
"""Coverage below this ends a profile. (At exactly 0, rounding would decide whether it goes on.)"""


@lru_cache(maxsize=16)
def coverage_table(threshold: float) -> NDArray[np.float64]:
    """Return (256,) the coverage of each 8-bit probability at a threshold within (0, 1)."""
    ramp = 2.0 * min(threshold, 1.0 - threshold)
    covered = 0.5 + (np.arange(256) / 255.0 - threshold) / ramp
    return np.asarray(np.clip(covered, 0.0, 1.0), np.float64)


def inscribed_radii(mask: Bitmap, pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each pixel (an index, see `bitmap`) the radius of the largest disc of mask around it.

    The distance from the pixel's centre to the nearest background pixel's centre, less the half
    pixel to the border between them; beyond the picture all is background.
    """
    return _inscribed_radii(mask.words, pixels, disc(mask.stride))


@lru_cache(maxsize=16)
def disc(stride: int) -> Disc:
    """Return what `inscribed` needs: steps to the pixels of a disc, nearest first; how far they are;
    and where each whole distance starts.
    """
    axis = np.arange(-MAX_RADIUS_PX, MAX_RADIUS_PX + 1)
    rows, cols = (grid.ravel() for grid in np.meshgrid(axis, axis, indexing="ij"))
    squared = rows**2 + cols**2
    order = np.argsort(squared, kind="stable")
    order = order[squared[order] <= MAX_RADIUS_PX**2][1:]
    starts = np.searchsorted(squared[order], np.arange(MAX_RADIUS_PX + 1) ** 2)
    return (rows * stride + cols)[order], np.sqrt(squared[order]), starts


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
    steps, distances, starts = around
    size = WORD * len(words)
    for j in range(starts[min(max(int(least + 0.5), 0), MAX_RADIUS_PX)], len(steps)):
        other = pixel + steps[j]
        if other < 0 or other >= size or not is_set(words, other):
            return float(distances[j] - 0.5)
    return float(MAX_RADIUS_PX)


@kernel
def coverage_at(
    pixels: NDArray[np.uint8],
    shape: tuple[int, int],
    coverage: NDArray[np.float64],
    x: float,
    y: float,
) -> float:
    """Interpolate coverage at a point (pixel coordinates, centres at .5); the border is held.

    pixels: the probabilities, flat; shape: their (rows, columns); coverage: their `coverage_table`.
    """
    rows, cols = shape
    u, v = min(max(x - 0.5, 0.0), cols - 1.0), min(max(y - 0.5, 0.0), rows - 1.0)
    col, row = int(u), int(v)
    u -= col
    v -= row
    right, lower = min(col + 1, cols - 1), min(row + 1, rows - 1) * cols
    upper = row * cols
    top = _between(coverage[pixels[upper + col]], coverage[pixels[upper + right]], u)
    bottom = _between(coverage[pixels[lower + col]], coverage[pixels[lower + right]], u)
    return _between(top, bottom, v)


@kernel
def _between(start: float, stop: float, part: float) -> float:
    return start + (stop - start) * part


@kernel
def _coverage_within(
    pixels: NDArray[np.uint8], cols: int, coverage: NDArray[np.float64], u: float, v: float
) -> float:
    """Do as `coverage_at` for u = x - 0.5, v = y - 0.5 and a point that is surely inside.

    Most of all time goes here; unsigned indices into a flat array save the tests for negative ones.
    """
    col, row = int(u), int(v)
    upper, lower = np.uint64(row * cols + col), np.uint64((row + 1) * cols + col)
    one = np.uint64(1)
    u -= col
    top = _between(coverage[pixels[upper]], coverage[pixels[upper + one]], u)
    bottom = _between(coverage[pixels[lower]], coverage[pixels[lower + one]], u)
    return _between(top, bottom, v - row)


@kernel
def _half_profile(
    pixels: NDArray[np.uint8],
    shape: tuple[int, int],
    coverage: NDArray[np.float64],
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
        if inside:
            here = _coverage_within(pixels, shape[1], coverage, x - 0.5, y - 0.5)
        else:
            here = coverage_at(pixels, shape, coverage, x, y)
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
    pixels: NDArray[np.uint8],
    shape: tuple[int, int],
    coverage: NDArray[np.float64],
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
    rows, cols = shape
    margin = reach + SKIRT_PX + 1.0
    inside = margin <= x < cols - margin and margin <= y < rows - margin
    area, moment, met = _half_profile(pixels, shape, coverage, x, y, -dy, dx, phase, reach, inside)
    area_2, moment_2, met_2 = _half_profile(
        pixels, shape, coverage, x, y, dy, -dx, 1.0 - phase, reach, inside
    )
    width = area + area_2
    if not (met and met_2) or width <= 0.0:
        return 0.0, 2.0 * radius
    shift = (moment - moment_2) / width
    if abs(shift) > 0.5 * radius + 1.0:
        return 0.0, width
    return shift, width
