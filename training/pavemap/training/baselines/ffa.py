"""Free-form anisotropy: cracks as dark paths of any form (Nguyen, Begot, Duculty and Avila, ICIP 2011).

Through every pixel the darkest path of a fixed length is sought in each of four orientations
(horizontal, vertical, both diagonals), where a path may bend by one pixel a step. On a crack the
cheapest orientation is much darker than the dearest; in sound texture all cost the same. So
(dearest - cheapest) / dearest measures a crack's brightness and its form at once. Before it, light is
evened and pixels brighter than the mean are set to the mean, since only dark ones can be cracks.

Simplified: the light is evened by a broad Gaussian, and after the threshold small parts are left
out by their area; pixels brighter than the mean, which a path beside them made high, are left out too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from pavemap.training.baselines.choosing import (
    Floats32,
    Mask,
    Method,
    Pixels,
    flattened,
    grey_of,
    without_specks,
)

# The steps (rows, columns) that one half of a path may take; the other half takes their opposites.
ORIENTATIONS = (
    ((0, 1), (-1, 1), (1, 1)),
    ((1, 0), (1, -1), (1, 1)),
    ((1, 1), (0, 1), (1, 0)),
    ((-1, 1), (0, 1), (-1, 0)),
)


@dataclass(frozen=True)
class Paths:
    """How far a path reaches to each side of its pixel, and the smoothing before."""

    reach_px: int
    sigma_px: float


@dataclass(frozen=True)
class Limits:
    """From which anisotropy a pixel is crack, how dark it is itself, how small a part may be."""

    anisotropy: float
    darkness: float  # share by which the pixel is darker than the mean
    least_px: int


@dataclass(frozen=True)
class Features:
    """What is known of every pixel, both (H, W)."""

    anisotropy: Floats32  # 0 to 1
    darkness: Floats32  # share by which it is darker than the mean, 0 to 1


def features(pixels: Pixels, paths: Paths) -> Features:
    """The free-form anisotropy of every pixel, and its darkness."""
    grey = cv2.GaussianBlur(flattened(grey_of(pixels)), (0, 0), paths.sigma_px)
    mean = float(grey.mean())
    dark = np.minimum(grey, mean)
    reach = paths.reach_px
    around = np.pad(dark, reach, mode="symmetric")
    costs = np.stack([_path_cost(around, steps, reach) for steps in ORIENTATIONS])
    costs = costs[:, reach:-reach, reach:-reach]
    dearest, cheapest = costs.max(0), costs.min(0)
    return Features(
        anisotropy=np.asarray((dearest - cheapest) / np.maximum(dearest, 1e-6), np.float32),
        darkness=np.asarray(1 - dark / mean, np.float32),
    )


def cracks(found: Features, limits: Limits) -> Mask:
    """Pixels that are anisotropic and dark enough, in parts that are large enough."""
    mask = (found.anisotropy > limits.anisotropy) & (found.darkness > limits.darkness)
    return without_specks(mask, least_px=limits.least_px)


def _path_cost(grey: Floats32, steps: tuple[tuple[int, int], ...], reach_px: int) -> Floats32:
    """The mean grey of the darkest path through each pixel, `reach_px` steps to either side."""
    total = grey.copy()
    for sign in (1, -1):
        kernel = np.zeros((3, 3), np.uint8)
        for row, column in steps:
            kernel[1 + sign * row, 1 + sign * column] = 1
        cost = np.zeros_like(grey)
        for _ in range(reach_px):  # the least over the steps is an erosion by their offsets
            cost = np.asarray(cv2.erode(grey + cost, kernel), np.float32)
        total += cost
    return np.asarray(total / (2 * reach_px + 1), np.float32)


METHOD = Method(
    first=[
        Paths(reach, sigma)
        for reach, sigma in product((3, 5, 10, 20, 30, 45), (0.3, 0.5, 0.7, 1.0))
    ],
    second=[
        Limits(anisotropy, darkness, least)
        for anisotropy, darkness, least in product(
            (0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.11, 0.15), (0.0, 0.1), (50, 100, 200)
        )
    ],
    respond=features,
    decide=cracks,
)
