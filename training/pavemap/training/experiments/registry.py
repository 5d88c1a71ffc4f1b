"""The experiments by name."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pavemap.training.errors import BadTrainingConfig
from pavemap.training.experiments import (
    forgetting,
    leave_one_out,
    loss_study,
    paper_table,
    self_training,
    studies,
    study_reports,
)
from pavemap.training.experiments.plan import Experiment

OWN_IMAGES = frozenset({"data"})

STUDIES = (
    Experiment(
        "output-size",
        "windows of 1, 3, 5, 7 pixels (Fig. 8)",
        studies.output_sizes,
        study_reports.size_report,
        OWN_IMAGES,
    ),
    Experiment(
        "ratio",
        "negatives for each positive (Fig. 10, 11)",
        studies.ratios,
        study_reports.ratio_report,
        OWN_IMAGES,
    ),
    Experiment(
        "cross-database",
        "train on one set or on half of all, test on each (Table V)",
        studies.cross_database,
        study_reports.cross_report,
        OWN_IMAGES,
    ),
    Experiment(
        "plain-recipe",
        "the paper's recipe whole, three seeds",
        studies.plain_recipe,
        study_reports.plain_report,
        OWN_IMAGES,
    ),
    Experiment(
        "towards",
        "steps from the recipe towards the paper's figure",
        studies.towards,
        study_reports.towards_report,
        OWN_IMAGES | {"folds"},
    ),
)
EXPERIMENTS: Mapping[str, Experiment] = {
    one.name: one
    for one in (
        paper_table.EXPERIMENT,
        *STUDIES,
        loss_study.EXPERIMENT,
        leave_one_out.EXPERIMENT,
        self_training.EXPERIMENT,
        forgetting.EXPERIMENT,
    )
}


def find_experiment(name: str) -> Experiment:
    """An experiment by name. Raises BadTrainingConfig naming those there are."""
    if name not in EXPERIMENTS:
        raise BadTrainingConfig(f"no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def refuse_untaken(experiment: Experiment, given: Collection[str]) -> None:
    """Raise BadTrainingConfig where options of the command were given that only others take."""
    untaken = {
        option: others
        for option in sorted(set(given) - experiment.takes)
        if (others := [one.name for one in EXPERIMENTS.values() if option in one.takes])
    }
    if untaken:
        told = " nor ".join(f"--{name} (only {', '.join(by)})" for name, by in untaken.items())
        raise BadTrainingConfig(f"{experiment.name} doesn't take {told}; leave that out")
