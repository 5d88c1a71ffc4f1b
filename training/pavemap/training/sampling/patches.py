"""Training patches cut from the images on the fly (Fan et al. 2018, sections II.A and V)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pavemap.training.data.datasets import LabelledImage
from pavemap.training.errors import BadTrainingData
from pavemap.training.sampling.samples import Batch

Scalar = TypeVar("Scalar", bound=np.generic)


class PatchSampler:
    """Draws patches around crack and sound pixels in a fixed ratio, positives to negatives 1:n.

    They come from several sets, from each as often as its weight says.

    Every image is padded symmetrically once and laid end to end in one flat array; a patch is a
    gather of byte offsets, so 742,000 patches cost the memory of 72 images.
    """

    def __init__(
        self,
        sets: Sequence[Sequence[LabelledImage]],
        *,
        weights: Sequence[float],
        before_px: int,
        after_px: int,
        size: int,
        negatives_per_positive: float = 3.0,
        flips: bool = False,
        seed: int = 0,
    ) -> None:
        images = [image for one in sets for image in one]
        self._seed, self._flips = seed, flips
        self._ratio = negatives_per_positive
        self._patch_px = before_px + after_px + 1
        self._size = size
        half = size // 2
        if flips:  # a flipped patch must keep its pixel in the centre: cut the larger square
            before_px = after_px = max(before_px, after_px)
        self._cut_px = before_px + after_px + 1
        pad = ((before_px, after_px), (before_px, after_px))
        padded = [np.pad(image.pixels, (*pad, (0, 0)), mode="symmetric") for image in images]
        truth = [np.pad(image.crack, half, mode="symmetric") for image in images]
        self._channels = padded[0].shape[2]
        self._pixels = np.concatenate([array.reshape(-1, self._channels) for array in padded])
        self._truth = np.concatenate([array.reshape(-1) for array in truth])
        self._pixel_start, self._pixel_stride = _layout(padded)
        self._truth_start, self._truth_stride = _layout(truth)
        self._heights = np.array([image.crack.shape[0] for image in images])
        self._widths = np.array([image.crack.shape[1] for image in images])
        self._areas = np.cumsum(self._heights * self._widths)
        self._crack = np.concatenate([image.crack.reshape(-1) for image in images])
        self._usable = np.concatenate([~image.ignore.reshape(-1) for image in images])
        self._positives = np.flatnonzero(self._crack & self._usable)
        if not len(self._positives):
            raise BadTrainingData(
                "no training image has a crack pixel; are the masks coded otherwise?"
            )
        sound = ~self._crack & self._usable
        if negatives_per_positive and not sound.any():
            raise BadTrainingData(
                "no training image has a sound pixel; are the masks coded otherwise?"
            )
        ends = np.cumsum([sum(image.crack.size for image in one) for one in sets])
        self._of_positives = _Shares.of(np.searchsorted(self._positives, ends), weights)
        self._known: NDArray[np.bool_] | None = None
        tried = weights
        if not self._usable.all():
            tried = _tried(sound, ends, weights)
            known = [np.pad(~image.ignore, half, mode="symmetric") for image in images]
            self._known = np.concatenate([array.reshape(-1) for array in known])
        self._of_pixels = _Shares.of(ends, tried)

    @property
    def positives(self) -> int:
        """The number of crack pixels to draw from."""
        return len(self._positives)

    def batch(self, iteration: int, *, size: int, first: int, last: int) -> Batch:
        """Slots `first` to `last` of the global batch of `size` patches of this iteration."""
        rng = np.random.default_rng((self._seed, iteration))
        crack_count = max(1, round(size / (1 + self._ratio)))
        chosen = np.concatenate(
            [
                self._positives[self._of_positives.draw(rng, crack_count)],
                self._draw_negatives(rng, size - crack_count),
            ]
        )
        chosen = rng.permutation(chosen)
        turns = rng.integers(0, 8, size) if self._flips else np.zeros(size, dtype=np.int64)
        return self._cut(chosen[first:last], turns[first:last])

    def _draw_negatives(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        drawn: list[NDArray[np.int64]] = []
        left = count
        while left:
            tries = self._of_pixels.draw(rng, 2 * left + 16)
            good = tries[~self._crack[tries] & self._usable[tries]][:left]
            drawn.append(good)
            left -= len(good)
        return np.concatenate(drawn) if drawn else np.zeros(0, dtype=np.int64)

    def _cut(self, chosen: NDArray[np.int64], turns: NDArray[np.int64]) -> Batch:
        image = np.searchsorted(self._areas, chosen, side="right")
        within = chosen - np.where(image > 0, self._areas[image - 1], 0)
        row, column = np.divmod(within, self._widths[image])
        pixels = self._pixels[
            _window(self._pixel_start, self._pixel_stride, image, row, column, self._cut_px)
        ]
        around = _window(self._truth_start, self._truth_stride, image, row, column, self._size)
        labels = self._truth[around].astype(np.float32)
        known = None if self._known is None else self._known[around].astype(np.float32)
        for turn in np.unique(turns[turns > 0]):
            which = turns == turn
            for stack in (pixels, labels, known):
                if stack is not None:
                    stack[which] = _turned(stack[which], int(turn))
        return Batch(pixels[:, : self._patch_px, : self._patch_px], labels, known)


@dataclass(frozen=True)
class _Shares:
    """Places of several sets laid end to end, each set drawn from by its weight."""

    starts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    chances: NDArray[np.float64]  # running sums, 1 at the last set that has a place

    @classmethod
    def of(cls, ends: NDArray[np.int64], weights: Sequence[float]) -> _Shares:
        """By where each set ends; one without a place is never drawn from."""
        starts = np.concatenate([[0], ends[:-1]])
        there = ends > starts
        shares = np.where(there, np.asarray(weights, float), 0.0)[there]
        return cls(starts[there], (ends - starts)[there], np.cumsum(shares / shares.sum()))

    def draw(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """So many places."""
        if len(self.sizes) == 1:
            return np.asarray(self.starts[0] + rng.integers(0, self.sizes[0], count))
        which = np.searchsorted(self.chances[:-1], rng.random(count), side="right")
        return np.asarray(self.starts[which] + rng.integers(0, self.sizes[which]))


def _layout(arrays: Sequence[NDArray[np.generic]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sizes = [array.shape[0] * array.shape[1] for array in arrays]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    return starts, np.array([array.shape[1] for array in arrays], dtype=np.int64)


def _window(
    starts: NDArray[np.int64],
    strides: NDArray[np.int64],
    image: NDArray[np.int64],
    row: NDArray[np.int64],
    column: NDArray[np.int64],
    size_px: int,
) -> NDArray[np.int64]:
    stride = strides[image]
    corner = starts[image] + row * stride + column
    steps = np.arange(size_px)
    offsets = steps[None, :, None] * stride[:, None, None] + steps[None, None, :]
    return corner[:, None, None] + offsets


def _turned(stack: NDArray[Scalar], turn: int) -> NDArray[Scalar]:
    """One of the eight symmetries of the square, applied to axes 1 and 2 of a stack."""
    turned = np.rot90(stack, turn % 4, axes=(1, 2))
    return turned[:, :, ::-1] if turn >= 4 else turned


def _tried(
    sound: NDArray[np.bool_], ends: NDArray[np.int64], weights: Sequence[float]
) -> Sequence[float]:
    """How often a pixel of each set is tried, so that sound ones are drawn by the weights.

    A pixel that is ignored, or crack, is drawn anew, from any set; where none is ignored that changes
    next to nothing.
    """
    tried = []
    for weight, start, end in zip(weights, [0, *ends[:-1]], ends, strict=True):
        count = np.count_nonzero(sound[start:end])
        tried.append(weight * (end - start) / count if count else 0.0)
    return tried if any(tried) else weights
