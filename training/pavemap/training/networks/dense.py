"""Whole images through a network at once: what patch by patch gives, many times faster."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import product
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pavemap.training.errors import BadModel
from pavemap.training.networks.fan2018 import (
    CONTEXT_AFTER,
    CONTEXT_BEFORE,
    PATCH_CENTRE,
    PATCH_PX,
    FanNet,
)
from pavemap.training.networks.survey_net import SurveyNet
from pavemap.training.networks.voting import averaged, grid_size, voting_kernel
from pavemap.training.networks.zero_border import (
    CONVOLUTION_1,
    CONVOLUTION_2,
    CONVOLUTION_3,
    CONVOLUTION_4,
    POOLING_1,
    POOLING_2,
    convolve,
    first_layer,
    pool,
)

LEAST_PROBABILITY = 1e-4  # certain votes count as almost certain, so that they have a logit

NO_SIZE = 1e-30  # a weight so small, times any activation, is nothing beside the others

SURVEY_BORDER_PX = 32  # mirrored pixels around a chip, so that its edge isn't met by zeros at once


class DenseForm(nn.Module):
    """A network that maps pixels (N, C, h, w) in [-1, 1] to probabilities (N, h', w').

    An image is first extended by `pad_before` and `pad_after` mirrored pixels. `lost_before` says
    how many pixels of its input the output lacks at the top and left. A window of the extended
    image that reaches `reach_before` and `reach_after` beyond some pixels (or to the end) is all
    that those pixels' probabilities depend on. Windows start at multiples of `alignment`.
    `tile_px` is the size of window that suits a processor's cache; it changes no result.
    """

    pad_before: int
    pad_after: int
    reach_before: int
    reach_after: int
    lost_before: int
    alignment: int
    tile_px: int

    @property
    def reach_px(self) -> int:
        """How far from a pixel those may lie that its probability depends on."""
        return max(self.reach_before, self.reach_after)


class DenseFan(DenseForm):
    """The paper's network for a grid of patches every `stride` pixels.

    The first two convolutions run once over the image. Pooling by 2 has two phases in each
    direction, and pooling again two more: `stride=4` computes one of these 16 phases, `stride=1`
    all of them (shift and stitch: the same sums as dilated convolutions, in plain ones). FC1 is a
    6x6 convolution, FC2 and FC3 are 1x1. Last, the overlapping windows' votes are averaged.
    """

    calibration: tuple[float, float] | None = None
    """Slope and offset by which the averaged votes are scaled (`calibration.py`)."""

    def __init__(self, network: FanNet, *, stride: int = 4) -> None:
        super().__init__()
        if stride not in (1, 2, 4) or stride > network.size:
            raise BadModel(
                f"stride {stride} must be 1, 2 or 4 and at most the window of {network.size}"
            )
        self.stride, self.size = stride, network.size
        half = network.size // 2
        self.pad_before = self.reach_before = self.lost_before = (
            PATCH_CENTRE + CONTEXT_BEFORE + half
        )
        self.pad_after = self.reach_after = PATCH_PX - 1 - PATCH_CENTRE + CONTEXT_AFTER + half
        self.alignment, self.tile_px = 4, 512
        self.first = nn.Sequential(network.conv1, nn.ReLU(), network.conv2, nn.ReLU())
        self.second = nn.Sequential(network.conv3, nn.ReLU(), network.conv4, nn.ReLU())
        self.join = nn.Sequential(_as_convolution(network.fc1, 6), nn.ReLU())
        self.windows = nn.Sequential(
            _as_convolution(network.fc2, 1), nn.ReLU(),
            _as_convolution(network.fc3, 1), nn.Sigmoid(),
        )  # fmt: skip
        self.register_buffer("votes", voting_kernel(network.size))

    def forward(self, pixels: Tensor) -> Tensor:
        """Probabilities (N, h - P, w - P) with P = pad_before + pad_after."""
        height = pixels.shape[2] - self.pad_before - self.pad_after
        width = pixels.shape[3] - self.pad_before - self.pad_after
        votes = self._vote(self._grid(pixels, height, width), height, width)
        if self.calibration is None:
            return votes
        slope, offset = self.calibration
        return torch.sigmoid(slope * torch.logit(votes, eps=LEAST_PROBABILITY) + offset)

    def _grid(self, pixels: Tensor, height: int, width: int) -> Tensor:
        """The windows (N, s*s, rows, columns) of the grid of patches."""
        stride = self.stride
        rows, columns = grid_size(height, width, size=self.size, stride=stride)
        if stride == 4:
            return next(self._phases(pixels))[2][:, :, :rows, :columns]
        grid: Tensor | None = None
        for top, left, windows in self._phases(pixels):
            if grid is None:
                grid = windows.new_empty(windows.shape[0], self.size**2, rows, columns)
            place = grid[:, :, top // stride :: 4 // stride, left // stride :: 4 // stride]
            place.copy_(windows[:, :, : place.shape[2], : place.shape[3]])
        assert grid is not None
        return grid

    def _phases(self, pixels: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        """The windows of every fourth patch each way, by the first patch's row and column."""
        fine = (0, 1) if self.stride == 1 else (0,)
        first = self.first(pixels)
        for top, left in product(fine, fine):
            second = self.second(functional.max_pool2d(first[:, :, top:, left:], 2))
            for below, right in product((0, 1), (0, 1)):
                pooled = functional.max_pool2d(second[:, :, below:, right:], 2)
                yield top + 2 * below, left + 2 * right, self.windows(self.join(pooled))

    def _vote(self, grid: Tensor, height: int, width: int) -> Tensor:
        votes = cast(Tensor, self.votes)
        return averaged(grid, height, width, votes=votes, size=self.size, stride=self.stride)


