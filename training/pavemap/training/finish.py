"""From a checkpoint to a model folder: weights, a threshold chosen on validation images, a card."""

from __future__ import annotations

import os
import platform
import shutil
import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from pavemap.training.card import WEIGHTS_FILE, ModelCard, file_digest, write_card
from pavemap.training.checkpoint import final_weights, saved_iteration
from pavemap.training.config import DataSource, TrainConfig
from pavemap.training.datasets import list_pairs
from pavemap.training.evaluate import evaluate, threshold_curve
from pavemap.training.inference import CrackModel


def write_model(
    config: TrainConfig, checkpoint: Path, target: Path, *, seconds: float = 0.0
) -> ModelCard:
    """Write `target` with weights.safetensors and card.json, replacing a former model whole.

    The threshold is the one with the best mean F1 on the validation sets (each set weighing the
    same), or the configured one when there are none. No other images are looked at.
    """
    temporary = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
    temporary.mkdir(parents=True)
    try:
        save_file(final_weights(checkpoint), temporary / WEIGHTS_FILE)
        (temporary / WEIGHTS_FILE).chmod(0o644)  # safetensors writes for the owner alone
        card = _card(config, temporary, iterations=saved_iteration(checkpoint), seconds=seconds)
        write_card(card, temporary)
        if config.validation:
            card = _validated(card, temporary, config.validation)
            write_card(card, temporary)
        if target.exists():
            former = target.with_name(f".{target.name}-former-{uuid.uuid4().hex[:8]}")
            target.replace(former)
            shutil.rmtree(former)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return card


def _card(config: TrainConfig, folder: Path, *, iterations: int, seconds: float) -> ModelCard:
    training: dict[str, Any] = {
        "iterations": iterations,
        "batch_size": config.batch_size,
        "seed": config.seed,
        "workers": config.workers,
        "seconds": round(seconds),
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, torch {torch.__version__}",
        "settings": config.model_dump(
            mode="json", exclude={"data", "validation", "output", "ray_address"}
        ),
    }
    return ModelCard(
        name=config.name,
        version=config.version,
        architecture=config.architecture,
        architecture_args=config.architecture_args,
        channels=int(config.architecture_args.get("channels", 3)),
        gsd_m=config.gsd_m,
        gsd_range_m=config.gsd_range_m,
        threshold=config.threshold,
        data=[f"{source.label} ({len(list_pairs(source))} images)" for source in config.data],
        licence=config.licence,
        limits=config.notes,
        training=training,
        digest=file_digest(folder / WEIGHTS_FILE),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _validated(card: ModelCard, folder: Path, sources: Iterable[DataSource]) -> ModelCard:
    sets = list(sources)
    model = CrackModel.load(folder)
    curve = threshold_curve(model, sets)
    best = max(curve, key=lambda threshold: curve[threshold])
    found = [evaluate(model, source, threshold=best).to_dict() for source in sets]
    for one in found:
        for name in ("seconds", "mpx_per_s", "model"):
            one.pop(name)
    metrics = {
        "validation": found,
        "validation_mean_f1": round(curve[best], 4),
        "threshold_curve": {f"{threshold:g}": round(f1, 4) for threshold, f1 in curve.items()},
    }
    return card.model_copy(update={"threshold": best, "metrics": {**card.metrics, **metrics}})
