"""A compact fully-convolutional detector for surveys: a small U-Net on half resolution."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

ALIGNMENT_PX = 8  # pixel-unshuffle 2, then two poolings
REACH_PX = 64  # no output pixel depends on anything farther away; a survey's halo covers it


class SurveyNet(nn.Module):
    """Pixel-unshuffle 2, two levels down, a residual bottleneck, two levels up, pixel-shuffle 2.

    Nothing in it looks at the whole chip (no global pooling, no squeeze-excite, batch statistics
    are frozen at inference), so a chip's phase matters only modulo 8 pixels and a pixel's
    probability depends on nothing farther than 64 pixels away: tiling can't change a crack.
    """

    def __init__(self, *, channels: int = 3, width: int = 16) -> None:
        super().__init__()
        self.channels, self.width = channels, width
        self.down0 = nn.Sequential(_block(4 * channels, width), _block(width, width))
        self.down1 = nn.Sequential(_block(width, 2 * width), _block(2 * width, 2 * width))
        self.deep0 = _block(2 * width, 4 * width)
        self.deep1 = nn.Sequential(_block(4 * width, 4 * width), _block(4 * width, 4 * width))
        self.deep2 = _block(4 * width, 4 * width)
        self.narrow1 = nn.Conv2d(4 * width, 2 * width, 1)
        self.up1 = nn.Sequential(_block(4 * width, 2 * width), _block(2 * width, 2 * width))
        self.narrow0 = nn.Conv2d(2 * width, width, 1)
        self.up0 = nn.Sequential(_block(2 * width, width), _block(width, width))
        self.head = nn.Conv2d(width, 4, 1)
        nn.init.constant_(cast(Tensor, self.head.bias), -3.0)  # cracks are rare: start from there

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, 1, H, W) of pixels (N, C, H, W) scaled to [-1, 1]; H and W multiples of 8."""
        fine = self.down0(functional.pixel_unshuffle(pixels, 2))
        middle = self.down1(functional.max_pool2d(fine, 2))
        deep = self.deep0(functional.max_pool2d(middle, 2))
        deep = self.deep2(deep + self.deep1(deep))
        middle = self.up1(torch.cat([middle, _twice(self.narrow1(deep))], 1))
        fine = self.up0(torch.cat([fine, _twice(self.narrow0(middle))], 1))
        return functional.pixel_shuffle(self.head(fine), 2)


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