class DenseZeroFan(DenseFan):
    """The paper's network with its zeros beyond each patch's border, by classes of border."""

    def __init__(self, network: FanNet, *, stride: int = 4) -> None:
        super().__init__(network, stride=stride)
        self.network = network
        self.tile_px = 128  # there are up to 36 maps of each layer

    def _phases(self, pixels: Tensor) -> Iterator[tuple[int, int, Tensor]]:
        network, fine = self.network, (0, 1) if self.stride == 1 else (0,)
        first = convolve({(0, 0): pixels}, network.conv1, CONVOLUTION_1)
        first = convolve(first, network.conv2, CONVOLUTION_2)
        for top, left in product(fine, fine):
            second = pool(first, POOLING_1, top=top, left=left)
            second = convolve(second, network.conv3, CONVOLUTION_3)
            second = convolve(second, network.conv4, CONVOLUTION_4)
            for below, right in product((0, 1), (0, 1)):
                pooled = pool(second, POOLING_2, top=below, left=right)
                yield (
                    top + 2 * below,
                    left + 2 * right,
                    self.windows(first_layer(pooled, network.fc1)),
                )


class DenseSurvey(DenseForm):
    """The survey network with its batch normalisation folded into the convolutions."""

    def __init__(
        self,
        network: SurveyNet,
        *,
        calibration: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.network = _folded(copy.deepcopy(network).eval())
        if calibration is not None:
            _scale_logits(cast(SurveyNet, self.network).head, *calibration)
        self.pad_before = self.pad_after = SURVEY_BORDER_PX
        self.reach_before = self.reach_after = network.reach_px
        self.lost_before = 0
        self.alignment = network.alignment_px
        self.tile_px = 2048 + 2 * network.reach_px  # a cell of 2048 pixels with its halo

    def forward(self, pixels: Tensor) -> Tensor:
        """Probabilities (N, h, w)."""
        return probabilities(self.network(pixels))


def dense_form(
    network: nn.Module,
    *,
    stride: int = 4,
    calibration: tuple[float, float] | None = None,
) -> DenseForm:
    """The dense form of a trained network.

    `calibration` is the slope and the offset of Platt's scaling, applied to the logits. `stride` matters to
    the paper's network alone.
    """
    _flush_subnormals(network)
    if isinstance(network, FanNet):
        kind = DenseFan if network.border == "context" else DenseZeroFan
        form = kind(network.eval(), stride=stride).eval()
        form.calibration = calibration
        return form
    if isinstance(network, SurveyNet):
        return DenseSurvey(network, calibration=calibration).eval()
    raise BadModel(f"{type(network).__name__} has no dense form")


def probabilities(logits: Tensor) -> Tensor:
    """Probabilities (N, H, W) of the survey network's logits (N, 1, H, W)."""
    return torch.sigmoid(logits[:, 0].float())


def _as_convolution(layer: nn.Linear, side: int) -> nn.Conv2d:
    outputs, inputs = layer.out_features, layer.in_features // side**2
    convolution = nn.Conv2d(inputs, outputs, side)
    convolution.weight.data = layer.weight.data.reshape(outputs, inputs, side, side).clone()
    cast(Tensor, convolution.bias).data = layer.bias.data.clone()
    return convolution


@torch.no_grad()
def _flush_subnormals(network: nn.Module) -> None:
    """Make weights of no size zero: decay leaves dead ones at 1e-40, which slow an FPU down many times."""
    for parameter in network.parameters():
        parameter[parameter.abs() < NO_SIZE] = 0.0


def _scale_logits(head: nn.Conv2d, slope: float, offset: float) -> None:
    """Have the last layer give scaled logits: calibration then costs nothing."""
    head.weight.data *= slope
    bias = cast(Tensor, head.bias)
    bias.data = bias.data * slope + offset


def _folded(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if (
            isinstance(child, nn.Sequential)
            and len(child) == 3
            and isinstance(child[0], nn.Conv2d)
            and isinstance(child[1], nn.BatchNorm2d)
        ):
            fused = fuse_conv_bn_eval(child[0], child[1])
            setattr(module, name, nn.Sequential(fused, nn.ReLU(inplace=True)))
        else:
            _folded(child)
    return module
