"""An experiment for several processes: they find it by its module's name."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pavemap.training.errors import BadTrainingConfig
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.plan import Options, Report, Run


def runs_that_name_their_process(_: Options) -> list[Run]:
    """Two runs that say where they ran, and one that fails."""

    def work(key: str) -> Record:
        if key == "broken":
            raise BadTrainingConfig("this run can't be done")
        return {"value": key, "process": os.getpid()}

    def run(key: str) -> Run:
        return Run(key, lambda: work(key))

    return [run(key) for key in ("a", "broken", "b")]


def names_of(records: Mapping[str, Record]) -> Report:
    """The values of all runs."""
    return Report(" ".join(sorted(record["value"] for record in records.values())))
