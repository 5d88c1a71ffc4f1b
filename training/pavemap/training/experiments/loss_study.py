"""What the loss alone brings: one configuration on CFD's split, taught by overlap and by the metric."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from pavemap.training.config import Loss, TrainConfig, load_config
from pavemap.training.experiments.config_runs import (
    as_asked,
    config_run,
    key_of,
    refuse_a_start_that_knows,
    settings_of,
    system_of,
)
from pavemap.training.experiments.figures import (
    TESTED_COLUMNS,
    TRAINED_COLUMNS,
    f1_of,
    markdown,
    precision_recall,
    tested,
    trained,
)
from pavemap.training.experiments.images import Split, kept_back, split_of
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.plan import Experiment, Options, Report, Run

CONFIG = Path("training/configs/cfd-onward.toml")


def runs(options: Options) -> list[Run]:
    """A run for each configuration, loss and seed; the threshold comes from images kept back."""
    split = split_of(options.data, "cfd")
    configs = [load_config(path) for path in options.configs or (CONFIG,)]
    for config in configs:
        refuse_a_start_that_knows(config, split)
    return [
        _run(config.model_copy(update={"loss": loss}), split, options, seed)
        for config in configs
        for loss in get_args(Loss)
        for seed in options.seeds or (0,)
    ]


def _run(given: TrainConfig, split: Split, options: Options, seed: int) -> Run:
    config = as_asked(given, options, seed)

    def perform() -> Record:
        train, validation = kept_back(split.train)
        found = config_run(config, [train], {"cfd": split.test}, validation, options)
        return {"config": system_of(config, options), "loss": config.loss, **found}

    return Run(key_of(config, options, config.loss), perform, settings_of(config))


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
                *trained(record),
                f"{f1_of(record['validation']):.4f}",
                *tested(record, scores),
            ]
        )
    columns = ["configuration", "loss", *TRAINED_COLUMNS, "F1 on images kept back", *TESTED_COLUMNS]
    pictures = {"loss.png": precision_recall(shown)} if shown else {}
    return Report(markdown(columns, rows), pictures)


EXPERIMENT = Experiment(
    "loss",
    "one configuration taught by overlap and by the metric",
    runs,
    report,
    frozenset({"data", "config", "symmetries"}),
)
