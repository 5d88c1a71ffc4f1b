"""The paper's Table III and IV: every system on CFD (one split, and folds) and, with the data, AigleRN."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from pavemap.training.baselines.systems import SYSTEMS
from pavemap.training.config import DataSource, TrainConfig, load_config
from pavemap.training.data.aiglern import read_aiglern
from pavemap.training.data.datasets import read_source
from pavemap.training.errors import BadModel, BadTrainingConfig
from pavemap.training.experiments.figures import (
    OTHER_COLUMNS,
    f1_of,
    markdown,
    other_scores,
    paper_scores,
    precision_recall,
    spread,
)
from pavemap.training.experiments.fitting import fit_batches
from pavemap.training.experiments.images import Images, Split, folds_of, kept_back, split_of
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.plan import Experiment, Options, Report, Run
from pavemap.training.experiments.recipes import (
    PAPERS_ITERATIONS,
    Recipe,
    run_recipe,
    scored_run,
)
from pavemap.training.experiments.scoring import detector_of, scores_of, turned
from pavemap.training.finish import FORMER, write_model
from pavemap.training.inference import CrackModel
from pavemap.training.models.card import read_card
from pavemap.training.models.shipped_models import find_model_folder
from pavemap.training.start import former_weights

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
            **_named("cfd", system, split),
            **config_run(config, sets, {"test": split.test}, validation, options),
        }

    seen = f", {options.symmetries} symmetries" if options.symmetries > 1 else ""
    system = config.name + seen
    made = f"{config.iterations}-iterations/seed-{seed}{options.tested}"
    key = f"cfd/{system}/{made}/{split.name}"
    return Run(key, perform)


def as_asked(config: TrainConfig, options: Options, seed: int) -> TrainConfig:
    """A configuration with the seed, the threads and, where they are given, the iterations of a run."""
    iterations = options.iterations or config.iterations
    return config.model_copy(
        update={"seed": seed, "threads": options.threads, "iterations": iterations}
    )


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
    if config.start_from is None:
        return
    allowed = {"cfd/train"} if split.name == "split" else set()
    known = {entry.split(" (")[0] for entry in taught_by(config.start_from)}
    if any(label.split("/")[0] == "cfd" for label in known - allowed):
        tested = "the split tests on a part" if allowed else "folds test on all"
        raise BadTrainingConfig(
            f"{config.name} starts from {config.start_from}, which was trained on cfd, and {tested} "
            "of it; start from a model of `pavemap experiment leave-one-out --only without-cfd`"
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
    "paper-table", "every system of the paper's tables, one split and folds", runs, report
)
