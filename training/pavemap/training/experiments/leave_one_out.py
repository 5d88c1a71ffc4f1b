"""Roads never seen: the survey configuration trained on all sets but one, tested on that one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pavemap.training.config import TrainConfig, load_config
from pavemap.training.data.datasets import list_pairs, read_source
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.experiments.config_runs import (
    as_asked,
    config_run,
    key_of,
    set_of,
    settings_of,
    system_of,
)
from pavemap.training.experiments.figures import (
    TESTED_COLUMNS,
    TRAINED_COLUMNS,
    markdown,
    precision_recall,
    tested,
    trained,
)
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.plan import Experiment, Options, Report, Run


def runs(options: Options) -> list[Run]:
    """A run for each set of the configuration, named by its folder below the data folder."""
    config = load_config(options.survey_config)
    names = list(dict.fromkeys(set_of(source) for source in config.data))
    if len(names) < 2:
        raise BadTrainingConfig(
            f"{options.survey_config} trains on {', '.join(names)} alone; leaving a set out needs two"
        )
    for source in (*config.data, *config.validation):
        list_pairs(source)
    seeds = options.seeds or (config.seed,)
    return [_run(config, name, options, seed) for name in names for seed in seeds]


def without(config: TrainConfig, name: str) -> TrainConfig:
    """The configuration without a set, in training and in validation; from fresh weights.

    A model that the configuration learns on from may have seen the set.
    """
    return config.model_copy(
        update={
            "start_from": None,
            "start_share": 0.0,
            "data": tuple(source for source in config.data if set_of(source) != name),
            "validation": tuple(s for s in config.validation if set_of(s) != name),
        }
    )


def tests_of(config: TrainConfig, name: str) -> Sequence[DataSource]:
    """What the left-out set is tested on: its test sources, else all that training would have used."""
    tests = [source for source in config.tests if set_of(source) == name]
    if tests:
        return tests
    return [
        source.model_copy(update={"leave_out_every": 0, "left_out": False})
        for source in config.data
        if set_of(source) == name
    ]


def _run(whole: TrainConfig, name: str, options: Options, seed: int) -> Run:
    config = as_asked(without(whole, name), options, seed)

    def perform() -> Record:
        tests = {s.label: read_source(s) for s in tests_of(whole, name)}
        held = [image for source in config.validation for image in read_source(source)]
        sets = [read_source(source) for source in config.data]
        folder = f"{whole.name}-without-{name}-{config.iterations}-iterations"
        model = options.output / EXPERIMENT.name / "models" / folder
        found = config_run(config, sets, tests, held, options, model=model)
        return {"left_out": name, "config": system_of(config, options), **found}

    return Run(key_of(config, options, f"without-{name}"), perform, settings_of(config))


def report(records: Mapping[str, Record]) -> Report:
    """A row for each set that a configuration was taught without."""
    rows, shown = [], {}
    for record in records.values():
        for label, scores in record["tests"].items():
            shown[f"{label} unseen, {record['config']}, {record['iterations']:,} iterations"] = (
                scores
            )
            rows.append(
                [
                    record["config"],
                    record["left_out"],
                    label,
                    str(scores["images"]),
                    *trained(record),
                    *tested(record, scores),
                ]
            )
    columns = [
        "configuration",
        "left out",
        "tested on",
        "images",
        *TRAINED_COLUMNS,
        *TESTED_COLUMNS,
    ]
    pictures = {"leave-one-out.png": precision_recall(shown)} if shown else {}
    return Report(markdown(columns, rows), pictures)


EXPERIMENT = Experiment(
    "leave-one-out",
    "the survey configuration without each of its sets",
    runs,
    report,
    frozenset({"survey-config", "symmetries"}),
)
