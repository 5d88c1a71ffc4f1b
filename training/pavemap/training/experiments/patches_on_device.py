"""Training patches cut on the network's own device, so that many short runs wait for no copying.

The same draw as `pavemap.training.sampling.patches.PatchSampler` (crack and sound pixels in a fixed
ratio, images mirrored at their borders), with the variations that the studies ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pavemap.training.data.datasets import LabelledImage
from pavemap.training.networks.fan2018 import FanNet
from pavemap.training.networks.scaling import scaled
from pavemap.training.sampling.flat_images import FlatSet
from pavemap.training.sampling.samples import refuse_without_cracks

NEAR_PX = 13  # a sound pixel that near has the crack in its patch


@dataclass(frozen=True)
class Draw:
    """How samples are drawn and changed; the defaults are the paper's."""

    negatives_per_positive: float | None = 3.0  # None: the natural ratio, any pixel
    near_share: float = 0.0  # of the negatives, drawn within 13 pixels of a crack
    turns: bool = False  # the eight symmetries of the square
    light: float = 0.0  # strength of random contrast, brightness and tint


class PatchesOnDevice:
    """Patches (N, C, P, P) scaled to [-1, 1] with their windows (N, s, s), drawn from all images.

    Weights (N, s, s) are 0 where a window's pixel is ignored; where none is in any image there are none.

    What is drawn depends on torch's seed alone: set it before a batch to have the same batch again.
    """

    def __init__(
        self, images: Sequence[LabelledImage], network: FanNet, draw: Draw, *, device: torch.device
    ) -> None:
        self._draw, self._device = draw, device
        refuse_without_cracks(image.crack & ~image.ignore for image in images)
        self._patch_px = network.before_px + network.after_px + 1
        self._images = FlatSet.of(
            images,
            before_px=network.before_px,
            after_px=network.after_px,
            size=network.size,
            turned=draw.turns,
        ).on(device)
        self._places(images)

    def _places(self, images: Sequence[LabelledImage]) -> None:
        """Where crack, sound and near-by sound pixels are: (image, row, column), as small integers."""
        crack: list[NDArray[np.int16]] = []
        sound: list[NDArray[np.int16]] = []
        near: list[NDArray[np.int16]] = []
        ring = np.ones((2 * NEAR_PX + 1, 2 * NEAR_PX + 1), np.uint8)
        for number, image in enumerate(images):
            beside = cv2.dilate(image.crack.astype(np.uint8), ring) > 0
            usable = ~image.ignore
            for mask, found in (
                (image.crack & usable, crack),
                (~image.crack & usable, sound),
                (~image.crack & usable & beside, near),
            ):
                at = np.argwhere(mask).astype(np.int16)
                found.append(np.column_stack([np.full(len(at), number, np.int16), at]))
        self._crack, self._sound, self._near = (
            torch.from_numpy(np.ascontiguousarray(np.concatenate(some))).to(self._device)
            for some in (crack, sound, near)
        )

    def batch(self, size: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """One batch of patches, windows, and their weights."""
        places, images = self._drawn(size).long().unbind(1), self._images
        cut = images.pixels.windows(*places)
        labels = images.truth.windows(*places).float()
        weights = None if images.known is None else images.known.windows(*places).float()
        if self._draw.turns:
            cut, labels = _turned(cut), _turned(labels)
            weights = None if weights is None else _turned(weights)
        patches = scaled(cut[:, : self._patch_px, : self._patch_px])
        if self._draw.light:
            patches = self._relit(patches)
        return patches.contiguous(memory_format=torch.channels_last), labels, weights

    def _drawn(self, size: int) -> Tensor:
        ratio = self._draw.negatives_per_positive
        if ratio is None:
            number = len(self._crack) + len(self._sound)
            at = torch.randint(number, (size,), device=self._device)
            positive = self._crack[at.clamp(max=len(self._crack) - 1)]
            negative = self._sound[(at - len(self._crack)).clamp(min=0)]
            return torch.where((at < len(self._crack))[:, None], positive, negative)
        positives = max(1, round(size / (1 + ratio)))
        near = round((size - positives) * self._draw.near_share)
        return torch.cat(
            [
                self._some(self._crack, positives),
                self._some(self._near, near),
                self._some(self._sound, size - positives - near),
            ]
        )

    def _some(self, places: Tensor, number: int) -> Tensor:
        return places[torch.randint(len(places), (number,), device=self._device)]

    def _relit(self, patches: Tensor) -> Tensor:
        number, channels = patches.shape[:2]
        strength = self._draw.light
        contrast = torch.exp((torch.rand(number, 1, 1, 1, device=self._device) - 0.5) * strength)
        tint = (torch.rand(number, channels, 1, 1, device=self._device) - 0.5) * 0.3 * strength
        brightness = (torch.rand(number, 1, 1, 1, device=self._device) - 0.5) * strength
        mean = patches.mean((1, 2, 3), keepdim=True)
        return ((patches - mean) * contrast + mean + brightness + tint).clamp(-1, 1)


def _turned(stack: Tensor) -> Tensor:
    """Each sample (axes 1 and 2) in the symmetry of its number modulo 8, all eight equally often."""
    turned = torch.empty_like(stack)
    for turn in range(8):
        some = torch.rot90(stack[turn::8], turn % 4, dims=(1, 2))
        turned[turn::8] = some.flip(2) if turn >= 4 else some
    return turned
