"""Tells whether two pictures show the same ground, as those of one road in two lists of a set do.

Points that look alike in both (SIFT: Lowe 2004; compared by the roots of their descriptors: Arandjelovic
and Zisserman, CVPR 2012) must lie alike: one shift, turn and scale takes them onto each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

LARGEST_PX = 320
"""Pictures are compared at this size: for ground, not for grains."""

MOST_POINTS = 400
LEAST_CONTRAST = 0.02
DISTINCT = 0.7
"""How much nearer than the next best a point's partner must be (Lowe's ratio)."""

LEAST_ALIKE = 12
"""Points that lie alike; no pair of pictures of different places had as many (docs/results.md)."""

ASIDE_PX = 3.0
MOST_ZOOM = 2.5


@dataclass(frozen=True)
class Sight:
    """What is told of a picture: points (N, 2) in pixels of the compared size, descriptors (N, 128)."""

    points: NDArray[np.float32]
    descriptors: NDArray[np.float32]


def sight_of(pixels: NDArray[np.uint8]) -> Sight:
    """Find the distinct points of a picture (H, W, C), C = 1 grey or 3 RGB."""
    grey = pixels[..., 0] if pixels.shape[2] == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    scale = LARGEST_PX / max(grey.shape)
    if scale < 1.0:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    finder = cv2.SIFT.create(nfeatures=MOST_POINTS, contrastThreshold=LEAST_CONTRAST)
    keys, found = finder.detectAndCompute(np.ascontiguousarray(grey), None)
    if found is None:
        return Sight(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    roots = np.sqrt(found / np.maximum(found.sum(axis=1, keepdims=True), 1e-6))
    points = np.array([key.pt for key in keys], np.float32)
    return Sight(points, roots.astype(np.float32))


def same_ground(one: Sight, other: Sight) -> bool:
    """Whether two pictures show some of the same ground, at most MOST_ZOOM times nearer or farther."""
    if min(len(one.points), len(other.points)) < LEAST_ALIKE:
        return False
    here, there = _partners(one.descriptors, other.descriptors)
    if len(here) < LEAST_ALIKE:
        return False
    way, inside = cv2.estimateAffinePartial2D(
        one.points[here], other.points[there], ransacReprojThreshold=ASIDE_PX
    )
    if way is None or int(inside.sum()) < LEAST_ALIKE:
        return False
    zoom = float(np.hypot(way[0, 0], way[1, 0]))
    return 1.0 / MOST_ZOOM < zoom < MOST_ZOOM


def _partners(
    one: NDArray[np.float32], other: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which points are each other's best match, and distinctly so: indices into both."""
    alike = one @ other.T  # cosines: roots have length 1
    rows = np.arange(len(one))
    best = alike.argmax(axis=1)
    nearest = alike[rows, best]
    mutual = alike.argmax(axis=0)[best] == rows
    alike[rows, best] = -1.0
    next_best = alike.max(axis=1)
    distinct = 1.0 - nearest < DISTINCT**2 * (1.0 - next_best)
    here = np.flatnonzero(mutual & distinct)
    return here, best[here]
