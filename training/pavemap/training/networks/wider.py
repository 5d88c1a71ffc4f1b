"""A network's weights for one several times as wide, which computes the same to begin with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

LEAST_SHARE, MOST_SHARE = 0.5, 1.5
"""Between which the copies of a channel share what it says, before these are made to add to one."""


def widened(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, seed: int
) -> dict[str, Tensor]:
    """Weights in the shapes of `wanted`: every channel is there several times, its copies side by side.

    What is read from a channel is read from its copies in random shares, so that they don't learn the
    same for ever (Chen, Goodfellow and Shlens, *Net2Net*, 2016, section 2.3). Channels that are joined
    to others keep their order, as copies lie side by side in each. Weights whose shape is no multiple of
    a former one are left as they are.
    """
    random = torch.Generator().manual_seed(seed)
    return {
        name: _widened(value, wanted[name].shape, random) if name in wanted else value
        for name, value in weights.items()
    }


def _widened(value: Tensor, shape: torch.Size, random: torch.Generator) -> Tensor:
    if value.shape == shape or value.ndim != len(shape):
        return value
    times = [new // old for old, new in zip(value.shape, shape, strict=True)]
    if any(old * n != new for old, n, new in zip(value.shape, times, shape, strict=True)):
        return value
    for dimension, number in enumerate(times):
        value = value.repeat_interleave(number, dimension)
    if value.ndim > 1 and times[1] > 1:
        value = value * _shares(value.shape[0], value.shape[1] // times[1], times[1], random).view(
            *value.shape[:2], *[1] * (value.ndim - 2)
        )
    return value


def _shares(outputs: int, inputs: int, copies: int, random: torch.Generator) -> Tensor:
    drawn = torch.rand(outputs, inputs, copies, generator=random)
    drawn = LEAST_SHARE + (MOST_SHARE - LEAST_SHARE) * drawn
    return drawn / drawn.sum(2, keepdim=True)
