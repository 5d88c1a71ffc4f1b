"""The paper's network (Fan et al. 2018, Table II), as published and in its context form."""

from __future__ import annotations

from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from pavemap.training.networks.survey_net import CHANNELS
from pavemap.training.networks.voting import averaged, grid_size, voting_kernel

PATCH_PX = 27  # the paper's h = 13
PATCH_CENTRE = 13
Border = Literal["zeros", "context"]

# What the context form reads beyond the 27 px frame: each 3x3 convolution reaches one pixel of
# its own grid further (1 + 1 px, then 2 + 2 px). After the frame's end it is less, because the
# floor of 27 -> 13 -> 6 leaves the frame's last rows unread.
CONTEXT_BEFORE = 6
CONTEXT_AFTER = 3
MAP_STRIDE_PX = 4  # two poolings


class FanNet(nn.Module):
    """conv16-conv16-pool-conv32-conv32-pool-FC64-FC64-FC(s*s) on patches around a pixel.

    `border="zeros"` is the paper's: every convolution sees zeros outside the 27x27 patch, so what
    a patch yields depends on where the patch is cut. `border="context"` is the one departure:
    the convolutions see the image's own pixels there, from a patch grown to 36x36, which makes the
    network translation-equivariant and its dense form exact. All sizes inside are the same.
    """

    def __init__(self, *, channels: int = 3, size: int = 5, border: Border = "zeros") -> None:
        super().__init__()
        if size % 2 == 0 or not 1 <= size <= 9:
            raise ValueError("the output structure must be an odd size of 1 to 9 pixels")
        if channels not in CHANNELS:
            raise ValueError("channels are 1 or 3")
        self.channels, self.size, self.border = channels, size, border
        padding = 1 if border == "zeros" else 0
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=padding)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=padding)
        self.conv3 = nn.Conv2d(16, 32, 3, padding=padding)
        self.conv4 = nn.Conv2d(32, 32, 3, padding=padding)
        self.fc1 = nn.Linear(32 * 6 * 6, 64)
        self.fc2 = nn.Linear(64, 64)
        self.fc3 = nn.Linear(64, size * size)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.5)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(cast(Tensor, layer.bias))

    @property
    def before_px(self) -> int:
        """Pixels a patch reaches above and left of its centre pixel."""
        return PATCH_CENTRE + (CONTEXT_BEFORE if self.border == "context" else 0)

    @property
    def after_px(self) -> int:
        """Pixels a patch reaches below and right of its centre pixel."""
        return PATCH_PX - 1 - PATCH_CENTRE + (CONTEXT_AFTER if self.border == "context" else 0)

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits (N, s*s) of the windows centred in patches (N, C, P, P) scaled to [-1, 1].

        Of larger images (N, C, H, W) the context form gives logits (N, 1, H, W), so that it can be
        taught on them whole: those of the windows on every fourth pixel, averaged, the image mirrored
        beyond its border. Raises ValueError for the paper's zeros, which each patch has of its own, and
        for windows so small that they leave pixels without one.
        """
        if pixels.shape[3] != self.before_px + self.after_px + 1:
            return self._maps(pixels)
        x = self._features(pixels).flatten(1)
        x = self.dropout(torch.relu(self.fc1(x)))
        x = self.dropout(torch.relu(self.fc2(x)))
        return cast(Tensor, self.fc3(x))

    def _maps(self, images: Tensor) -> Tensor:
        if self.border == "zeros":
            raise ValueError("the network with zeros around each patch reads patches alone")
        if self.size < MAP_STRIDE_PX:
            raise ValueError(f"windows of {self.size} px on every fourth pixel leave gaps in a map")
        half = self.size // 2
        before, after = self.before_px + half, self.after_px + half
        x = functional.pad(images, (before, after, before, after), mode="reflect")
        x = self.dropout(torch.relu(_everywhere(self.fc1, self._features(x), side=6)))
        x = self.dropout(torch.relu(_everywhere(self.fc2, x)))
        (height, width), side = images.shape[2:], {"size": self.size, "stride": MAP_STRIDE_PX}
        rows, columns = grid_size(height, width, **side)
        grid = _everywhere(self.fc3, x)[:, :, :rows, :columns]
        votes = voting_kernel(self.size).to(grid.device)
        return averaged(grid, height, width, votes=votes, **side)[:, None]

    def _features(self, pixels: Tensor) -> Tensor:
        # The larger of two, then what is above zero, is the same either way round; this way round
        # the rectifier has a quarter of the work, and a training step takes three quarters of the time.
        x = self.conv2(torch.relu_(self.conv1(pixels)))
        x = torch.relu_(self.pool(x))
        x = self.conv4(torch.relu_(self.conv3(x)))
        return torch.relu_(self.pool(x))


def _everywhere(layer: nn.Linear, x: Tensor, *, side: int = 1) -> Tensor:
    """A fully connected layer at every place of maps (N, C, H, W): a convolution of its weights."""
    weight = layer.weight.view(layer.out_features, -1, side, side)
    return functional.conv2d(x, weight, layer.bias)
