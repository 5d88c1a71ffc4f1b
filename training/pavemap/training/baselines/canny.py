"""Canny's edge detector (1986), as the paper's comparison uses it: an edge is called a crack.

Nothing is simplified; OpenCV has the detector. The high threshold, its ratio to the low one (Canny
advises 2 to 3) and the width of the smoothing are chosen on training images.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from pavemap.training.baselines.choosing import Mask, Method, Pixels, grey_of


@dataclass(frozen=True)
class Smoothing:
    """The Gaussian before the gradient."""

    sigma_px: float


@dataclass(frozen=True)
class Hysteresis:
    """Gradient from which an edge starts, and the part of it down to which one goes on."""

    high: float
    low_per_high: float


def smoothed(pixels: Pixels, smoothing: Smoothing) -> Pixels:
    """The grey image (H, W), smoothed."""
    grey = cv2.GaussianBlur(grey_of(pixels), (0, 0), smoothing.sigma_px)
    return np.asarray(np.clip(np.rint(grey), 0, 255), np.uint8)


def edges(grey: Pixels, hysteresis: Hysteresis) -> Mask:
    """Canny's edges of a smoothed grey image."""
    low = hysteresis.high * hysteresis.low_per_high
    return np.asarray(cv2.Canny(grey, low, hysteresis.high, L2gradient=True) > 0)


METHOD = Method(
    first=[Smoothing(sigma) for sigma in (1.0, 1.5, 2.0, 3.0, 4.0, 5.0)],
    second=[
        Hysteresis(high, ratio)
        for high, ratio in product((20, 30, 40, 60, 80, 100, 130, 160, 200), (0.33, 0.5))
    ],
    respond=smoothed,
    decide=edges,
)
