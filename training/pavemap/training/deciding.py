"""Which settings decide the weights of a training: those that a run which goes on must share."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from safetensors.torch import save

from pavemap.training.config import TrainConfig

if TYPE_CHECKING:
    from pavemap.training.start import Weights

# What decides nothing about the weights: names, texts, what is done with them, how the work is shared.
BESIDE = {
    "name",
    "version",
    "output",
    "licence",
    "intended_use",
    "notes",
    "start_share",
    "threshold",
    "vectorize",
    "gsd_m",
    "gsd_range_m",
    "data",
    "validation",
    "tests",
    "threads",
    "workers",
    "workers_min",
    "resize_every_s",
    "use_gpu",
    "checkpoint_every",
    "report_every",
    "max_failures",
    "mlflow_uri",
    "mlflow_experiment",
    "ray_address",
}


def deciding(config: TrainConfig) -> dict[str, Any]:
    """The settings that decide the weights, as JSON; those of the images are in `fingerprint`.

    What is left at its default is not said: options added later change no training kept before. At a
    constant rate the number of iterations decides nothing: fewer are a part of more.
    """
    settings = config.model_dump(mode="json", exclude=BESIDE, exclude_defaults=True)
    if config.schedule == "constant":
        settings.pop("iterations", None)
    return settings


def identity_of(config: TrainConfig, start: Weights | None) -> dict[str, Any]:
    """What a checkpoint says of the settings that made it; a start counts by its weights, not its name."""
    settings = {**deciding(config), "weights of data": [source.weight for source in config.data]}
    settings.pop("start_from", None)
    if start is not None:
        settings["start_from"] = sha256(save(start)).hexdigest()
    return settings


def differing(former: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The names of the settings that differ, as text; empty where none does."""
    names = sorted({*former, *now})
    return ", ".join(name for name in names if former.get(name) != now.get(name))
