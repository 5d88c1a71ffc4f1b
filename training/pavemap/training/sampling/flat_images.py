"""Images of any size laid end to end, so that the windows around any pixels are one gather."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pavemap.training.data.datasets import LabelledImage

Array = TypeVar("Array", NDArray[Any], Tensor)


@dataclass(frozen=True)
class FlatImages(Generic[Array]):
    """Images mirrored beyond their borders, in numpy or on a device; windows have S pixels a side."""

    values: Array  # (P,) or (P, C): the rows of each image, one image after the other
    starts: Array  # (N,): where each image begins
    strides: Array  # (N,): from one of its rows to the next
    steps: Array  # (S,): 0 to S - 1

    @classmethod
    def of(
        cls, images: Sequence[NDArray[Any]], *, before_px: int, after_px: int
    ) -> FlatImages[NDArray[Any]]:
        """Lay out arrays (H, W) or (H, W, C) for windows that reach so far before and after a pixel."""
        pad = [(before_px, after_px)] * 2 + [(0, 0)] * (images[0].ndim - 2)
        padded = [np.pad(image, pad, mode="symmetric") for image in images]
        sizes: list[int] = [image.shape[0] * image.shape[1] for image in padded]
        return FlatImages(
            values=np.concatenate([image.reshape(-1, *image.shape[2:]) for image in padded]),
            starts=np.cumsum([0, *sizes[:-1]], dtype=np.int64),
            strides=np.array([image.shape[1] for image in padded], np.int64),
            steps=np.arange(before_px + 1 + after_px),
        )

    def windows(self, image: Array, row: Array, column: Array) -> Array:
        """The windows (K, S, S) or (K, S, S, C) of K pixels, given by their image, row and column (K,)."""
        stride = self.strides[image]
        corner = self.starts[image] + row * stride + column
        offsets = self.steps[None, :, None] * stride[:, None, None] + self.steps[None, None, :]
        found: Array = self.values[corner[:, None, None] + offsets]
        return found

    def on(self: FlatImages[NDArray[Any]], device: torch.device) -> FlatImages[Tensor]:
        """The same on a device."""
        each = (self.values, self.starts, self.strides, self.steps)
        return FlatImages(*(torch.from_numpy(array).to(device) for array in each))


@dataclass(frozen=True)
class FlatSet(Generic[Array]):
    """Labelled images laid end to end: patches are cut of their pixels, small windows of their labels."""

    pixels: FlatImages[Array]
    truth: FlatImages[Array]
    known: FlatImages[Array] | None  # False where a label is ignored; None where none is

    @classmethod
    def of(
        cls,
        images: Sequence[LabelledImage],
        *,
        before_px: int,
        after_px: int,
        size: int,
        turned: bool,
    ) -> FlatSet[NDArray[Any]]:
        """Lay out images for patches that reach so far, with windows of an odd `size` around their centre.

        A patch that is `turned` must keep its pixel in the centre: the larger square is cut.
        """
        if turned:
            before_px = after_px = max(before_px, after_px)
        half = size // 2

        def windowed(masks: Sequence[NDArray[np.bool_]]) -> FlatImages[NDArray[Any]]:
            return FlatImages.of(masks, before_px=half, after_px=half)

        ignored = any(image.ignore.any() for image in images)
        return FlatSet(
            FlatImages.of([i.pixels for i in images], before_px=before_px, after_px=after_px),
            windowed([image.crack for image in images]),
            windowed([~image.ignore for image in images]) if ignored else None,
        )

    def on(self: FlatSet[NDArray[Any]], device: torch.device) -> FlatSet[Tensor]:
        """The same on a device."""
        known = None if self.known is None else self.known.on(device)
        return FlatSet(self.pixels.on(device), self.truth.on(device), known)
