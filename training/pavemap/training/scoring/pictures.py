"""Pictures of true, false and missed pixels, to judge a detector by eye."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.training.data.datasets import LabelledImage
from pavemap.training.metrics import TOLERANCE_PX, within

RIGHT, WRONG, MISSED = (20, 160, 60), (220, 40, 40), (40, 90, 230)  # RGB: green, red, blue


def judged(
    image: LabelledImage, detected: NDArray[np.bool_], *, tolerance_px: int = TOLERANCE_PX
) -> NDArray[np.uint8]:
    """The image beside its judgement, RGB (H, 2 W + 4, 3): right green, wrong red, missed blue.

    A detected pixel is right within the metric's window of a true one, a true pixel is missed
    when no detected one lies in its window.
    """
    pixels = image.pixels if image.pixels.shape[2] == 3 else image.pixels.repeat(3, 2)
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    faint = (160 + grey.astype(np.float32) * (90 / 255)).astype(np.uint8)
    shown = np.repeat(faint[:, :, None], 3, axis=2)
    shown[image.crack & ~within(detected, tolerance_px) & ~image.ignore] = MISSED
    right = within(image.crack, tolerance_px)
    shown[detected & right] = RIGHT
    shown[detected & ~right & ~image.ignore] = WRONG
    gap = np.full((shown.shape[0], 4, 3), 255, np.uint8)
    return np.concatenate([pixels, gap, shown], axis=1)


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an RGB picture; the suffix says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), np.ascontiguousarray(pixels[:, :, ::-1])):
        raise OSError(f"{path} can't be written as a picture; name a .png or .jpg file")
