"""A compact fully-convolutional detector for surveys: a small U-Net on half resolution."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_WIDTH = 256
CHANNELS = (1, 3)  # grey, or colours


class SurveyNet(nn.Module):
    """Pixel-unshuffle 2, two levels down, a residual bottleneck, two levels up, pixel-shuffle 2.

    Nothing in it looks at the whole chip (no global pooling, no squeeze-excite, batch statistics
    are frozen at inference), so a chip's phase matters only modulo `alignment_px` pixels and a
    pixel's probability depends on nothing farther than `reach_px` pixels away: tiling can't change
    a crack. `context` adds a level below the bottleneck, which sees twice as far for 6 %
    more arithmetic; at its start it adds nothing, so that a network without it can learn on with it.
    """

    def __init__(self, *, channels: int = 3, width: int = 16, context: bool = False) -> None:
        super().__init__()
        if not (1 <= width <= MOST_WIDTH and channels in CHANNELS):
            raise ValueError(f"width is 1 to {MOST_WIDTH}, and channels are 1 or 3")
        self.alignment_px = 16 if context else 8  # pixel-unshuffle 2, then two poolings or three
        self.reach_px = 128 if context else 64  # a survey's halo must cover it
        self.channels, self.width = channels, width
        self.down0 = nn.Sequential(_block(4 * channels, width), _block(width, width))
        self.down1 = nn.Sequential(_block(width, 2 * width), _block(2 * width, 2 * width))
        self.deep0 = _block(2 * width, 4 * width)
        self.deep1 = nn.Sequential(_block(4 * width, 4 * width), _block(4 * width, 4 * width))
        self.deep2 = _block(4 * width, 4 * width)
        self.wide = _context(4 * width) if context else None
        self.narrow1 = nn.Conv2d(4 * width, 2 * width, 1)
        self.up1 = nn.Sequential(_block(4 * width, 2 * width), _block(2 * width, 2 * width))
        self.narrow0 = nn.Conv2d(2 * width, width, 1)
        self.up0 = nn.Sequential(_block(2 * width, width), _block(width, width))
        self.head = nn.Conv2d(width, 4, 1)
        nn.init.constant_(cast(Tensor, self.head.bias), -3.0)  # cracks are rare: start from there

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, 1, H, W) of pixels (N, C, H, W) scaled to [-1, 1].

        H and W are multiples of `alignment_px`.
        """
        fine = self.down0(functional.pixel_unshuffle(pixels, 2))
        middle = self.down1(functional.max_pool2d(fine, 2))
        deep = self.deep0(functional.max_pool2d(middle, 2))
        known = deep + self.deep1(deep)
        deep = self.deep2(known if self.wide is None else known + self.wide(deep))
        middle = self.up1(torch.cat([middle, _twice(self.narrow1(deep))], 1))
        fine = self.up0(torch.cat([fine, _twice(self.narrow0(middle))], 1))
        return functional.pixel_shuffle(self.head(fine), 2)


def _block(inputs: int, outputs: int, *, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _context(width: int) -> nn.Sequential:
    last = nn.Conv2d(width, width, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(cast(Tensor, last.bias))
    return nn.Sequential(
        nn.MaxPool2d(2),
        _block(width, width),
        _block(width, width),
        _block(width, width, dilation=2),
        last,
        nn.Upsample(scale_factor=2, mode="bilinear"),
    )


def _twice(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")
