"""The experiments by name."""

from __future__ import annotations

from collections.abc import Mapping

from pavemap.training.errors import BadTrainingConfig
from pavemap.training.experiments import (
    forgetting,
    leave_one_out,
    loss_study,
    paper_table,
    self_training,
)
from pavemap.training.experiments.plan import Experiment
from pavemap.training.experiments.studies import STUDIES

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
