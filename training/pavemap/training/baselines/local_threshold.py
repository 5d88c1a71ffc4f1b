"""Local thresholding: a pixel is crack when it is much darker than its neighbourhood (Niblack 1986).

The paper names no formula for its row. This is the standard one: darker than the window's mean by more
than k of the window's standard deviations, on a slightly smoothed image, small specks then left out.
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
    grey_of,
    without_specks,
)


@dataclass(frozen=True)
class Window:
    """How wide a pixel's neighbourhood is, and how much noise is smoothed first."""

    window_px: int
    sigma_px: float


@dataclass(frozen=True)
class Darkness:
    """How many deviations darker a crack is, and how small a part of it may be."""

    deviations: float
    least_px: int


def darkness(pixels: Pixels, window: Window) -> Floats32:
    """By how many of its window's deviations each pixel (H, W) is darker than the window's mean."""
    grey = cv2.GaussianBlur(grey_of(pixels), (0, 0), window.sigma_px)
    side = (window.window_px, window.window_px)
    mean = cv2.boxFilter(grey, cv2.CV_32F, side, borderType=cv2.BORDER_REFLECT)
    square = cv2.boxFilter(grey * grey, cv2.CV_32F, side, borderType=cv2.BORDER_REFLECT)
    deviation = np.sqrt(np.maximum(square - mean * mean, 1.0))
    return np.asarray((mean - grey) / deviation, np.float32)


def dark(darkness_: Floats32, limits: Darkness) -> Mask:
    """The pixels dark enough, without specks."""
    return without_specks(darkness_ > limits.deviations, least_px=limits.least_px)


METHOD = Method(
    first=[
        Window(window, sigma)
        for window, sigma in product((21, 31, 61, 101), (0.5, 1.0, 1.5, 2.0, 3.0))
    ],
    second=[
        Darkness(deviations, least)
        for deviations, least in product(
            (0.4, 0.55, 0.7, 0.85, 1.0, 1.25, 1.5, 2.0), (50, 100, 200, 400, 800)
        )
    ],
    respond=darkness,
    decide=dark,
)
