"""What the loss alone brings: one configuration on CFD's split, taught by overlap and by the metric."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pavemap.training.config import Loss, load_config
from pavemap.training.experiments.figures import (
    OTHER_COLUMNS,
    f1_of,
    markdown,
    other_scores,
    paper_scores,
    precision_recall,
)
from pavemap.training.experiments.images import kept_back, split_of
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.paper_table import config_run
from pavemap.training.experiments.plan import Experiment, Options, Report, Run

CONFIG = Path("training/configs/cfd-onward.toml")


def runs(options: Options) -> list[Run]:
    """A run for each configuration, loss and seed; the threshold comes from images kept back."""
    return [
        _run(path, loss, options, seed)
        for path in options.configs or (CONFIG,)
        for loss in get_args(Loss)
        for seed in options.seeds or (0,)
    ]


def _run(path: Path, loss: Loss, options: Options, seed: int) -> Run:
    config = load_config(path)
    config = config.model_copy(
        update={
            "loss": loss,
            "seed": seed,
            "threads": options.threads,
            "iterations": options.iterations or config.iterations,
        }
    )
    split = split_of(options.data, "cfd")

    def perform() -> Record:
        train, validation = kept_back(split.train)
        found = config_run(config, [train], {"cfd": split.test}, validation, options)
        return {"config": config.name, "loss": loss, **found}

    return Run(f"{config.name}/{loss}/{config.iterations}-iterations/seed-{seed}", perform)


def report(records: Mapping[str, Record]) -> Report:
    """A row for each run."""
    rows, shown = [], {}
    for record in records.values():
        scores = record["tests"]["cfd"]
        shown[f"{record['config']}, {record['loss']}"] = scores
        rows.append(
            [
                record["config"],
                record["loss"],
                f"{record['iterations']:,}",
                str(record["seed"]),
                f"{f1_of(record['validation']):.4f}",
                f"{scores['threshold']:g}",
                *paper_scores(scores),
                *other_scores(scores),
                f"{record['training_s']:.0f}",
            ]
        )
    columns = ["configuration", "loss", "iterations", "seed", "F1 on images kept back", "threshold"]
    columns += ["Pr", "Re", "F1", *OTHER_COLUMNS, "training s"]
    pictures = {"loss.png": precision_recall(shown)} if shown else {}
    return Report(markdown(columns, rows), pictures)


EXPERIMENT = Experiment(
    "loss", "one configuration taught by overlap and by the metric", runs, report
)
