"""Any number of workers learns what one would: dropout and normalisation of the whole batch, in shares.

A worker holds some slots of the global batch. Its dropout mask is cut from one that is drawn for all slots,
and batch statistics are taken over all workers, so that neither depends on how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.distributed
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
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

    Torch's own SyncBatchNorm does the same on GPUs only. Means and variances are gathered, not
    sums of squares, so nothing cancels.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`x` (N, C, H, W) normalised; running statistics move as in nn.BatchNorm2d."""
        if not self.training:
            return super().forward(x)
        variance, mean = torch.var_mean(x.float(), (0, 2, 3), correction=0)
        number = x.numel() // x.shape[1]
        numbers, means, variances = _gathered(number, mean, variance)
        total = numbers.sum()
        mean = (numbers * means).sum(0) / total
        variance = (numbers * (variances + (means - mean).square())).sum(0) / total
        self._remember(mean.detach(), variance.detach() * (total / (total - 1)))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return torch.addcmul(shift.to(x.dtype)[:, None, None], x, scale.to(x.dtype)[:, None, None])

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


def _gathered(number: int, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each worker's number (W, 1), means (W, C) and variances (W, C); gradients flow back to all."""
    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    own = torch.cat([mean.new_full((1,), float(number)), mean, variance])
    before, after = own.new_zeros(rank, len(own)), own.new_zeros(world - rank - 1, len(own))
    rows = all_reduce(torch.cat([before, own[None], after]))  # type: ignore[no-untyped-call]
    channels = len(mean)
    return rows[:, :1], rows[:, 1 : 1 + channels], rows[:, 1 + channels :]
