"""The paper's Table III and IV: every system on CFD (one split, and folds) and, with the data, AigleRN."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from pavemap.training.baselines.systems import SYSTEMS
from pavemap.training.config import load_config
from pavemap.training.data.aiglern import read_aiglern
from pavemap.training.data.datasets import read_source
from pavemap.training.experiments.config_runs import (
    as_asked,
    config_run,
    key_of,
    refuse_a_start_that_knows,
    set_of,
    settings_of,
    system_of,
)
from pavemap.training.experiments.detectors import scores_of
from pavemap.training.experiments.figures import (
    OTHER_COLUMNS,
    f1_of,
    markdown,
    other_scores,
    paper_scores,
    precision_recall,
    spread,
)
from pavemap.training.experiments.images import Images, Split, folds_of, kept_back, split_of
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.plan import Experiment, Options, Report, Run
from pavemap.training.experiments.recipes import (
    PAPERS_ITERATIONS,
    Recipe,
    run_recipe,
)
from pavemap.training.inference import CrackModel
from pavemap.training.models.shipped_models import find_model_folder

# The paper's own figures: Pr, Re, F1.
CFD = {
    "canny": (0.4377, 0.7307, 0.4570),
    "local-threshold": (0.7727, 0.8274, 0.7418),
    "crackforest": (0.7466, 0.9514, 0.8318),
    "fan2018": (0.9119, 0.9481, 0.9244),
}
AIGLERN = {
    "canny": (0.1989, 0.6753, 0.2881),
    "local-threshold": (0.5329, 0.9345, 0.6670),
    "ffa": (0.7688, 0.6812, 0.6817),
    "mps": (0.8263, 0.8410, 0.8195),
    "fan2018": (0.9178, 0.8812, 0.8954),
}
AIGLERN_ITERATIONS = 20_000


def runs(options: Options) -> list[Run]:
    """Systems on the split and on each fold, networks after them, AigleRN last."""
    split = split_of(options.data, "cfd")
    splits = [split, *folds_of([*split.train, *split.test], options.folds)]
    seeds = options.seeds or (0,)
    found = [_system_run("cfd", name, part) for name in SYSTEMS for part in splits]
    found += [_model_run(model, split, options) for model in options.models]
    found += [
        _network_run("cfd", part, options, Recipe(), PAPERS_ITERATIONS, seed)
        for part in splits
        for seed in seeds
    ]
    found += [
        _config_run(path, part, options, seed)
        for path in options.configs
        for part in splits
        for seed in seeds
    ]
    if options.aiglern is not None:
        part = _aiglern_split(read_aiglern(options.aiglern))
        found += [_system_run("aiglern", name, part) for name in AIGLERN if name in SYSTEMS]
        grey = Recipe(channels=1)
        found += [
            _network_run("aiglern", part, options, grey, AIGLERN_ITERATIONS, s) for s in seeds
        ]
    return found


def _system_run(data: str, name: str, split: Split) -> Run:
    def perform() -> Record:
        started = time.monotonic()
        fitted = SYSTEMS[name](split.train)
        return {
            **_named(data, name, split),
            "training_s": round(time.monotonic() - started, 1),
            "training_f1": round(fitted.training_f1, 4),
            "parameters": fitted.parameters,
            "tried": fitted.tried,
            "tests": {"test": scores_of(fitted.detect, split.test)},
        }

    return Run(f"{data}/{name}/{split.name}", perform)


def _network_run(
    data: str, split: Split, options: Options, recipe: Recipe, iterations: int, seed: int
) -> Run:
    number = options.iterations or iterations

    def perform() -> Record:
        found = run_recipe(
            recipe,
            train=split.train,
            tests={"test": split.test},
            options=options,
            iterations=number,
            seed=seed,
        )
        return {**_named(data, "fan2018", split), **found}

    key = f"{data}/fan2018/{number}-iterations/seed-{seed}{options.tested}/{split.name}"
    return Run(key, perform)


def _model_run(model: str, split: Split, options: Options) -> Run:
    """A finished model, as it is, with its card's threshold."""
    loaded = CrackModel.load(
        find_model_folder(model),
        device=options.device(),
        threads=options.threads,
        stride=options.stride,
    )

    def perform() -> Record:
        scores = scores_of(loaded.detect, split.test, threshold=loaded.card.threshold)
        return {**_named("cfd", loaded.card.model_id, split), "tests": {"test": scores}}

    return Run(f"cfd/{loaded.card.model_id}{options.tested}/{split.name}", perform)


