"""What a training job is, whoever runs it: its id, its states, and what a cluster must be able to do."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pavemap.geo.errors import BadInput
from pavemap.training.config import TrainConfig

PREFIX = "train-"

MAX_CHARS = 96_000
"""Of a configuration, quoted: Linux takes 131,072 as one word, and base 64 makes a third more of them."""

JOB_ID = re.compile(PREFIX + "[0-9a-f]{16}")

OVER = frozenset({"succeeded", "failed", "stopped"})
"""States that a cluster leaves only when the job is handed to it again."""

AT_WORK = frozenset({"pending", "running"})

TO_BE_STARTED_AGAIN = frozenset({"failed", "stopped"})


@dataclass(frozen=True, kw_only=True)
class JobReport:
    """A training job as a cluster tells of it; `state` is pending, running, or one of OVER."""

    id: str
    state: str
    message: str
    config: dict[str, Any]
    submitted_at: datetime | None
    finished_at: datetime | None


class JobBackend(Protocol):
    """A place where training jobs run. Every call raises ClusterAway when it does not answer."""

    kind: str
    """What the store calls it: ray, kubernetes."""

    def start(self, config: TrainConfig) -> tuple[JobReport, bool]:
        """Run a configuration; return its job and whether it was started just now.

        One that is waiting, running or has succeeded is not started again; one that failed or was
        stopped is. Two that start the same at once start it once.
        """
        ...

    def find(self, job_id: str) -> JobReport | None:
        """Return a job, or None when this cluster knows no such job."""
        ...

    def all(self) -> list[JobReport]:
        """Return all training jobs that this cluster knows."""
        ...

    def stop(self, job_id: str) -> JobReport | None:
        """Stop a job; None when this cluster knows no such job."""
        ...

    def logs(self, job_id: str) -> str | None:
        """Return what a job has written so far; None when this cluster has kept nothing of it."""
        ...

    def follow(self, job_id: str) -> AsyncIterator[str]:
        """Yield what a job writes, from its start until it is over."""
        ...


def job_id(config: TrainConfig) -> str:
    """Return the id of a configuration's job: the same configuration has the same id, always.

    What is left at its default is not said, so that a version with more options has the same ids; so no
    default may change, or two trainings would have one.
    """
    said = joining(config).model_dump(mode="json", exclude_defaults=True)
    return PREFIX + hashlib.sha256(_as_text(said).encode()).hexdigest()[:16]


def canonical(config: TrainConfig) -> str:
    """Return a configuration as the one JSON text that stands for it."""
    return _as_text(config.model_dump(mode="json"))


def joining(config: TrainConfig) -> TrainConfig:
    """Let the run join the cluster that runs the job; without an address it would start its own."""
    return config.model_copy(update={"ray_address": "auto"})


def check_size(config: TrainConfig) -> None:
    """Raise BadInput for a configuration that is too long for the command line of a job."""
    length = len(shlex.quote(canonical(config)))
    if length > MAX_CHARS:
        raise BadInput(
            f"the configuration has {length:,} characters, and a job is told {MAX_CHARS:,} at most; "
            "shorten its texts (notes, intended_use, licences), or join sets in one folder"
        )


def _as_text(values: dict[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def first_line(error: Exception) -> str:
    """Return the first line of an error's message: remote ones bring whole tracebacks along."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
