"""What a training starts from: fresh weights, or those of a finished model that learns on."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pavemap.geo.errors import PavemapError
from pavemap.training.architectures import build_network, network_to_train
from pavemap.training.config import TrainConfig
from pavemap.training.errors import BadModel, BadTrainingConfig
from pavemap.training.models.card import ModelCard, checked_weights, read_card
from pavemap.training.models.model_registry import ModelRegistry
from pavemap.training.models.shipped_models import find_model_folder
from pavemap.training.networks.wider import widened

Weights = dict[str, Tensor]
# A level that a network may be given later; its last layer is zero then, so that it changes nothing yet.
ADDED, ADDED_LAST = "wide.", "wide.4."


def starting_network(config: TrainConfig) -> nn.Module:
    """A configuration's network as its training begins: with the weights that it starts from."""
    torch.manual_seed(config.seed)
    network = network_to_train(config)
    start = start_weights(config)
    if start is not None:
        network.load_state_dict(start)
    return network


def start_weights(config: TrainConfig, registry: ModelRegistry | None = None) -> Weights | None:
    """All weights to start with: those of `former_weights`, fresh where the network was added to."""
    return completed(former_weights(config, registry), config)


def former_weights(config: TrainConfig, registry: ModelRegistry | None = None) -> Weights | None:
    """The weights of the model that `start_from` names, or None for a fresh start.

    It is looked for among the shipped models, as a folder and, with a `registry`, among the
    platform's model versions. Where the configuration's network is several times as wide, they are
    widened to it. Raises BadTrainingConfig when there is no such model, when it is damaged, or
    when it is of another network than the configuration's.
    """
    if config.start_from is None:
        return None
    try:
        folder = _folder(config.start_from, registry)
        card = read_card(folder)
        path = checked_weights(folder, card)
    except PavemapError as exc:
        raise BadTrainingConfig(f"start_from: {exc}") from exc
    fresh = _fresh(config)
    weights: Weights = widened(load_file(path), fresh, seed=config.seed)
    same_shapes = _shapes(fresh) == _shapes(completed(weights, config) or {})
    if not same_shapes or _border(card) != _border(config):
        arguments = ", ".join(f"{name} = {value}" for name, value in card.architecture_args.items())
        raise BadTrainingConfig(
            f"start_from: {card.model_id} is a {card.architecture} ({arguments}), not the network "
            f"configured here; give architecture and architecture_args as its card does, or a width that "
            "is a multiple of its"
        )
    return weights


def with_its_vectorize(config: TrainConfig, registry: ModelRegistry | None = None) -> TrainConfig:
    """The configuration with the vectoriser's parameters of what it starts from, where it gives none."""
    if config.vectorize is not None or config.start_from is None:
        return config
    card = read_card(_folder(config.start_from, registry))
    return config.model_copy(update={"vectorize": card.vectorize})


def completed(former: Weights | None, config: TrainConfig) -> Weights | None:
    """Former weights with fresh ones for a level that the configuration adds."""
    if former is None:
        return None
    added = {name: value for name, value in _fresh(config).items() if name.startswith(ADDED)}
    return {**added, **former}


def with_former(weights: Weights, former: Weights | None, share: float) -> Weights:
    """Trained weights, moved by a share of the way back to those that the training started from.

    Few images of one road make a model forget others; on the way between its former weights and the new
    ones lies one that knows both (Wortsman et al., *Robust fine-tuning of zero-shot models*, 2022).
    """
    if former is None or not share:
        return weights

    def mixed(name: str, value: Tensor) -> Tensor:
        if name in former and value.is_floating_point():
            return value.lerp(former[name].to(value), share)
        return value * (1 - share) if name.startswith(ADDED_LAST) else value

    return {name: mixed(name, value) for name, value in weights.items()}


def _fresh(config: TrainConfig) -> Weights:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        weights: Weights = build_network(config.architecture, config.architecture_args).state_dict()
    return weights


def _border(model: ModelCard | TrainConfig) -> bool | None:
    """Whether the paper's network sees the image around its patches: its weights don't tell."""
    fan = model.architecture == "fan2018"
    return bool(model.architecture_args.get("context", True)) if fan else None


def _shapes(weights: Weights) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}


def _folder(name: str, registry: ModelRegistry | None) -> Path:
    try:
        return find_model_folder(name)
    except BadModel:
        if registry is None:
            raise
        return registry.folder(name)
