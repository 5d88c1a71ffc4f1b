"""Beyond the annotators (the paper's section IV): a model learns from images without labels, by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pavemap.geo.vectorizing.hysteresis import crack_level
from pavemap.training.config import TrainConfig, load_config
from pavemap.training.data.datasets import LabelledImage
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.experiments.config_runs import (
    as_asked,
    config_run,
    key_of,
    refuse_a_start_taught,
    settings_of,
    system_of,
)
from pavemap.training.experiments.detectors import Finder, scores_of, turned
from pavemap.training.experiments.figures import (
    TESTED_COLUMNS,
    TRAINED_COLUMNS,
    markdown,
    precision_recall,
    tested,
    trained,
)
from pavemap.training.experiments.images import Images, Split, kept_back, split_of
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.loss_study import CONFIG
from pavemap.training.experiments.plan import Experiment, Options, Report, Run
from pavemap.training.inference import CrackModel
from pavemap.training.models.shipped_models import find_model_folder

SOUND_BELOW = 0.25
"""A pixel is sound below it, a crack from the model's threshold on, and between them teaches nothing."""


def runs(options: Options) -> list[Run]:
    """The model that a configuration starts from, as it is and after it learnt on from its own finds.

    The labels of CFD's training images are not used: not to learn, nor to choose the threshold.
    """
    split = split_of(options.data, "cfd")
    configs = [load_config(path) for path in options.configs or (CONFIG,)]
    for config in configs:
        unseen = "this study is of a road whose labels no one has shown to it"
        refuse_a_start_taught(config, "cfd", but=(), reason=unseen)
    teachers = [teacher_of(config, options) for config in configs]
    both = list(zip(configs, teachers, strict=True))
    return [
        *(start_run(one, teacher, {"cfd": split.test}, model="as it was") for one, teacher in both),
        *(
            _pupil_run(as_asked(one, options, seed), teacher, split, options)
            for one, teacher in both
            for seed in options.seeds or (0,)
        ),
    ]


def labelled_by(detect: Finder, images: Images, *, threshold: float) -> list[LabelledImage]:
    """Images with what a detector finds in them, in the mean of eight symmetries, for their truth."""
    found = []
    for image in images:
        seen = turned(detect)(image.pixels)
        crack = np.asarray(seen >= crack_level(threshold), np.bool_)
        unsure = np.asarray((seen >= crack_level(SOUND_BELOW)) & ~crack, np.bool_)
        found.append(replace(image, crack=crack, ignore=unsure))
    return found


def teacher_of(config: TrainConfig, options: Options) -> CrackModel:
    """The model that a configuration starts from. Raises BadTrainingConfig when it names none."""
    if config.start_from is None:
        raise BadTrainingConfig(
            f"{config.name} starts from fresh weights, and this study is of a model that learns on; "
            "give it a start_from"
        )
    return CrackModel.load(
        find_model_folder(config.start_from), device=options.device(), threads=options.threads
    )


def start_run(
    config: TrainConfig, start: CrackModel, tests: Mapping[str, Images], **said: object
) -> Run:
    """The model that a configuration starts from scored as it is; the record holds what is `said` of it."""

    def perform() -> Record:
        threshold = start.card.threshold
        scores = {
            name: scores_of(start.detect, images, threshold=threshold)
            for name, images in tests.items()
        }
        untaught = {"iterations": 0, "seed": config.seed, "training_s": 0.0}
        return {**said, "config": config.name, **untaught, "tests": scores}

    return Run(f"{config.name}/as-it-was/{start.card.model_id}", perform)


def _pupil_run(config: TrainConfig, teacher: CrackModel, split: Split, options: Options) -> Run:
    def perform() -> Record:
        own = labelled_by(teacher.detect, split.train, threshold=teacher.card.threshold)
        train, held = kept_back(own)
        found = config_run(config, [train], {"cfd": split.test}, held, options)
        return {"model": "taught by itself", "config": system_of(config, options), **found}

    key = key_of(config, options, "taught-by-itself", teacher.card.model_id)
    return Run(key, perform, settings_of(config))


def report(records: Mapping[str, Record]) -> Report:
    """A row for each model."""
    rows, shown = [], {}
    for record in records.values():
        scores = record["tests"]["cfd"]
        shown[f"{record['config']}, {record['model']}"] = scores
        rows.append([record["config"], record["model"], *trained(record), *tested(record, scores)])
    columns = ["configuration", "model", *TRAINED_COLUMNS, *TESTED_COLUMNS]
    pictures = {"self-training.png": precision_recall(shown)} if shown else {}
    return Report(markdown(columns, rows), pictures)


EXPERIMENT = Experiment(
    "self-training",
    "a model taught on CFD by what it finds there itself, no labels",
    runs,
    report,
    frozenset({"data", "config", "symmetries"}),
)
