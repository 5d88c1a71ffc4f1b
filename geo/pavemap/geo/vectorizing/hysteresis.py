"""Which pixels are crack: those above the threshold, and weaker ones that hang on them.

Where a crack fades, its probability falls below a threshold that elsewhere keeps noise out. A weaker
pixel counts where a way over weaker pixels leads to one above the threshold within REACH_PX steps. The
classical rule (Canny 1986) sets no bound, but then a cell could not know what hangs on the far end of a
crack; bounded, the mask is the same in every window.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

REACH_PX = 8
"""Steps to a side or corner neighbour. Both sides of a gap bridge it: up to 16 pixels, within the halo."""


def crack_level(threshold: float) -> int:
    """Return the least 8-bit probability that reaches a threshold within (0, 1)."""
    return max(int(np.ceil(threshold * 255.0)), 1)


def crack_mask(
    probability: NDArray[np.uint8], *, threshold: float, low_threshold: float | None
) -> NDArray[np.bool_]:
    """Return which pixels of a probability picture (H, W), 255 = 1, are crack.

    A low threshold that isn't lower, or None, is none.
    """
    strong = probability >= crack_level(threshold)
    if low_threshold is None or low_threshold >= threshold or not strong.any():
        return strong
    weak = (probability >= crack_level(low_threshold)).view(np.uint8)
    grown: NDArray[np.uint8] = strong.view(np.uint8)
    square = np.ones((3, 3), np.uint8)
    for _ in range(REACH_PX):
        grown = np.asarray(cv2.bitwise_and(cv2.dilate(grown, square), weak), np.uint8)
    return grown.astype(np.bool_)
