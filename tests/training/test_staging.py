"""Batches come in order, some of them cut ahead, none beyond the last iteration."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from pavemap.training.sampling.samples import Batch
from pavemap.training.shares import Share
from pavemap.training.staging import cut_ahead

CPU = torch.device("cpu")


class Numbered:
    """Batches of one pixel that say which iteration and slot they are."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def batch(self, iteration: int, *, size: int, first: int, last: int) -> Batch:
        assert size == 4
        self.asked.append(iteration)
        pixels = np.array([[[[iteration, slot, 255]]] for slot in range(first, last)], np.uint8)
        return Batch(pixels, np.ones((last - first, 1, 1), np.float32))


def test_batches_come_in_order_some_cut_ahead_and_none_beyond_the_last_iteration() -> None:
    sampler, half = Numbered(), Share.of(4, rank=1, world=2)
    with ThreadPoolExecutor(1) as pool:
        coming = cut_ahead(pool, sampler, half, CPU, iterations=range(3, 9), ahead=2)
        first = next(coming)
    assert first.pixels[:, 0, 0].tolist() == [[3, 2, 255], [3, 3, 255]]
    assert sampler.asked == [3, 4, 5]  # the pool has done what was asked of it
    with ThreadPoolExecutor(2) as pool:
        coming = cut_ahead(pool, sampler, half, CPU, iterations=range(3, 9), ahead=8)
        assert [int(batch.pixels[0, 0, 0, 0]) for batch in coming] == [3, 4, 5, 6, 7, 8]


def test_pixels_are_scaled_on_the_device() -> None:
    whole = Share.of(4, rank=0, world=1)
    with ThreadPoolExecutor(1) as pool:
        (only,) = cut_ahead(pool, Numbered(), whole, CPU, iterations=[0], ahead=1)
    pixels, labels, weights = only.on(CPU)
    assert pixels.shape == (4, 3, 1, 1)
    assert pixels[0, :, 0, 0].tolist() == [-1.0, -1.0, 1.0]
    assert labels.tolist() == [[[1.0]]] * 4
    assert weights is None
