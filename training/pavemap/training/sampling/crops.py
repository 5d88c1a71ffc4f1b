"""Training crops for the survey detector: random squares of random images, scaled and turned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.training.augmentation import Augmentation
from pavemap.training.data.datasets import LabelledImage
from pavemap.training.sampling.distractors import with_distractors
from pavemap.training.sampling.drawn_cracks import with_crack
from pavemap.training.sampling.lighting import relit
from pavemap.training.sampling.samples import Batch, refuse_without_cracks


class CropSampler:
    """Draws crops from several sets, each set as often as its weight says.

    Every slot has its own random stream, seeded by (seed, iteration, slot).
    """

    def __init__(
        self,
        sets: Sequence[Sequence[LabelledImage]],
        *,
        weights: Sequence[float],
        crop_px: int,
        augmentation: Augmentation,
        seed: int = 0,
    ) -> None:
        refuse_without_cracks(image.crack for images in sets for image in images)
        self._sets = sets
        self._shares = np.cumsum(weights) / np.sum(weights)
        self._crop_px, self._change, self._seed = crop_px, augmentation, seed
        self._cracks = {
            image.name + str(index): np.flatnonzero(image.crack)
            for index, images in enumerate(sets)
            for image in images
        }

    def batch(self, iteration: int, *, size: int, first: int, last: int) -> Batch:  # noqa: ARG002
        """Slots `first` to `last` of the global batch of `size` crops of this iteration."""
        crops = [
            self._crop(np.random.default_rng((self._seed, iteration, slot)))
            for slot in range(first, last)
        ]
        pixels, labels, weights = zip(*crops, strict=True)
        return Batch(np.stack(pixels), np.stack(labels), np.stack(weights))

    def _crop(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
        index = int(np.searchsorted(self._shares, rng.random(), side="right"))
        images = self._sets[index]
        image = images[int(rng.integers(len(images)))]
        place = self._placement(rng, image, self._cracks[image.name + str(index)])
        part, place = self._part(image.crack.shape, place)
        pixels = self._warped(image.pixels[part], place).astype(np.uint8)
        pixels = pixels.reshape(self._crop_px, self._crop_px, -1)
        labels = self._warped(image.crack[part].astype(np.float32), place).astype(np.float32)
        weights = np.ones_like(labels)
        if image.ignore[part].any():
            ignored = self._warped(image.ignore[part].astype(np.float32), place)
            weights[ignored > 0.25] = 0
        if self._change.drawn_cracks and rng.random() < self._change.drawn_cracks:
            pixels, labels = with_crack(rng, pixels, labels)
        if self._change.distractors and rng.random() < self._change.distractors:
            pixels, weights = with_distractors(rng, pixels, labels, weights)
        return relit(rng, pixels, self._change), labels, weights

    def _part(
        self, shape: tuple[int, ...], place: NDArray[np.float64]
    ) -> tuple[tuple[slice, slice], NDArray[np.float64]]:
        """The rows and columns of an image that a crop is made of, and the matrix from that part.

        What lies beyond the image's border is mirrored there, so its mirror image belongs to the part.
        """
        last = self._crop_px - 1.0
        corners = np.array([[0.0, last, 0.0, last], [0.0, 0.0, last, last]])
        seen = np.linalg.inv(place[:, :2]) @ (corners - place[:, 2:])
        size = np.array([shape[1], shape[0]])
        margin = 2.0 + 4.0 * _blur_px(place)  # two for the pixels between which is interpolated
        low, high = seen.min(axis=1) - margin, seen.max(axis=1) + margin
        first = np.floor(np.minimum(low, 2 * size - high)).clip(0, size - 1).astype(int)
        end = np.ceil(np.maximum(high, -low)).clip(first + 1, size).astype(int)
        moved = place[:, 2] + place[:, :2] @ first
        return (
            (slice(first[1], end[1]), slice(first[0], end[0])),
            np.column_stack([place[:, :2], moved]),
        )

    def _warped(self, array: NDArray[Any], place: NDArray[np.float64]) -> NDArray[Any]:
        """The crop of an array (H, W) or (H, W, C), mirrored where it leaves the image."""
        array = np.ascontiguousarray(array)
        blur_px = _blur_px(place)
        if blur_px:
            array = cv2.GaussianBlur(array, (0, 0), blur_px)
        side = (self._crop_px, self._crop_px)
        return cv2.warpAffine(
            array, place, side, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )

    def _placement(
        self, rng: np.random.Generator, image: LabelledImage, cracks: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """The 2x3 matrix from image pixels to crop pixels."""
        change, crop_px = self._change, self._crop_px
        height, width = image.crack.shape
        scale = float(np.exp(rng.uniform(np.log(change.scale_min), np.log(change.scale_max))))
        linear = np.eye(2) * scale
        if change.turned and rng.random() < change.turned:
            linear = _rotation(rng.uniform(-np.pi / 4, np.pi / 4)) @ linear
        # Half of what the crop takes of the image, along x and along y.
        half = crop_px / 2 * np.abs(np.linalg.inv(linear)).sum(axis=1)
        if len(cracks) and rng.random() < change.cracked:
            row, column = divmod(int(cracks[rng.integers(len(cracks))]), width)
            centre = np.array([column, row]) + rng.uniform(-half, half)
        else:
            centre = rng.uniform(0, 1, 2) * (width, height)
        # Stay on the image where it is large enough; where it isn't, reflection fills the rest.
        limits = np.array([width, height])
        centre = np.where(limits > 2 * half, np.clip(centre, half, limits - half), limits / 2)
        if change.flips:
            linear = np.round(_rotation(float(rng.integers(0, 4)) * np.pi / 2)) @ linear
            if rng.random() < 0.5:
                linear = np.diag([-1.0, 1.0]) @ linear
        shift = crop_px / 2 - 0.5 - linear @ (centre - 0.5)
        return np.column_stack([linear, shift])


def _blur_px(place: NDArray[np.float64]) -> float:
    """How much is blurred before an image is made smaller, for warpAffine doesn't antialias; 0 for none."""
    scale = float(np.sqrt(abs(np.linalg.det(place[:, :2]))))
    return 0.5 / scale - 0.25 if scale < 0.95 else 0.0


def _rotation(angle: float) -> NDArray[np.float64]:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])
