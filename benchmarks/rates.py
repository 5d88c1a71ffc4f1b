"""What a processor's matrix units do, and what a network asks of them, to hold one against the other."""

from __future__ import annotations

import copy
import statistics
import time

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has done what it was told; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def matrix_rate(
    device: torch.device, dtype: torch.dtype, *, side: int = 2048, repeats: int = 5
) -> float:
    """Floating point operations a second of a square matrix product: the median over repeats."""
    one = torch.randn(side, side, device=device).to(dtype)
    other = torch.randn(side, side, device=device).to(dtype)
    times = []
    for repeat in range(repeats + 2):
        wait_for(device)
        started = time.perf_counter()
        one @ other
        wait_for(device)
        if repeat >= 2:  # the first ones choose kernels and wake the processor
            times.append(time.perf_counter() - started)
    return 2 * side**3 / statistics.median(times)


def flop_per_pixel(form: nn.Module, *, channels: int = 3, side: int = 1024) -> float:
    """Floating point operations of a dense form for each pixel it gives (two a multiply-add)."""
    shapes = copy.deepcopy(form).to("meta")  # nothing is computed
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        found = shapes(torch.zeros(1, channels, side, side, device="meta"))
    return float(counter.get_total_flops() / found.numel())
