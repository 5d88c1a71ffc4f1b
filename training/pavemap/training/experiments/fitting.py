"""One training run in this process, resumable: Ray Train's steps without its start, for many short runs."""

from __future__ import annotations

import json
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from pavemap.training.architectures import build_network, loss_of, scaled
from pavemap.training.checkpoint import Progress, update_average
from pavemap.training.config import TrainConfig
from pavemap.training.device import autocast, channels_last
from pavemap.training.experiments.images import Images
from pavemap.training.experiments.patches_on_device import Draw, PatchesOnDevice
from pavemap.training.loop import learning_rate, make_optimizer
from pavemap.training.network import FanNet
from pavemap.training.samples import Batch, Sampler
from pavemap.training.start import start_weights

Next = Callable[[], tuple[Tensor, Tensor, Tensor | None]]  # pixels, labels, weights
SAVED_EVERY = 1000
REPORTED_EVERY = 250
LOG = "losses.json"
AHEAD = 8  # batches of crops cut while one is learnt


@dataclass(frozen=True)
class Trained:
    """A network with its final weights, and how it came to them."""

    network: nn.Module
    losses: list[tuple[int, float]]  # iteration, mean loss since the last one
    seconds: float  # of iterations, earlier sessions included


def fit_patches(
    config: TrainConfig, draw: Draw, images: Images, *, device: torch.device, checkpoints: Path
) -> Trained:
    """Train the paper's network on patches of `images`; goes on from the last checkpoint."""
    network = _fresh(config, device)
    assert isinstance(network, FanNet)
    patches = PatchesOnDevice(images, network, draw, device=device)

    def following() -> tuple[Tensor, Tensor, Tensor | None]:
        pixels, labels = patches.batch(config.batch_size)
        return pixels, labels, None

    return _fit(config, network, lambda _: following, device, checkpoints)


def fit_batches(
    config: TrainConfig,
    sampler_of: Callable[[nn.Module], Sampler],
    *,
    device: torch.device,
    checkpoints: Path,
) -> Trained:
    """Train any network of a configuration on a sampler's batches, several of them cut ahead."""
    network = _fresh(config, device)
    sampler = sampler_of(network)
    with ThreadPoolExecutor(max(1, config.threads)) as pool:

        def batches(first: int) -> Next:
            coming = _ahead(pool, sampler, config, first)

            def following() -> tuple[Tensor, Tensor, Tensor | None]:
                batch = next(coming)
                weights = None if batch.weights is None else torch.from_numpy(batch.weights)
                return (
                    scaled(torch.from_numpy(batch.pixels).to(device)),
                    torch.from_numpy(batch.labels).to(device),
                    None if weights is None else weights.to(device),
                )

            return following

        return _fit(config, network, batches, device, checkpoints)


def _fresh(config: TrainConfig, device: torch.device) -> nn.Module:
    torch.manual_seed(config.seed)
    network = build_network(config.architecture, config.architecture_args)
    start = start_weights(config)
    if start is not None:
        network.load_state_dict(start)
    return channels_last(network, device).train()


def _ahead(
    pool: ThreadPoolExecutor, sampler: Sampler, config: TrainConfig, first: int
) -> Iterator[Batch]:
    size = config.batch_size
    waiting: deque[Future[Batch]] = deque()
    for iteration in range(first, config.iterations):
        waiting.append(pool.submit(sampler.batch, iteration, size=size, first=0, last=size))
        if len(waiting) >= AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _fit(
    config: TrainConfig,
    network: nn.Module,
    batches: Callable[[int], Next],
    device: torch.device,
    checkpoints: Path,
) -> Trained:
    average = None
    if config.average_decay:
        average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    state = Progress(network, make_optimizer(network, config), average)
    losses, before_s = _resumed(state, checkpoints, device)
    started = time.monotonic()
    recent: list[Tensor] = []
    following = batches(state.iteration)
    with _threads(config.threads):
        while state.iteration < config.iterations:
            recent.append(_step(config, state, following, device))
            if state.iteration % REPORTED_EVERY == 0 or state.iteration == config.iterations:
                losses.append((state.iteration, float(torch.stack(recent).mean())))
                recent.clear()
            if state.iteration % SAVED_EVERY == 0 and state.iteration < config.iterations:
                _save(state, checkpoints, losses, before_s + time.monotonic() - started)
    seconds = before_s + time.monotonic() - started
    if state.average is not None:
        network.load_state_dict(state.average)
    shutil.rmtree(checkpoints, ignore_errors=True)  # the run is about to be written down whole
    return Trained(network.eval(), losses, seconds)


def _step(config: TrainConfig, state: Progress, following: Next, device: torch.device) -> Tensor:
    """One iteration; patches and dropout depend on the seed and the iteration alone."""
    torch.manual_seed(
        int(np.random.SeedSequence((config.seed, state.iteration)).generate_state(1)[0])
    )
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(config, state.iteration)
    pixels, labels, weights = following()
    with autocast(device, config.precision):
        logits = state.network(pixels)
    loss = loss_of(logits.float(), labels, weights)
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    state.optimizer.step()
    state.iteration += 1
    if state.average is not None:
        update_average(
            state.average, state.network, decay=config.average_decay, iteration=state.iteration
        )
    return loss.detach()


def _save(
    state: Progress, checkpoints: Path, losses: list[tuple[int, float]], seconds: float
) -> None:
    former = _saved(checkpoints)
    folder = checkpoints / f"iteration-{state.iteration:07d}"
    checkpoints.mkdir(parents=True, exist_ok=True)
    log = checkpoints / f"{state.iteration:07d}-{LOG}"
    log.write_text(json.dumps({"losses": losses, "seconds": seconds}))
    state.save(folder)
    for old in former:
        shutil.rmtree(old)


def _resumed(
    state: Progress, checkpoints: Path, device: torch.device
) -> tuple[list[tuple[int, float]], float]:
    saved = _saved(checkpoints)
    if not saved:
        return [], 0.0
    state.restore(saved[-1], device=device)
    log = json.loads((checkpoints / f"{state.iteration:07d}-{LOG}").read_text())
    return [(int(at), float(loss)) for at, loss in log["losses"]], float(log["seconds"])


def _saved(checkpoints: Path) -> list[Path]:
    return sorted(checkpoints.glob("iteration-*"))


@contextmanager
def _threads(number: int) -> Iterator[None]:
    former = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(former)
