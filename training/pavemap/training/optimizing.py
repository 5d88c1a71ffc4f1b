"""What one iteration changes: the seed, the rate, the optimizer, and the step that they make."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from pavemap.training.checkpoint import Progress, update_average
from pavemap.training.config import TrainConfig
from pavemap.training.device import autocast
from pavemap.training.losses import loss_of

Tensors = tuple[Tensor, Tensor, Tensor | None]
"""A batch on the network's device: scaled pixels (N, C, P, P), labels and weights (N, s, s)."""


def fresh_progress(network: nn.Module, config: TrainConfig) -> Progress:
    """A network before its first iteration: an optimizer and, where one is kept, a running average."""
    average = None
    if config.average_decay:
        average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    return Progress(network, make_optimizer(network, config), average)


def seed_iteration(config: TrainConfig, iteration: int) -> None:
    """Seed torch for an iteration: what it draws, as dropout, depends on seed and iteration alone."""
    seeds = np.random.SeedSequence((config.seed, iteration))
    torch.manual_seed(int(seeds.generate_state(1)[0]))


def optimizer_step(
    model: nn.Module, state: Progress, batch: Tensors, config: TrainConfig, *, share: float = 1.0
) -> Tensor:
    """Learn a batch, and let the running average follow; the loss.

    Gradients are multiplied by `share`, which is 1 where no other worker learns a part of the batch.
    What is random, as dropout, is drawn by torch's seed of the moment (`seed_iteration`).
    """
    pixels, labels, weights = batch
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(config, state.iteration)
    with autocast(pixels.device, config.precision):
        logits = model(pixels)
    loss = loss_of(logits.float(), labels, weights, kind=config.loss)
    state.optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss * share)
    state.optimizer.step()
    state.iteration += 1
    if state.average is not None:
        update_average(
            state.average, state.network, decay=config.average_decay, iteration=state.iteration
        )
    return loss.detach()


def learning_rate(config: TrainConfig, iteration: int) -> float:
    """The rate of an iteration: constant, or warmed up over 2 % and annealed by a half cosine."""
    if config.schedule == "constant":
        return config.learning_rate
    warm = max(1, config.iterations // 50)
    if iteration < warm:
        return config.learning_rate * (iteration + 1) / warm
    done = (iteration - warm) / max(1, config.iterations - warm)
    return config.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Adam with its published defaults; the penalty on weights (not biases, not norms) added to the loss.

    beta/2 * sum(W^2) in the loss is `weight_decay=beta` in Adam's gradient (not AdamW's decoupled decay).
    """
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if config.architecture == "fan2018":
        return torch.optim.Adam(groups, lr=config.learning_rate)
    return torch.optim.AdamW(groups, lr=config.learning_rate)
