"""Runs of a training configuration on image sets: how they are named, trained and kept fair."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pavemap.training.config import TrainConfig
from pavemap.training.data_source import DataSource
from pavemap.training.deciding import deciding
from pavemap.training.errors import BadModel, BadTrainingConfig
from pavemap.training.experiments.detectors import detector_of, turned
from pavemap.training.experiments.fitting import fit_batches
from pavemap.training.experiments.images import Images, Split
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.plan import Options
from pavemap.training.experiments.recipes import scored_run
from pavemap.training.experiments.trainings import start_digest
from pavemap.training.finish import FORMER, write_model
from pavemap.training.models.card import read_card
from pavemap.training.models.shipped_models import find_model_folder
from pavemap.training.start import former_weights


def as_asked(config: TrainConfig, options: Options, seed: int) -> TrainConfig:
    """A configuration with the seed, the threads and, where they are given, the iterations of a run."""
    iterations = options.iterations or config.iterations
    return config.model_copy(
        update={"seed": seed, "threads": options.threads, "iterations": iterations}
    )


def system_of(config: TrainConfig, options: Options) -> str:
    """How a configuration's network is called in keys and tables, with how it is tested."""
    seen = f", {options.symmetries} symmetries" if options.symmetries > 1 else ""
    return config.name + seen


def key_of(config: TrainConfig, options: Options, *parts: str) -> str:
    """The key of a run: the system, what is special about it, how long it learns, how it is tested."""
    made = f"{config.iterations}-iterations/seed-{config.seed}{options.tested}"
    return "/".join([system_of(config, options), *parts, made])


def settings_of(config: TrainConfig) -> dict[str, Any]:
    """What decides a run besides its key, for its record; a start counts by its weights, not its name."""
    settings = deciding(config)
    settings.pop("iterations", None)
    settings |= config.model_dump(
        mode="json", include={"start_share", "threshold"}, exclude_defaults=True
    )
    settings["data"] = [[source.label, source.weight] for source in config.data]
    if config.start_from is not None:
        settings["start_from"] = start_digest(config.start_from)
    return settings


def set_of(source: DataSource) -> str:
    """The data set that a source is a part of: its folder, or that above train, val and test."""
    part = source.folder.name in {"train", "val", "test"}
    return (source.folder.parent if part else source.folder).name


def config_run(
    config: TrainConfig,
    sets: Sequence[Images],
    tests: Mapping[str, Images],
    validation: Images,
    options: Options,
    *,
    model: Path | None = None,
) -> Record:
    """Train a configuration's network in this process on image sets (weights by its sources).

    With `model` it is left there as a model folder that other trainings can start from.
    """
    device = options.device()
    trained = fit_batches(config, sets, device=torch.device(device), trainings=options.trainings)
    detect = turned(
        detector_of(trained.network, config, device=device, stride=options.stride),
        symmetries=options.symmetries,
    )
    record = scored_run(detect, trained, config, tests, validation)
    if model is not None:
        model.parent.mkdir(parents=True, exist_ok=True)
        plain = config.model_copy(update={"validation": (), "tests": ()})
        former = former_weights(config)
        write_model(plain, trained.checkpoint, model, former=former, seconds=trained.seconds)
    return record


def refuse_a_start_that_knows(config: TrainConfig, split: Split) -> None:
    """Raise BadTrainingConfig where the weights to start from were taught what is tested on.

    Folds test on every image of CFD, so none may have been among them; the split's training images may.
    """
    whole = split.name != "split"
    refuse_a_start_taught(
        config,
        "cfd",
        but=() if whole else ("cfd/train",),
        reason="folds test on all of it" if whole else "the split tests on a part of it",
    )


def refuse_a_start_taught(
    config: TrainConfig, data: str, *, but: Collection[str], reason: str
) -> None:
    """Raise BadTrainingConfig where the weights to start from were taught a set, `but` for some parts.

    `data` is the set's folder; parts are labels of sources.
    """
    if config.start_from is None:
        return
    known = {entry.split(" (")[0] for entry in taught_by(config.start_from)}
    if any(label.split("/")[0] == data for label in known.difference(but)):
        raise BadTrainingConfig(
            f"{config.name} starts from {config.start_from}, which was trained on {data}, and {reason}; "
            f"start from a model of `pavemap experiment leave-one-out --only without-{data}`"
        )


def taught_by(model: str) -> list[str]:
    """The sets that a model's card names, and those of the models that it learnt on from.

    Raises BadTrainingConfig where one of these can't be found.
    """
    found: list[str] = []
    seen: set[Path] = set()
    name: str | None = model
    while name is not None:
        folder = _folder_of(name, seen)
        seen.add(folder)
        data = read_card(folder).data
        found += [entry for entry in data if not entry.startswith(FORMER)]
        name = next((e.removeprefix(FORMER) for e in data if e.startswith(FORMER)), None)
    return found


def _folder_of(name: str, seen: set[Path]) -> Path:
    try:
        folder = find_model_folder(name).resolve()
    except BadModel as exc:
        raise BadTrainingConfig(f"what taught {name} can't be known: {exc}") from exc
    if folder in seen:  # a model took the place of the one that it learnt on from
        raise BadTrainingConfig(
            f"what taught {name} can't be known: it was replaced since; start from another model"
        )
    return folder
