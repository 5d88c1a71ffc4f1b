"""What a training starts from: fresh weights, or those of a finished model that learns on."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from pavemap.geo.errors import PavemapError
from pavemap.training.architectures import build_network
from pavemap.training.card import checked_weights, read_card
from pavemap.training.config import TrainConfig
from pavemap.training.errors import BadModel, BadTrainingConfig
from pavemap.training.registrar import Registrar
from pavemap.training.registry import find_model

Weights = dict[str, Tensor]
ADDED = "wide."  # a level that a network may be given later: it changes nothing before it learns


def start_weights(config: TrainConfig, registrar: Registrar | None = None) -> Weights | None:
    """The weights that `start_from` names, or None for fresh ones.

    It is looked for among the shipped models, as a folder and, with a `registrar`, among the
    platform's model versions. Raises BadTrainingConfig when there is none, when it is damaged, or
    when it is of another network than the configuration's.
    """
    if config.start_from is None:
        return None
    try:
        folder = _folder(config.start_from, registrar)
        card = read_card(folder)
        path = checked_weights(folder, card)
    except PavemapError as exc:
        raise BadTrainingConfig(f"start_from: {exc}") from exc
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        fresh = build_network(config.architecture, config.architecture_args).state_dict()
    weights: Weights = load_file(path)
    added = {name: value for name, value in fresh.items() if name.startswith(ADDED)}
    weights = {**added, **weights}
    wanted = {name: tuple(value.shape) for name, value in fresh.items()}
    if wanted != {name: tuple(value.shape) for name, value in weights.items()}:
        arguments = ", ".join(f"{name} = {value}" for name, value in card.architecture_args.items())
        raise BadTrainingConfig(
            f"start_from: {card.model_id} is a {card.architecture} ({arguments}), not the network "
            f"configured here; give architecture and architecture_args as its card does."
        )
    return weights


def _folder(name: str, registrar: Registrar | None) -> Path:
    try:
        return find_model(name)
    except BadModel:
        if registrar is None:
            raise
        return registrar.folder(name)
