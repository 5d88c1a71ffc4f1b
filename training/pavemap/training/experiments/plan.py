"""An experiment is a list of runs and a report; this does the runs that are not done yet."""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pavemap.training.deciding import differing
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.experiments.ledger import Ledger, Record

SYMMETRIES = (1, 4, 8)  # of an image: itself, those that keep its sides, all

NAMED_RUNS = 20  # in a message

OnRun = Callable[[str, int, int], None]  # key, runs done, runs in all


@dataclass(frozen=True)
class Options:
    """How large an experiment is made, and where it reads and writes; None is the study's own size."""

    data: Path
    output: Path  # runs and reports, a folder for each experiment, and the trainings of all
    iterations: int | None = None
    seeds: tuple[int, ...] | None = None
    folds: int = 5
    threads: int = 1
    jobs: int = 1  # runs at once, each in a process of its own
    gpu: bool = False
    stride: int = 1  # grid of patches of the paper's network when it is tested
    symmetries: int = 1  # of a test image, whose mean a configuration's network is tested by
    only: tuple[str, ...] = ()  # runs whose key holds one of these
    models: tuple[str, ...] = ()  # finished models for the paper's table, names or folders
    configs: tuple[Path, ...] = ()  # training configurations for the paper's table and the loss
    survey_config: Path = Path("training/configs/survey-unet.toml")
    aiglern: Path | None = None

    def __post_init__(self) -> None:
        """Raise BadTrainingConfig for what no option of an experiment can be."""
        if self.symmetries not in SYMMETRIES:
            raise BadTrainingConfig(f"{self.symmetries} symmetries can't be; give 1, 4 or 8")

    @property
    def trainings(self) -> Path:
        """Where the trainings of all experiments are kept."""
        return self.output / "trainings"

    @property
    def tested(self) -> str:
        """How a run's key says that it was tested on a coarser grid than every pixel."""
        return f"/stride-{self.stride}" if self.stride > 1 else ""

    def device(self) -> str:
        """'cuda' or 'cpu'. Raises BadTrainingConfig when there is no GPU to be had."""
        import torch

        if self.gpu and not torch.cuda.is_available():
            raise BadTrainingConfig("no GPU is to be had here; leave --gpu out")
        return "cuda" if self.gpu else "cpu"


@dataclass(frozen=True)
class Run:
    """One run. Its key and its settings name all that decides its outcome, so that it is done once."""

    key: str
    perform: Callable[[], Record]
    settings: Mapping[str, Any] = field(default_factory=dict)  # kept with what was found


@dataclass(frozen=True)
class Report:
    """Tables in Markdown, and the pictures that it shows (name by name, written by the caller)."""

    text: str
    pictures: Mapping[str, Callable[[Path], None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A registered experiment."""

    name: str
    about: str
    runs: Callable[[Options], Sequence[Run]]
    report: Callable[[Mapping[str, Record]], Report]
    takes: frozenset[str] = frozenset()  # of the command's options, those that not all studies take


def perform(experiment: Experiment, options: Options, *, on_run: OnRun | None = None) -> Path:
    """Do the runs that are not done yet, then write the report; its file.

    Raises BadTrainingConfig or BadTrainingData before the first run when something is missing, or when a
    run of another configuration has the name of one that is asked for.
    """
    options.device()
    folder = options.output / experiment.name
    ledger = Ledger(folder)
    runs = _asked_for(experiment, options)
    done = ledger.records()
    _refuse_other_settings(runs, done, folder)
    missing = [run for run in runs if run.key not in done]
    told = on_run or (lambda *_: None)
    ended = len(runs) - len(missing)
    perform_all = _at_once if options.jobs > 1 else _one_by_one
    told("" if not missing else missing[0].key, ended, len(runs))
    for run, record in perform_all(experiment, options, missing):
        kept = {"settings": run.settings} if run.settings else {}
        ledger.add(run.key, {**record, **kept, "machine": _machine(options)})
        ended += 1
        told(run.key, ended, len(runs))
    return write_report(experiment, options)


def _asked_for(experiment: Experiment, options: Options) -> list[Run]:
    """Return the runs that are asked for. Raises BadTrainingConfig naming those there are."""
    there = experiment.runs(options)
    runs = [run for run in there if _wanted(run.key, options.only)]
    if not runs:
        others = len(there) - NAMED_RUNS
        raise BadTrainingConfig(
            f"{experiment.name} has no run like {', '.join(options.only)}; leave --only out, or name a "
            f"part of these: {', '.join(run.key for run in there[:NAMED_RUNS])}"
            + (f" and {others:,} more" if others > 0 else "")
        )
    return runs


def _refuse_other_settings(runs: Sequence[Run], done: Mapping[str, Record], folder: Path) -> None:
    """Raise BadTrainingConfig where a run was done by other settings; records without any are taken."""
    for run in runs:
        former = done.get(run.key, {}).get("settings")
        if former and run.settings and (other := differing(former, run.settings)):
            raise BadTrainingConfig(
                f"{run.key} in {folder} was done with another {other}, and its figures would be shown as "
                "new; name another --output, or give the configuration another name"
            )


def _one_by_one(_: Experiment, __: Options, runs: Sequence[Run]) -> Iterator[tuple[Run, Record]]:
    for run in runs:
        yield run, run.perform()


def _at_once(
    experiment: Experiment, options: Options, runs: Sequence[Run]
) -> Iterator[tuple[Run, Record]]:
    """Spawned processes, since neither CUDA nor torch's threads outlive a fork.

    A run that fails is told of when all others have ended: none of them is lost.
    """
    context = multiprocessing.get_context("spawn")
    failed: list[BaseException] = []
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        waiting = {pool.submit(_in_process, experiment, options, run.key): run for run in runs}
        for future in as_completed(waiting):
            error = future.exception()
            if error is None:
                yield waiting[future], future.result()
            else:
                failed.append(error)
    if failed:
        raise failed[0]


def _in_process(experiment: Experiment, options: Options, key: str) -> Record:
    run = next(run for run in experiment.runs(options) if run.key == key)
    return run.perform()


def write_report(experiment: Experiment, options: Options) -> Path:
    """Write report.md and its pictures from the runs done so far.

    Raises BadTrainingConfig when there is none.
    """
    folder = options.output / experiment.name
    if not Ledger(folder).records():
        raise BadTrainingConfig(
            f"no run of {experiment.name} is done yet in {folder}; begin with `pavemap experiment "
            f"{experiment.name}`, without --report, or name the --output in which it was begun"
        )
    report = reported(experiment, folder)
    for name, draw in report.pictures.items():
        draw(folder / name)
    path = folder / "report.md"
    path.write_text(report.text, encoding="utf-8")
    return path


def reported(experiment: Experiment, folder: Path) -> Report:
    """What the runs kept in an experiment's folder come to."""
    records = Ledger(folder).records()
    return experiment.report({key: records[key] for key in sorted(records, key=_numbers_as_such)})


def _numbers_as_such(key: str) -> list[str | int]:
    """For sorting: R-2 comes before R-10, whichever run ended first."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", key)]


def _wanted(key: str, only: Sequence[str]) -> bool:
    """Whether a key holds one of these parts, the numbers at their ends whole: step-1 is not in step-10."""
    return not only or any(re.search(re.escape(part) + r"(?!(?<=\d)\d)", key) for part in only)


def _machine(options: Options) -> str:
    device = "GPU"
    if options.gpu:
        import torch

        device = torch.cuda.get_device_name()
    else:
        device = f"{options.threads} threads of {os.cpu_count()}"
    return f"{platform.machine()}, {device}"
