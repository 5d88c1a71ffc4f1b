"""The networks on a GPU: bytes to probabilities in its memory, and with the copies there and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from rates import wait_for
from torch import Tensor

from pavemap.training.device import autocast, channels_last
from pavemap.training.networks.dense import DenseForm
from pavemap.training.networks.scaling import scaled

Pass = Callable[[], Tensor]

SLOTS = 3  # batches under way at once: one comes, one is computed, one goes


@dataclass(frozen=True)
class Work:
    """What is asked of a device: batches of extended tiles, for about so long."""

    device: torch.device
    batch: int
    tile_px: int
    seconds: float

    def chips(self, form: DenseForm, channels: int) -> Tensor:
        """Bytes (N, H, W, C) of a batch: tiles with the pixels around them that the form reads."""
        side = self.tile_px + form.pad_before + form.pad_after
        side += -side % form.alignment
        return torch.randint(0, 256, (self.batch, side, side, channels), dtype=torch.uint8)


class NetworkPass:
    """One pass of a dense form on a batch that lies in the device's memory, in bf16 and channels last."""

    def __init__(self, form: DenseForm, chips: Tensor, device: torch.device) -> None:
        self.form, self._device = channels_last(form, device), device
        self.chips = chips.to(device)

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """Probabilities as bytes (N, h, w)."""
        with autocast(self._device, "bf16"):
            probability = self.form(scaled(self.chips))
        found: Tensor = probability.mul(255.0).round_().to(torch.uint8)
        return found


def compiled(one: NetworkPass) -> NetworkPass:
    """The same pass, its kernels fused by torch.compile (a minute or so)."""
    one.form.compile(dynamic=False)
    return one


@torch.inference_mode()
def graphed(one: Pass, device: torch.device) -> Pass:
    """The same pass as one CUDA graph: the CPU starts all its kernels at once. On a CPU: as it is."""
    if device.type != "cuda":
        return one
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            one()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = one()

    def replay() -> Tensor:
        graph.replay()
        return found

    return replay


def megapixels_a_second(one: Pass, work: Work) -> float:
    """The rate of a pass, in pixels of the tiles themselves, their borders not counted."""
    for _ in range(2):
        one()
    wait_for(work.device)
    passes, started = 0, time.perf_counter()
    while time.perf_counter() - started < work.seconds:
        for _ in range(4):
            one()
        wait_for(work.device)
        passes += 4
    seconds = time.perf_counter() - started
    return passes * work.batch * work.tile_px**2 / seconds / 1e6


@torch.inference_mode()
def megapixels_a_second_with_copies(one: NetworkPass, run: Pass, work: Work) -> float:
    """The same with bytes that come from pinned memory and go back there, copies beside computing."""
    streams: Any = torch.cuda if work.device.type == "cuda" else torch.cpu
    pinned = work.device.type == "cuda"
    found = run()
    slots = [_Slot.of(one.chips, found, streams, pinned=pinned) for _ in range(SLOTS)]
    coming, going, computing = streams.Stream(), streams.Stream(), streams.current_stream()
    wait_for(work.device)
    passes, started = 0, time.perf_counter()
    while time.perf_counter() - started < work.seconds or passes < 2 * SLOTS:
        slot = slots[passes % SLOTS]
        slot.gone.synchronize()  # what it held has been taken; the CPU may fill it anew
        with streams.stream(coming):
            coming.wait_event(slot.read)
            slot.chips.copy_(slot.host_chips, non_blocking=True)
            slot.come.record(coming)
        computing.wait_event(slot.come)
        one.chips.copy_(slot.chips)  # a graph reads from one place
        slot.read.record(computing)
        slot.found.copy_(run())
        slot.done.record(computing)
        with streams.stream(going):
            going.wait_event(slot.done)
            slot.host_found.copy_(slot.found, non_blocking=True)
            slot.gone.record(going)
        passes += 1
    wait_for(work.device)
    seconds = time.perf_counter() - started
    return passes * work.batch * work.tile_px**2 / seconds / 1e6


@dataclass(frozen=True)
class _Slot:
    """A batch under way: its place on either side, and what has happened to it."""

    host_chips: Tensor
    chips: Tensor
    found: Tensor
    host_found: Tensor
    come: Any
    read: Any
    done: Any
    gone: Any

    @classmethod
    def of(cls, chips: Tensor, found: Tensor, streams: Any, *, pinned: bool) -> _Slot:
        return cls(
            torch.empty(chips.shape, dtype=torch.uint8, pin_memory=pinned).copy_(chips),
            torch.empty_like(chips),
            torch.empty_like(found),
            torch.empty(found.shape, dtype=torch.uint8, pin_memory=pinned),
            *(streams.Event() for _ in range(4)),
        )
