"""What samplers share: a batch is a pure function of the seed, the iteration and its slots."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pavemap.training.errors import BadTrainingData


@dataclass(frozen=True)
class Batch:
    """Training samples, still as bytes; the network's device scales them."""

    pixels: NDArray[np.uint8]  # (N, P, P, C)
    labels: NDArray[np.float32]  # (N, s, s), 1 = crack
    weights: NDArray[np.float32] | None = None  # (N, s, s), 0 = teach nothing; None = 1 everywhere


class Sampler(Protocol):
    """A source of batches. Slots `first` to `last` of a global batch are one worker's share.

    Because nothing but the arguments decides what is drawn, a resumed run draws what the
    undisturbed one would have, and two workers together draw what one would.
    """

    def batch(self, iteration: int, *, size: int, first: int, last: int) -> Batch: ...


def refuse_without_cracks(cracks: Iterable[NDArray[np.bool_]]) -> None:
    """Raise BadTrainingData where no image's crack mask (H, W) has a pixel to draw."""
    if not any(mask.any() for mask in cracks):
        raise BadTrainingData("no training image has a crack pixel; are the masks coded otherwise?")
