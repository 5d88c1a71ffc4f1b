"""What a model that learns on forgets of other roads, by the share of its start that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from pavemap.training.config import TrainConfig, load_config
from pavemap.training.experiments.config_runs import (
    as_asked,
    config_run,
    key_of,
    refuse_a_start_taught,
    settings_of,
    system_of,
)
from pavemap.training.experiments.figures import f1_of, lines, markdown
from pavemap.training.experiments.images import SETS, Images, folder_of, kept_back, split_of
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.loss_study import CONFIG
from pavemap.training.experiments.plan import Experiment, Options, Report, Run
from pavemap.training.experiments.self_training import start_run, teacher_of

SHARES = (0.0, 0.25, 0.5, 0.75)


def runs(options: Options) -> list[Run]:
    """A configuration that learns on from a model with CFD alone, tested on all sets at hand.

    One training serves all shares; each has its threshold from the images kept back. Share 1 is the
    model as it was.
    """
    splits = {name: split_of(options.data, name) for name in SETS}
    tests = {name: split.test for name, split in splits.items()}
    configs = [load_config(path) for path in options.configs or (CONFIG,)]
    for config, folder in product(configs, map(folder_of, SETS)):
        part = "this study tests on a part of it"
        refuse_a_start_taught(config, folder, but=(f"{folder}/train",), reason=part)
    return [
        *(start_run(one, teacher_of(one, options), tests, share=1.0) for one in configs),
        *(
            _run(as_asked(one, options, seed), share, splits["cfd"].train, tests, options)
            for one in configs
            for seed in options.seeds or (0,)
            for share in SHARES
        ),
    ]


def _run(
    config: TrainConfig, share: float, images: Images, tests: Mapping[str, Images], options: Options
) -> Run:
    kept = config.model_copy(update={"start_share": share})

    def perform() -> Record:
        train, validation = kept_back(images)
        found = config_run(kept, [train], tests, validation, options)
        return {"config": system_of(config, options), "share": share, **found}

    return Run(key_of(config, options, f"share-{share:g}"), perform, settings_of(kept))


def report(records: Mapping[str, Record]) -> Report:
    """F1 on each set by the share that was kept, and as curves."""
    ordered = sorted(records.values(), key=lambda record: (record["config"], record["share"]))
    rows: list[list[str]] = []
    series: dict[str, list[tuple[float, float]]] = {name: [] for name in SETS}
    for record in ordered:
        found = {name: f1_of(record["tests"][name]) for name in SETS}
        threshold = next(iter(record["tests"].values()))["threshold"]
        rows.append(
            [
                record["config"],
                f"{record['share']:g}",
                f"{record['iterations']:,}",
                f"{threshold:g}",
                *(f"{f1:.4f}" for f1 in found.values()),
            ]
        )
        for name, f1 in found.items():
            series[name].append((record["share"], f1))
    columns = ["configuration", "share of the start kept", "iterations", "threshold", *SETS]
    picture = lines(series, across="share of the start that is kept", up="F1, mean over images")
    return Report(markdown(columns, rows), {"forgetting.png": picture} if rows else {})


EXPERIMENT = Experiment(
    "forgetting",
    "what is lost of other sets by learning on with CFD alone",
    runs,
    report,
    frozenset({"data", "config", "symmetries"}),
)
