"""Checkpoints of a training run: weights, averaged weights, optimizer, random state, iteration."""

from __future__ import annotations

import json
import shutil
import uuid
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pavemap.training.deciding import differing
from pavemap.training.errors import TrainingFailed

WEIGHTS, AVERAGE, OPTIMIZER, STATE = (
    "weights.safetensors",
    "average.safetensors",
    "optimizer.pt",
    "state.json",
)

TAUGHT_BY = "contents"


@dataclass
class Progress:
    """All that changes while training."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    average: dict[str, Tensor] | None
    iteration: int = 0
    data: str = ""
    """Fingerprint of the training sets (`datasets.fingerprint`); empty where it is not looked at."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings that decide the weights (`deciding.identity_of`); empty where they are not looked at."""

    def save(self, folder: Path) -> None:
        """Write a checkpoint: into a temporary folder first, then renamed, so it is whole or absent."""
        temporary = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
        temporary.mkdir(parents=True)
        try:
            save_file(_plain(self.network.state_dict()), temporary / WEIGHTS)
            if self.average is not None:
                save_file(_plain(self.average), temporary / AVERAGE)
            torch.save(
                {"optimizer": self.optimizer.state_dict(), "random": torch.get_rng_state()},
                temporary / OPTIMIZER,
            )
            state = {
                "iteration": self.iteration,
                TAUGHT_BY: self.data,
                "settings": self.settings,
            }
            (temporary / STATE).write_text(json.dumps(state))
            temporary.replace(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def restore(self, folder: Path, *, device: torch.device) -> None:
        """Go on from a checkpoint.

        Raises TrainingFailed when it doesn't fit the configuration, was made with other settings or
        was taught by other images.
        """
        try:
            state = json.loads((folder / STATE).read_text())
            taught_by = state[TAUGHT_BY]
            if taught_by and self.data and taught_by != self.data:
                raise ValueError("the training sets have changed since it was written")
            made_with = state["settings"]
            if made_with and self.settings and (other := differing(made_with, self.settings)):
                raise ValueError(f"it was made with another {other}")
            self.network.load_state_dict(load_file(folder / WEIGHTS, device=str(device)))
            saved: dict[str, Any] = torch.load(
                folder / OPTIMIZER, map_location=device, weights_only=True
            )
            self.optimizer.load_state_dict(saved["optimizer"])
            torch.set_rng_state(saved["random"].cpu())
            if self.average is not None:
                self.average = load_file(folder / AVERAGE, device=str(device))
        except (OSError, KeyError, ValueError, RuntimeError) as exc:
            raise TrainingFailed(
                f"the checkpoint {folder} doesn't fit this configuration: {exc}; "
                "give the run another name, or its former settings"
            ) from exc
        self.iteration = int(state["iteration"])


def is_whole(folder: Path, *, averaged: bool) -> bool:
    """Whether a checkpoint has all its files, none of them cut short."""
    try:
        saved_iteration(folder)
        for name in (WEIGHTS, AVERAGE) if averaged else (WEIGHTS,):
            with safe_open(folder / name, framework="pt"):
                pass  # to open it compares its length with what its header says
    except (OSError, ValueError, KeyError, SafetensorError):
        return False
    # torch writes a ZIP, whose list of files comes last.
    return zipfile.is_zipfile(folder / OPTIMIZER)


def final_weights(folder: Path) -> dict[str, Tensor]:
    """The weights to use from a checkpoint: the averaged ones when the run kept an average."""
    average = folder / AVERAGE
    return load_file(average if average.exists() else folder / WEIGHTS)


def update_average(
    average: dict[str, Tensor], network: nn.Module, *, decay: float, iteration: int
) -> None:
    """Move the running average of weights and normalisation statistics towards the network's.

    Early on the average follows faster, else the first weights would weigh on it for long.
    """
    share = 1 - min(decay, (1 + iteration) / (10 + iteration))
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            average[name].lerp_(value.detach().to(average[name].dtype), share)
        else:
            average[name].copy_(value)


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}


def saved_iteration(folder: Path) -> int:
    """The iteration after which a checkpoint was written."""
    return int(json.loads((folder / STATE).read_text())["iteration"])
