"""Batches on their way to a network: cut ahead by threads, made tensors, brought to its device."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pavemap.training.networks.scaling import scaled
from pavemap.training.optimizing import Tensors
from pavemap.training.sampling.samples import Batch, Sampler
from pavemap.training.shares import Share


@dataclass(frozen=True)
class Staged:
    """A share of a batch as tensors: in memory that a GPU copies from by itself, where there is one."""

    pixels: Tensor
    labels: Tensor
    weights: Tensor | None

    @classmethod
    def of(cls, batch: Batch, device: torch.device) -> Staged:
        """Make a sampler's batch ready for a device."""

        def ready(array: NDArray[Any]) -> Tensor:
            tensor = torch.from_numpy(np.ascontiguousarray(array))
            return tensor.pin_memory() if device.type == "cuda" else tensor

        weights = None if batch.weights is None else ready(batch.weights)
        return cls(ready(batch.pixels), ready(batch.labels), weights)

    def on(self, device: torch.device) -> Tensors:
        """The batch on its device, pixels scaled there."""
        weights = None if self.weights is None else self.weights.to(device, non_blocking=True)
        return (
            scaled(self.pixels.to(device, non_blocking=True)),
            self.labels.to(device, non_blocking=True),
            weights,
        )


def cut_ahead(
    pool: Executor,
    sampler: Sampler,
    share: Share,
    device: torch.device,
    *,
    iterations: Iterable[int],
    ahead: int,
) -> Iterator[Staged]:
    """The batches of iterations, one after the other; so many are cut while one is learnt."""

    def cut(iteration: int) -> Staged:
        batch = sampler.batch(iteration, size=share.size, first=share.first, last=share.last)
        return Staged.of(batch, device)

    left = iter(iterations)
    coming = deque(pool.submit(cut, iteration) for iteration in islice(left, ahead))
    while coming:
        batch = coming.popleft().result()
        coming.extend(pool.submit(cut, iteration) for iteration in islice(left, 1))
        yield batch
