"""Training patches cut on the network's own device, so that many short runs wait for no copying.

The same draw as `pavemap.training.sampling.patches.PatchSampler` (crack and sound pixels in a fixed
ratio, images mirrored at their borders), with the variations that the studies ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pavemap.training.data.datasets import LabelledImage
from pavemap.training.errors import BadTrainingData
from pavemap.training.networks.fan2018 import FanNet
from pavemap.training.networks.scaling import scaled

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
        before, after, half = network.before_px, network.after_px, network.size // 2
        reach = max(before, after) if draw.turns else 0
        self._cut = (2 * reach + 1) if reach else before + after + 1
        self._keep, self._size = before + after + 1, network.size
        pad = (reach, reach) if reach else (before, after)
        pixels = [np.pad(i.pixels, (pad, pad, (0, 0)), mode="symmetric") for i in images]
        truth = [np.pad(i.crack, half, mode="symmetric") for i in images]
        self._channels = pixels[0].shape[2]
        self._pixels = self._tensor(np.concatenate([a.reshape(-1, self._channels) for a in pixels]))
        self._truth = self._tensor(np.concatenate([a.reshape(-1) for a in truth]))
        self._known: Tensor | None = None
        if any(image.ignore.any() for image in images):
            known = [np.pad(~i.ignore, half, mode="symmetric").reshape(-1) for i in images]
            self._known = self._tensor(np.concatenate(known))
        self._pixel_rows = self._rows([a.shape[:2] for a in pixels])
        self._truth_rows = self._rows([a.shape for a in truth])
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
        if not any(len(some) > 0 for some in crack):
            raise BadTrainingData(
                "no training image has a crack pixel; are the masks coded otherwise?"
            )
        self._crack, self._sound, self._near = (
            self._tensor(np.concatenate(some)) for some in (crack, sound, near)
        )

    def batch(self, size: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """One batch of patches, windows, and their weights."""
        places = self._drawn(size).long()
        cut = self._windows(self._pixels, self._pixel_rows, places, self._cut)
        labels = self._windows(self._truth, self._truth_rows, places, self._size).float()
        weights = None
        if self._known is not None:
            weights = self._windows(self._known, self._truth_rows, places, self._size).float()
        if self._draw.turns:
            cut, labels = _turned(cut), _turned(labels)
            weights = None if weights is None else _turned(weights)
        patches = scaled(cut[:, : self._keep, : self._keep])
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

    def _windows(
        self, flat: Tensor, rows: tuple[Tensor, Tensor], places: Tensor, side: int
    ) -> Tensor:
        starts, widths = rows
        width = widths[places[:, 0]]
        corner = starts[places[:, 0]] + places[:, 1] * width + places[:, 2]
        steps = torch.arange(side, device=self._device)
        offsets = steps[None, :, None] * width[:, None, None] + steps[None, None, :]
        return flat[corner[:, None, None] + offsets]

    def _relit(self, patches: Tensor) -> Tensor:
        number, channels = patches.shape[:2]
        strength = self._draw.light
        contrast = torch.exp((torch.rand(number, 1, 1, 1, device=self._device) - 0.5) * strength)
        tint = (torch.rand(number, channels, 1, 1, device=self._device) - 0.5) * 0.3 * strength
        brightness = (torch.rand(number, 1, 1, 1, device=self._device) - 0.5) * strength
        mean = patches.mean((1, 2, 3), keepdim=True)
        return ((patches - mean) * contrast + mean + brightness + tint).clamp(-1, 1)

    def _rows(self, shapes: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
        sizes = np.array([height * width for height, width in shapes])
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        return self._tensor(starts), self._tensor(np.array([width for _, width in shapes]))

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)


def _turned(stack: Tensor) -> Tensor:
    """Each sample (axes 1 and 2) in the symmetry of its number modulo 8, all eight equally often."""
    turned = torch.empty_like(stack)
    for turn in range(8):
        some = torch.rot90(stack[turn::8], turn % 4, dims=(1, 2))
        turned[turn::8] = some.flip(2) if turn >= 4 else some
    return turned
