"""Training patches cut from the images on the fly (Fan et al. 2018, sections II.A and V)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pavemap.training.data.datasets import LabelledImage
from pavemap.training.errors import BadTrainingData
from pavemap.training.sampling.flat_images import FlatSet
from pavemap.training.sampling.samples import Batch, refuse_without_cracks

Scalar = TypeVar("Scalar", bound=np.generic)


class PatchSampler:
    """Draws patches around crack and sound pixels in a fixed ratio, positives to negatives 1:n.

    They come from several sets, from each as often as its weight says.

    A patch is a gather from images laid end to end, so 742,000 patches cost the memory of 72 images.
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
        refuse_without_cracks(image.crack & ~image.ignore for image in images)
        self._seed, self._flips = seed, flips
        self._ratio = negatives_per_positive
        self._patch_px = before_px + after_px + 1
        self._centres = _Centres.of(sets, weights)
        if negatives_per_positive and not self._centres.sound.any():
            raise BadTrainingData(
                "no training image has a sound pixel; are the masks coded otherwise?"
            )
        self._images = FlatSet.of(
            images, before_px=before_px, after_px=after_px, size=size, turned=flips
        )

    def batch(self, iteration: int, *, size: int, first: int, last: int) -> Batch:
        """Slots `first` to `last` of the global batch of `size` patches of this iteration."""
        rng = np.random.default_rng((self._seed, iteration))
        crack_count = max(1, round(size / (1 + self._ratio)))
        crack = self._centres.draw_crack(rng, crack_count)
        sound = self._centres.draw_sound(rng, size - crack_count)
        chosen = rng.permutation(np.concatenate([crack, sound]))
        turns = rng.integers(0, 8, size) if self._flips else np.zeros(size, dtype=np.int64)
        return self._cut(chosen[first:last], turns[first:last])

    def _cut(self, chosen: NDArray[np.int64], turns: NDArray[np.int64]) -> Batch:
        places, images = self._centres.places(chosen), self._images
        pixels = images.pixels.windows(*places)
        labels = images.truth.windows(*places).astype(np.float32)
        known = None
        if images.known is not None:
            known = images.known.windows(*places).astype(np.float32)
        for turn in np.unique(turns[turns > 0]):
            which = turns == turn
            for stack in (pixels, labels, known):
                if stack is not None:
                    stack[which] = _turned(stack[which], int(turn))
        return Batch(pixels[:, : self._patch_px, : self._patch_px], labels, known)


@dataclass(frozen=True)
class _Centres:
    """The pixels of all images numbered through: those that a patch may have in its centre."""

    crack: NDArray[np.int64]  # the numbers of crack pixels
    sound: NDArray[np.bool_]  # of each pixel, whether it is sound
    of_crack: _Shares
    of_pixels: _Shares
    ends: NDArray[np.int64]  # of the images
    widths: NDArray[np.int64]

    @classmethod
    def of(cls, sets: Sequence[Sequence[LabelledImage]], weights: Sequence[float]) -> _Centres:
        """Number the pixels of sets; ignored ones are neither crack nor sound."""
        images = [image for one in sets for image in one]
        usable = np.concatenate([~image.ignore.reshape(-1) for image in images])
        cracked = np.concatenate([image.crack.reshape(-1) for image in images])
        crack, sound = np.flatnonzero(cracked & usable), ~cracked & usable
        ends = np.cumsum([sum(image.crack.size for image in one) for one in sets])
        tried = weights if usable.all() else _tried(sound, ends, weights)
        return cls(
            crack=crack,
            sound=sound,
            of_crack=_Shares.of(np.searchsorted(crack, ends), weights),
            of_pixels=_Shares.of(ends, tried),
            ends=np.cumsum([image.crack.size for image in images]),
            widths=np.array([image.crack.shape[1] for image in images]),
        )

    def draw_crack(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """So many crack pixels, by the sets' weights."""
        return self.crack[self.of_crack.draw(rng, count)]

    def draw_sound(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """So many sound pixels, by the sets' weights: any pixels, tried until enough are sound."""
        drawn = [np.zeros(0, dtype=np.int64)]
        left = count
        while left:
            tries = self.of_pixels.draw(rng, 2 * left + 16)
            drawn.append(tries[self.sound[tries]][:left])
            left -= len(drawn[-1])
        return np.concatenate(drawn)

    def places(
        self, numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Image, row and column of pixels."""
        image = np.searchsorted(self.ends, numbers, side="right")
        within = numbers - np.where(image > 0, self.ends[image - 1], 0)
        row, column = np.divmod(within, self.widths[image])
        return image, row, column


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
