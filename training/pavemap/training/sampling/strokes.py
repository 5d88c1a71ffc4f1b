"""Lines and bands for drawing on pavement: straight, or bending at all sizes as cracks do.

A line is given by two arrays (H, W): the signed distance `across` it of each pixel, and its place
`along` it.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import make_interp_spline

Field = NDArray[np.float32]  # (H, W)

CRACK_ROUGHNESS = 0.8
"""Of fracture surfaces of most materials: Bouchaud 1997, J. Phys.: Condens. Matter 9, 4319."""


def axes(rng: np.random.Generator, side_px: int, angle: float) -> tuple[Field, Field]:
    """Signed distances of each pixel from a line through the crop, and along it, in pixels."""
    steps = np.arange(side_px, dtype=np.float32)
    point = rng.uniform(0.05, 0.95, 2) * side_px
    rows, columns = steps[:, None] - np.float32(point[0]), steps[None, :] - np.float32(point[1])
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return columns * cosine + rows * sine, rows * cosine - columns * sine


def band(across: Field, width_px: float | Field, soft_px: float) -> Field:
    """1 within half of the width of a line, 0 beyond, with a soft edge."""
    return step(width_px / 2 - np.abs(across), soft_px)


def step(inside_px: NDArray[np.floating[Any]], soft_px: float) -> Field:
    """1 where `inside_px` is positive, 0 where it is negative, half at 0."""
    return np.asarray(1 / (1 + np.exp(-np.clip(inside_px / soft_px, -30, 30))), np.float32)


def extent(rng: np.random.Generator, along: Field, *, whole: float) -> Field:
    """All of a line with the probability `whole`, else what lies on one side of a place on it."""
    if rng.random() < whole:
        return np.ones_like(along)
    return step(along, rng.uniform(0.4, 2))


def course(
    rng: np.random.Generator,
    along: Field,
    *,
    finest_px: float,
    coarsest_px: float,
    roughness: float = CRACK_ROUGHNESS,
) -> Field:
    """How far a line strays from straight, of each pixel by its place along it, some 1 px.

    Smooth noises are summed, each of half the period of the one before, from `coarsest_px` down to
    `finest_px`, and as high as their period to the power of `roughness`: a line that bends at all sizes.
    """
    places = np.arange(0, np.ptp(along) + 1, 0.5)
    line, square, period_px = np.zeros_like(places), 0.0, coarsest_px
    while period_px >= finest_px:
        height = (period_px / coarsest_px) ** roughness
        knots = rng.normal(0, 1, 6 + int(places[-1] / period_px))
        line += height * make_interp_spline(np.arange(len(knots)), knots)(
            rng.uniform(1, 2) + places / period_px
        )
        square, period_px = square + height**2, period_px / 2
    return np.asarray(np.interp(along - along.min(), places, line / np.sqrt(square)), np.float32)


def smooth(rng: np.random.Generator, side_px: int, period_px: float) -> Field:
    """Noise with bumps of some `period_px`, of about -1 to 1."""
    few = max(2, round(side_px / period_px))
    noise = rng.normal(0, 0.6, (few, few)).astype(np.float32)
    return np.asarray(
        cv2.resize(noise, (side_px, side_px), interpolation=cv2.INTER_CUBIC), np.float32
    )


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number that is as likely in each octave between the two."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
