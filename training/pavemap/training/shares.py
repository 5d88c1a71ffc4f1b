"""Any number of workers learns what one would: dropout and normalisation of the whole batch, in shares.

A worker holds some slots of the global batch. Its dropout mask is cut from one that is drawn for all slots,
and batch statistics are taken over all workers, so that neither depends on how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Share:
    """The slots `first` to `last` of a global batch of `size`, which one of `world` workers learns."""

    size: int
    first: int
    last: int
    world: int

    @classmethod
    def of(cls, size: int, *, rank: int, world: int) -> Share:
        """The share of a worker; shares differ by one slot where `size` is no multiple of `world`."""
        return cls(size, size * rank // world, size * (rank + 1) // world, world)

    @property
    def weight(self) -> float:
        """What a mean over this share is multiplied by, so that the workers' mean is that of the batch."""
        return (self.last - self.first) * self.world / self.size


class SlotDropout(nn.Module):
    """Dropout whose mask is drawn for the whole batch: every worker seeded alike draws the same one."""

    def __init__(self, rate: float, share: Share) -> None:
        super().__init__()
        self.rate, self.share = rate, share

    def forward(self, x: Tensor) -> Tensor:
        """`x` (slots of the share, ...) with values dropped and the others scaled up."""
        if not self.training:
            return x
        ones = x.new_ones(self.share.size, *x.shape[1:])
        mask = functional.dropout(ones, self.rate, training=True)
        return x * mask[self.share.first : self.share.last]


class SharedNorm(nn.BatchNorm2d):
    """Batch normalisation by the statistics of all workers' samples, on any device.

    Torch's own SyncBatchNorm does the same on GPUs only. Variances are about the mean of all, not from
    sums of squares, so nothing cancels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`x` (N, C, H, W) normalised; running statistics move as in nn.BatchNorm2d."""
        if not self.training:
            return super().forward(x)
        number, mean, variance = _statistics(x)
        self._remember(mean, variance * (number / max(number - 1, 1)))
        rate = torch.rsqrt(variance + self.eps)
        normalised = _Normalised.apply(x, self.weight, self.bias, mean, rate, number)  # type: ignore[no-untyped-call]
        return cast(Tensor, normalised)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.momentum is not None
        cast(Tensor, self.num_batches_tracked).add_(1)
        cast(Tensor, self.running_mean).lerp_(mean, self.momentum)
        cast(Tensor, self.running_var).lerp_(variance, self.momentum)


def learn_in_shares(network: nn.Module, share: Share, device: torch.device) -> nn.Module:
    """Have a network's dropout and normalisation see the whole batch; parameters and names stay.

    Call it in the worker's process, with its process group up where there are several workers.
    """
    if share.world > 1 and device.type == "cuda":
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    _replace(network, share, device)
    return network


def mean_over_workers(mean: Tensor, share: Share) -> float:
    """The mean over the whole batch of a loss that is a mean over this share; all workers must call."""
    mean = mean.detach() * share.weight / share.world
    if share.world > 1:
        torch.distributed.all_reduce(mean)
    return float(mean)


def _replace(module: nn.Module, share: Share, device: torch.device) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Dropout):
            setattr(module, name, SlotDropout(child.p, share))
        elif isinstance(child, nn.BatchNorm2d) and share.world > 1 and device.type != "cuda":
            setattr(module, name, _shared(child))
        else:
            _replace(child, share, device)


def _shared(norm: nn.BatchNorm2d) -> SharedNorm:
    """The same layer (its parameters and buffers, not copies) with statistics of all workers."""
    shared = SharedNorm(norm.num_features, eps=norm.eps, momentum=norm.momentum)
    shared._parameters, shared._buffers = norm._parameters, norm._buffers
    return shared


class _Normalised(torch.autograd.Function):
    """Samples of one worker, normalised by the statistics of all: gradients flow through these too.

    In closed form (Ioffe and Szegedy 2015, section 3), which is up to twice as fast on a CPU as torch's own
    way back through means and variances.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rate: Tensor, number: float
    ) -> Tensor:
        """`x` (N, C, H, W) by mean and 1 / standard deviation (C,) of `number` values a channel."""
        ctx.save_for_backward(x, weight, mean, rate)
        ctx.number = number
        scale = weight * rate
        shift = bias - mean * scale
        return torch.addcmul(_each(shift), x.float(), _each(scale)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, weight and bias; those of a worker's own samples for the latter two."""
        x, weight, mean, rate = ctx.saved_tensors
        gradient = gradient.float()
        standard = (x.float() - _each(mean)).mul_(_each(rate))
        own = torch.stack([gradient.sum(_PIXELS), (gradient * standard).sum(_PIXELS)])
        shifted, stretched = _summed(own) / ctx.number
        through = standard.mul_(_each(stretched)).add_(_each(shifted))
        of_x = (gradient - through).mul_(_each(weight * rate)).to(x.dtype)
        return of_x, own[1], own[0], None, None, None


_PIXELS = (0, 2, 3)


def _each(channels: Tensor) -> Tensor:
    return channels[:, None, None]


@torch.no_grad()
def _statistics(x: Tensor) -> tuple[float, Tensor, Tensor]:
    """How many values a channel of `x` (N, C, H, W) has in all workers, their mean and variance (C,)."""
    values = x.float()
    mean = values.mean(_PIXELS)
    # Not by var_mean, which takes longer on channels that lie side by side.
    variance = (values - _each(mean)).square_().mean(_PIXELS)
    number = mean.new_full((1,), x.numel() / x.shape[1])
    sums = _summed(torch.cat([number, number * mean]))
    total, middle = sums[:1], sums[1:] / sums[:1]
    spread = _summed(number * (variance + (mean - middle).square())) / total
    return float(total), middle, spread


def _summed(values: Tensor) -> Tensor:
    """The sum of a tensor over all workers."""
    values = values.clone()
    torch.distributed.all_reduce(values)
    return values
