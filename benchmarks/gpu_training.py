"""The paper's training on a GPU: iterations a second fed in three ways, and the time of all 30,000."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rates import wait_for
from torch import Tensor

from pavemap.training.architectures import build_network, network_to_train, sampler_of
from pavemap.training.checkpoint import Progress
from pavemap.training.config import TrainConfig, parse_config
from pavemap.training.data.datasets import LabelledImage
from pavemap.training.device import autocast, channels_last
from pavemap.training.experiments.patches_on_device import Draw, PatchesOnDevice
from pavemap.training.loop import train_step
from pavemap.training.losses import loss_of
from pavemap.training.networks.fan2018 import FanNet
from pavemap.training.optimizing import fresh_progress
from pavemap.training.shares import Share
from pavemap.training.staging import cut_ahead

PAPERS_ITERATIONS = 30_000

Step = Callable[[], Tensor]
Steps = Generator[Step, None, None]


@dataclass(frozen=True)
class Speed:
    """So many iterations, in so many seconds, from one loss to another."""

    iterations: int
    seconds: float
    first_loss: float
    last_loss: float

    @property
    def whole_run_s(self) -> float:
        """The time of the paper's 30,000 iterations at this speed."""
        return PAPERS_ITERATIONS * self.seconds / self.iterations


def papers_config() -> TrainConfig:
    """The published recipe: 256 patches an iteration, one crack patch to three others."""
    return _config({"architecture_args": {"context": True}})


def survey_config() -> TrainConfig:
    """The default detector's training: eight crops, changed in every way."""
    change = {"flips": True, "scale_min": 0.5, "scale_max": 2.0, "light": 0.6, "noise": 0.3}
    return _config(
        {
            "architecture": "survey-unet",
            "architecture_args": {"width": 16},
            "batch_size": 8,
            "average_decay": 0.999,
            "augmentation": change,
        }
    )


def _config(values: dict[str, Any]) -> TrainConfig:
    unused = Path("unused")
    common = {"name": "speed", "output": unused, "data": [{"folder": unused}], "precision": "bf16"}
    return parse_config({**common, **values})


def drawn_images(count: int, height: int = 320, width: int = 480) -> list[LabelledImage]:
    """Noise with dark lines, of CrackForest's size: speed doesn't depend on what is seen."""
    rng = np.random.default_rng(0)
    images = []
    for number in range(count):
        crack = np.zeros((height, width), bool)
        rows = (rng.uniform(0.2, 0.8) * height + rng.normal(0, 1, width).cumsum()).astype(int)
        for offset in range(3):
            crack[np.clip(rows + offset, 0, height - 1), np.arange(width)] = True
        pixels = rng.normal(150, 12, (height, width, 3)) - 80 * crack[:, :, None]
        images.append(
            LabelledImage(
                name=f"{number:03d}",
                pixels=pixels.clip(0, 255).astype(np.uint8),
                crack=crack,
                ignore=np.zeros_like(crack),
            )
        )
    return images


def fresh(config: TrainConfig, device: torch.device) -> Progress:
    """A network with its optimizer on a device."""
    torch.manual_seed(config.seed)
    network = network_to_train(config)
    network = channels_last(network, device).train()
    return fresh_progress(network, config)


def as_trained(config: TrainConfig, images: list[LabelledImage], device: torch.device) -> Steps:
    """A step of `pavemap train`: `threads` batches are cut ahead, into pinned memory."""
    state = fresh(config, device)
    sampler = sampler_of(config, state.network, [images])
    whole = Share.of(config.batch_size, rank=0, world=1)
    with ThreadPoolExecutor(config.threads) as pool:
        batches = cut_ahead(
            pool, sampler, whole, device, iterations=itertools.count(), ahead=config.threads
        )

        def step() -> Tensor:
            return train_step(state.network, state, next(batches), config, device, whole)

        yield step


def patches_on_device(
    config: TrainConfig, images: list[LabelledImage], device: torch.device
) -> Steps:
    """A step with patches cut on the device, where the images lie."""
    yield _step_on_device(fresh(config, device), config, images, device)


def graphed_step(config: TrainConfig, images: list[LabelledImage], device: torch.device) -> Steps:
    """Patches, network, loss, gradients and Adam as one CUDA graph. On a CPU: as they are."""
    state = fresh(config, device)
    step = _step_on_device(state, config, images, device)
    if device.type != "cuda":
        yield step
        return
    for group in state.optimizer.param_groups:
        group["capturable"] = True
    aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay() -> Tensor:
        graph.replay()
        return loss

    yield replay


def measure(steps: Steps, iterations: int, device: torch.device) -> Speed:
    """The speed of so many iterations, after a few to warm up."""
    step = next(steps)
    first = float(step())
    for _ in range(4):
        step()
    wait_for(device)
    started = time.perf_counter()
    for _ in range(iterations):
        loss = step()
    wait_for(device)
    seconds = time.perf_counter() - started
    last = float(loss)
    steps.close()
    return Speed(iterations, seconds, first, last)


def sampler_rate(config: TrainConfig, images: list[LabelledImage], batches: int) -> float:
    """Batches a second that one thread cuts with nothing else to do."""
    network = build_network(config.architecture, config.architecture_args)
    sampler = sampler_of(config, network, [images])
    size = config.batch_size
    sampler.batch(0, size=size, first=0, last=size)
    started = time.perf_counter()
    for iteration in range(batches):
        sampler.batch(iteration, size=size, first=0, last=size)
    return batches / (time.perf_counter() - started)


def _step_on_device(
    state: Progress, config: TrainConfig, images: list[LabelledImage], device: torch.device
) -> Step:
    assert isinstance(state.network, FanNet)
    patches = PatchesOnDevice(images, state.network, Draw(), device=device)

    def step() -> Tensor:
        pixels, labels, _ = patches.batch(config.batch_size)
        with autocast(device, config.precision):
            logits = state.network(pixels)
        loss = loss_of(logits.float(), labels, None, kind=config.loss)
        state.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        state.optimizer.step()
        return loss.detach()

    return step
