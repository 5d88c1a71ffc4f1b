"""Pixels as networks take them."""

from torch import Tensor


def scaled(pixels: Tensor) -> Tensor:
    """Bytes (N, H, W, C) as floats (N, C, H, W) in [-1, 1], channels last in memory."""
    return pixels.permute(0, 3, 1, 2).float().mul_(1 / 127.5).sub_(1.0)