def _config_run(path: Path, split: Split, options: Options, seed: int) -> Run:
    """A configuration's network and recipe on a split; its threshold from images kept back.

    Sets of the configuration other than CFD are learnt along with the images of the split.
    """
    config = as_asked(load_config(path), options, seed)

    def perform() -> Record:
        refuse_a_start_that_knows(config, split)
        train, validation = kept_back(split.train)
        sets = [train if set_of(one) == "cfd" else read_source(one) for one in config.data]
        return {
            **_named("cfd", system_of(config, options), split),
            **config_run(config, sets, {"test": split.test}, validation, options),
        }

    return Run(f"cfd/{key_of(config, options)}/{split.name}", perform, settings_of(config))


def _aiglern_split(images: Images) -> Split:
    """24 to train on and 14 to test on, as many as the paper's, drawn once; its own list isn't public."""
    share = max(1, round(len(images) / 38 * 14))
    whole = folds_of(images, len(images))
    test = [one.test[0] for one in whole[:share]]
    names = {image.name for image in test}
    return Split("split", [image for image in images if image.name not in names], test)


def _named(data: str, system: str, split: Split) -> Record:
    return {"data": data, "system": system, "split": split.name}


def report(records: Mapping[str, Record]) -> Report:
    """The table of both data sets and the precision-recall curves on CFD's split."""
    cfd, shown = _table("cfd", CFD, records)
    aiglern, _ = _table("aiglern", AIGLERN, records)
    if not any(record["data"] == "aiglern" for record in records.values()):
        rows = [[name, f"{f1:.4f}", "no data here"] for name, (_, _, f1) in AIGLERN.items()]
        aiglern = markdown(["system", "F1 in the paper", "F1 here"], rows)
    chosen = [
        [record["system"], _said(record["parameters"]), str(record["tried"])]
        for record in records.values()
        if record["split"] == "split" and "parameters" in record
    ]
    parameters = markdown(["system", "parameters chosen on the training images", "tried"], chosen)
    text = f"### CFD\n\n{cfd}\n{parameters}\n### AigleRN\n\n{aiglern}"
    return Report(text, {"paper-table.png": precision_recall(shown)} if shown else {})


def _table(
    data: str, papers: Mapping[str, tuple[float, ...]], records: Mapping[str, Record]
) -> tuple[str, dict[str, Record]]:
    systems: dict[str, list[Record]] = {}
    for record in records.values():
        if record["data"] == data:
            systems.setdefault(_row_of(record), []).append(record)
    rows, shown = [], {}
    for name, some in systems.items():
        split = [record for record in some if record["split"] == "split"]
        folds = [f1_of(r["tests"]["test"]) for r in some if r["split"] != "split"]
        paper = papers.get(some[0]["system"])
        row = [name, f"{paper[2]:.4f}" if paper else "–"]
        if split:
            scores = split[0]["tests"]["test"]
            shown[name] = scores
            seconds = [split[0].get("training_s"), scores["seconds_per_mpx"]]
            row += [*paper_scores(scores), *other_scores(scores), spread(folds)]
            row += ["–" if value is None else f"{value:g}" for value in seconds]
        else:
            row += ["–"] * 8 + [spread(folds), "–", "–"]
        rows.append(row)
    columns = [
        "system",
        "F1 in the paper",
        "Pr",
        "Re",
        "F1",
        *OTHER_COLUMNS,
        "F1 over folds (how many)",
    ]
    return markdown([*columns, "fitting s", "s per Mpx"], rows), shown


def _row_of(record: Record) -> str:
    """What a row is called: runs of other lengths, or tested on coarser grids, have rows of their own."""
    steps, stride = record.get("iterations"), record.get("stride") or 1
    made = f", {steps:,} iterations" if steps else ""
    tested = f", tested every {stride} px" if stride > 1 else ""
    return f"{record['system']}{made}{tested}"


def _said(parameters: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in parameters.items())


EXPERIMENT = Experiment(
    "paper-table",
    "every system of the paper's tables, one split and folds",
    runs,
    report,
    frozenset({"data", "folds", "symmetries", "model", "config", "aiglern"}),
)
