"""Overlapping windows of a grid of patches, averaged into one map (the paper's section II.D)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def grid_size(height: int, width: int, *, size: int, stride: int) -> tuple[int, int]:
    """Rows and columns of the patches whose windows reach a map of (height, width) pixels."""
    span = 2 * (size // 2)
    return (height + span - 1) // stride + 1, (width + span - 1) // stride + 1


def averaged(
    grid: Tensor, height: int, width: int, *, votes: Tensor, size: int, stride: int
) -> Tensor:
    """The map (N, height, width) of windows (N, s*s, rows, columns), the first of which ends at pixel 0.

    `votes` is `voting_kernel(size)`.
    """
    start = 2 * (size // 2)
    inside = (slice(None), 0, slice(start, start + height), slice(start, start + width))
    total = functional.conv_transpose2d(grid, votes.to(grid.dtype), stride=stride)[inside]
    # How many windows reach a pixel depends on its row and its column alone.
    rows = _votes_along(grid.shape[2], size, stride, total.device)[start : start + height]
    columns = _votes_along(grid.shape[3], size, stride, total.device)[start : start + width]
    return total.float() / (rows[:, None] * columns[None, :])


def voting_kernel(size: int) -> Tensor:
    """What lays each cell of a window on its pixel, as weights of a transposed convolution."""
    return torch.eye(size * size).reshape(size * size, 1, size, size)


def _votes_along(count: int, size: int, stride: int, device: torch.device) -> Tensor:
    ones, window = (torch.ones(1, 1, number, device=device) for number in (count, size))
    return functional.conv_transpose1d(ones, window, stride=stride)[0, 0]
