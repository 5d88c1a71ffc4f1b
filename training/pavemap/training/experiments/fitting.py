"""One training run in this process, resumable: Ray Train's steps without its start, for many short runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from pavemap.training.architectures import sampler_of
from pavemap.training.checkpoint import Progress
from pavemap.training.config import TrainConfig
from pavemap.training.device import channels_last, flush_subnormals
from pavemap.training.experiments.images import Images
from pavemap.training.experiments.patches_on_device import Draw, PatchesOnDevice
from pavemap.training.experiments.trainings import Training
from pavemap.training.networks.fan2018 import FanNet
from pavemap.training.optimizing import Tensors, fresh_progress, optimizer_step, seed_iteration
from pavemap.training.shares import Share
from pavemap.training.staging import cut_ahead
from pavemap.training.start import former_weights, starting_network, with_former

Next = Callable[[], Tensors]
SAVED_EVERY = 1000
REPORTED_EVERY = 250
AHEAD = 8  # batches of crops cut while one is learnt


@dataclass(frozen=True)
class Trained:
    """A network with its final weights, and how it came to them."""

    network: nn.Module
    losses: list[tuple[int, float]]  # iteration, mean loss since the last one
    seconds: float  # of iterations, earlier sessions included
    checkpoint: Path  # where its last state is kept


def fit_patches(
    config: TrainConfig, draw: Draw, images: Images, *, device: torch.device, trainings: Path
) -> Trained:
    """Train the paper's network on patches of `images`; goes on from what `trainings` keeps of it."""
    network = channels_last(starting_network(config), device).train()
    assert isinstance(network, FanNet)
    patches = PatchesOnDevice(images, network, draw, device=device)
    training = Training.of(trainings, config, [images], draw)
    return _fit(
        config, network, lambda _: partial(patches.batch, config.batch_size), device, training
    )


def fit_batches(
    config: TrainConfig, sets: Sequence[Images], *, device: torch.device, trainings: Path
) -> Trained:
    """Train any network of a configuration on image sets, weighted as its sources."""
    network = channels_last(starting_network(config), device).train()
    sampler = sampler_of(config, network, sets)
    whole = Share.of(config.batch_size, rank=0, world=1)
    with ThreadPoolExecutor(max(1, config.threads)) as pool:

        def batches(first: int) -> Next:
            left = range(first, config.iterations)
            coming = cut_ahead(pool, sampler, whole, device, iterations=left, ahead=AHEAD)
            return lambda: next(coming).on(device)

        training = Training.of(trainings, config, sets)
        return _fit(config, network, batches, device, training)


def _fit(
    config: TrainConfig,
    network: nn.Module,
    batches: Callable[[int], Next],
    device: torch.device,
    training: Training,
) -> Trained:
    state = fresh_progress(network, config)
    with training.alone(), _processor(config.threads):
        losses, before_s = training.resume(state, iterations=config.iterations, device=device)
        started = time.monotonic()
        recent: list[Tensor] = []
        following = batches(state.iteration)
        while state.iteration < config.iterations:
            recent.append(_step(config, state, following))
            ended = state.iteration == config.iterations
            if state.iteration % REPORTED_EVERY == 0 or ended:
                losses.append((state.iteration, float(torch.stack(recent).mean())))
                recent.clear()
            if state.iteration % SAVED_EVERY == 0 or ended:
                training.save(state, losses, before_s + time.monotonic() - started)
        seconds = before_s + time.monotonic() - started
    learnt = network.state_dict() if state.average is None else state.average
    network.load_state_dict(with_former(learnt, former_weights(config), config.start_share))
    return Trained(network.eval(), losses, seconds, training.checkpoint(state.iteration))


def _step(config: TrainConfig, state: Progress, following: Next) -> Tensor:
    """One iteration; patches and dropout depend on the seed and the iteration alone."""
    seed_iteration(config, state.iteration)
    return optimizer_step(state.network, state, following(), config)


@contextmanager
def _processor(threads: int) -> Iterator[None]:
    former = torch.get_num_threads()
    torch.set_num_threads(threads)
    flush_subnormals(True)
    try:
        yield
    finally:
        torch.set_num_threads(former)
        flush_subnormals(False)
