"""The training loop that every Ray Train worker runs."""

from __future__ import annotations

import json
import math
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray.train
import ray.train.torch
import torch
from torch import Tensor, nn

from pavemap.training.architectures import build_sampler, network_to_train
from pavemap.training.checkpoint import Progress
from pavemap.training.config import TrainConfig
from pavemap.training.data.datasets import fingerprint
from pavemap.training.deciding import identity_of
from pavemap.training.device import channels_last, flush_subnormals
from pavemap.training.errors import TrainingFailed
from pavemap.training.optimizing import fresh_progress, optimizer_step, seed_iteration
from pavemap.training.progress_file import PROGRESS_FILE, append_line
from pavemap.training.shares import Share, learn_in_shares, mean_over_workers
from pavemap.training.staging import Staged, cut_ahead


def train_worker(payload: dict[str, Any]) -> None:
    """Fit the configured network; runs on each worker of a TorchTrainer.

    `payload` holds the configuration's `settings` and the weights to `start` from, or None for fresh ones.

    A batch, its dropout included, depends on (seed, iteration) alone, and each worker learns its
    share of it, so a run resumed from a checkpoint goes on exactly as if nothing had happened, by
    rounding even where fewer or more workers are left. `ray.train.report` is a barrier: every rank
    reports at the same iterations, rank 0 with the checkpoint.
    """
    config = TrainConfig.model_validate(payload["settings"])
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()
    torch.set_num_threads(config.threads)
    flush_subnormals(True)
    torch.manual_seed(config.seed)
    network = network_to_train(config)
    if payload["start"] is not None:
        network.load_state_dict(payload["start"])
    sampler = build_sampler(config, network)
    device = ray.train.torch.get_device()
    share = Share.of(config.batch_size, rank=rank, world=world)
    network = channels_last(learn_in_shares(network, share, device), device)
    state = fresh_progress(network, config)
    state.data, state.settings = fingerprint(config.data), identity_of(config, payload["start"])
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            state.restore(Path(folder), device=device)
    refuse_fewer_iterations(config, learnt=state.iteration)
    model = ray.train.torch.prepare_model(network) if world > 1 else network
    model.train()

    meter = Meter()
    with ThreadPoolExecutor(config.threads) as pool:
        left = range(state.iteration, config.iterations)
        batches = cut_ahead(pool, sampler, share, device, iterations=left, ahead=config.threads)
        while state.iteration < config.iterations:
            with meter.waiting():
                batch = next(batches)
            meter.losses.append(train_step(model, state, batch, config, device, share))
            done = state.iteration >= config.iterations
            saves = done or state.iteration % config.checkpoint_every == 0
            if saves or state.iteration % config.report_every == 0:
                metrics = {
                    "iteration": state.iteration,
                    "iterations": config.iterations,
                    "learning_rate": state.optimizer.param_groups[0]["lr"],
                    "workers": world,
                    **meter.read(share),
                }
                if not math.isfinite(metrics["loss"]):
                    raise FloatingPointError("the loss is not finite; lower learning_rate")
                _report(state, metrics, config, rank=rank, saves=saves)
                meter = Meter()


@dataclass
class Meter:
    """Losses and times since the last report."""

    losses: list[Tensor] = field(default_factory=list)
    waited_s: float = 0.0  # for the sampler
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of a block as waiting for a batch."""
        started = time.monotonic()
        yield
        self.waited_s += time.monotonic() - started

    def read(self, share: Share) -> dict[str, float]:
        """The mean loss and samples a second of all workers, seconds, and the share spent waiting."""
        loss = mean_over_workers(torch.stack(self.losses).mean(), share)
        seconds = max(time.monotonic() - self.started, 1e-9)
        return {
            "loss": loss,
            "seconds": round(seconds, 3),
            "samples_per_s": round(len(self.losses) * share.size / seconds, 1),
            "waited": round(self.waited_s / seconds, 4),
        }


def train_step(
    model: nn.Module,
    state: Progress,
    batch: Staged,
    config: TrainConfig,
    device: torch.device,
    share: Share,
) -> Tensor:
    """One iteration on a worker's share of a batch; the loss, a mean over that share."""
    seed_iteration(config, state.iteration)
    return optimizer_step(model, state, batch.on(device), config, share=share.weight)


def refuse_fewer_iterations(config: TrainConfig, *, learnt: int) -> None:
    """Raise TrainingFailed where a run has learnt for more iterations already than are asked for."""
    if learnt > config.iterations:
        raise TrainingFailed(
            f"{config.name} has learnt for {learnt} iterations already, more than the "
            f"{config.iterations} asked for; give the run another name, or more iterations"
        )


def _report(
    state: Progress, metrics: dict[str, Any], config: TrainConfig, *, rank: int, saves: bool
) -> None:
    if rank == 0:
        line = {"run": config.name, **metrics}
        append_line(config.output / PROGRESS_FILE, json.dumps(line))
    if not (rank == 0 and saves):
        ray.train.report(metrics)
        return
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / f"iteration-{state.iteration:07d}"
        state.save(saved)
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(saved))
