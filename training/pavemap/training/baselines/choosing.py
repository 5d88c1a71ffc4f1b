"""What the paper's other systems share: how their parameters are chosen, on training images alone.

A system is a costly response of an image (a smoothed image, path costs, votes) under a few settings,
and a cheap decision on it under others. Every combination of a small declared grid is tried on every
training image, and the one with the best mean F1 (the paper's metric) is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Generic, Literal, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.training.data.datasets import LabelledImage
from pavemap.training.errors import BadTrainingData
from pavemap.training.metrics import count

Pixels = NDArray[np.uint8]  # (H, W, C), C = 1 grey or 3 RGB
Mask = NDArray[np.bool_]  # (H, W)
Floats32 = NDArray[np.float32]

LIGHT_PX = 30.0  # over which the light on a road changes

First = TypeVar("First")
Second = TypeVar("Second")
Response = TypeVar("Response")


@dataclass(frozen=True)
class Fitted:
    """A system ready to detect, with the parameters that it was given."""

    detect: Callable[[Pixels], Mask]
    parameters: dict[str, Any]
    training_f1: float  # mean over the training images
    tried: int  # combinations of parameters


@dataclass(frozen=True)
class Method(Generic[First, Second, Response]):
    """A system with its grids: `respond` under each of `first`, `decide` under each of `second`.

    Members of the grids are dataclasses, so that a table can name their fields.
    """

    first: Sequence[First]
    second: Sequence[Second]
    respond: Callable[[Pixels, First], Response]
    decide: Callable[[Response, Second], Mask]
    most_images: int = 1000  # evenly spread over the training images, where all would take long
    _known: dict[str, NDArray[np.float64]] = field(default_factory=dict, init=False, repr=False)

    def fit(self, images: Sequence[LabelledImage]) -> Fitted:
        """Choose the parameters with the best mean F1 on `images`. Raises BadTrainingData."""
        if not images:
            raise BadTrainingData("no training image to choose parameters on; name a set")
        images = images[:: -(-len(images) // self.most_images)]
        f1 = np.mean([self._scores(image) for image in images], axis=0)
        row, column = divmod(int(f1.argmax()), len(self.second))
        first, second = self.first[row], self.second[column]
        return Fitted(
            detect=lambda pixels: self.decide(self.respond(pixels, first), second),
            parameters={**_fields(first), **_fields(second)},
            training_f1=float(f1[row, column]),
            tried=f1.size,
        )

    def _scores(self, image: LabelledImage) -> NDArray[np.float64]:
        """F1 of an image under all parameters (first, second); folds share images, so it is kept."""
        key = image.digest()
        if key not in self._known:
            self._known[key] = np.array(
                [
                    [f1_of(self.decide(response, second), image) for second in self.second]
                    for response in (self.respond(image.pixels, first) for first in self.first)
                ]
            )
        return self._known[key]


def f1_of(detected: Mask, image: LabelledImage) -> float:
    """The paper's F1 of one image."""
    return count(detected, image.crack, ignore=image.ignore).score.f1


def grey_of(pixels: Pixels) -> Floats32:
    """Luma (H, W), 0 to 255, of an image of one or three channels."""
    if pixels.shape[2] == 1:
        return pixels[:, :, 0].astype(np.float32)
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)


def flattened(grey: Floats32) -> Floats32:
    """A grey image (H, W) under even light: divided by its own broad blur, mean 128."""
    light = cv2.GaussianBlur(grey, (0, 0), LIGHT_PX, borderType=cv2.BORDER_REFLECT)
    return np.asarray(grey / np.maximum(light, 1.0) * 128.0, np.float32)


def without_specks(mask: Mask, *, least_px: int, connectivity: Literal[4, 8] = 8) -> Mask:
    """A mask (H, W) without its connected parts of fewer than `least_px` pixels."""
    count_, labels, stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=connectivity
    )
    kept = stats[:count_, cv2.CC_STAT_AREA] >= least_px
    kept[0] = False
    return np.asarray(kept[labels], dtype=bool)


def _fields(settings: Any) -> dict[str, Any]:
    return asdict(settings)
