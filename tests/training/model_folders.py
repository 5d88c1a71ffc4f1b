"""Small untrained models in folders, as a run would leave them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from pavemap.geo.file_digest import file_digest
from pavemap.training.architectures import build_network
from pavemap.training.models.card import WEIGHTS_FILE, ModelCard, write_card
from pavemap.training.networks.dense import dense_form


def write_model_folder(
    folder: Path,
    *,
    architecture: str = "survey-unet",
    arguments: dict[str, int | bool] | None = None,
    channels: int = 3,
    learnt: bool = False,
    data: Sequence[str] = (),
    threshold: float = 0.5,
    seed: int = 0,
) -> Path:
    """A valid model folder with weights of a seed; `learnt`: its context says something, too."""
    folder.mkdir(parents=True)
    torch.manual_seed(seed)
    network = build_network(architecture, arguments or {}, channels=channels)
    if architecture == "survey-unet":  # a fresh one says "sound" everywhere
        torch.nn.init.normal_(network.get_submodule("head").get_parameter("weight"))
    if learnt:
        torch.nn.init.normal_(network.get_submodule("wide.4").get_parameter("weight"))
    save_file(network.state_dict(), folder / WEIGHTS_FILE)
    card = ModelCard(
        name="drawn",
        architecture=architecture,
        architecture_args=arguments or {},
        channels=channels,
        gsd_m=0.002,
        gsd_range_m=(0.001, 0.004),
        reach_px=dense_form(network, stride=1).reach_px,
        threshold=threshold,
        data=list(data),
        digest=file_digest(folder / WEIGHTS_FILE),
        created="2026-01-01T00:00:00+00:00",
    )
    write_card(card, folder)
    return folder
