"""Training jobs as people meet them: run by a backend, remembered in the database.

The cluster is the judge of a job while it is there; the database keeps what it last said, so that a
cluster that is away, replaced or emptied takes no job's fate with it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from sqlalchemy import Engine

from pavemap.geo.errors import Conflict, NotFound
from pavemap.geo.store import training_jobs as store
from pavemap.geo.store.engine import database
from pavemap.geo.store.training_jobs import TrainingJobRow
from pavemap.platform.errors import ClusterAway
from pavemap.platform.jobs.job import (
    AT_WORK,
    JOB_ID,
    OVER,
    TO_BE_STARTED_AGAIN,
    JobBackend,
    JobReport,
    check_size,
    job_id,
)
from pavemap.platform.jobs.kubernetes_jobs import KubernetesJobs
from pavemap.platform.jobs.ray_jobs import RayJobs
from pavemap.platform.settings import Settings
from pavemap.training.config import TrainConfig
from pavemap.training.progress_file import PROGRESS_FILE

log = logging.getLogger(__name__)

TRAINED_ALREADY = (
    "this configuration has been trained already, so nothing was started; where its images have changed "
    'since, give it another "name"'
)

SENT_AGAIN = "handed to the cluster again"

BEING_STOPPED = "it was told to stop, and is being stopped"

LOST = (
    "the cluster knows this job no more; it may have been replaced. Submit the configuration again: "
    "it goes on from its last checkpoint"
)


def backend_of(settings: Settings) -> JobBackend:
    """Return the backend that the settings choose. Raises BadInput when it lacks a setting."""
    if settings.job_backend == "kubernetes":
        return KubernetesJobs.configured(settings)
    return RayJobs.configured(settings)


@dataclass(frozen=True)
class TrainingJobs:
    """All training jobs, past and present."""

    engine: Engine
    backend: JobBackend

    @classmethod
    def configured(cls, settings: Settings, *, engine: Engine) -> Self:
        """Return the jobs of the backend that the settings choose."""
        return cls(engine, backend_of(settings))

    def submit(self, config: TrainConfig) -> tuple[TrainingJobRow, bool]:
        """Hand a configuration to the cluster; return its job and whether it was started just now.

        A configuration whose job is waiting, running or has succeeded is not started again; one
        that failed, was stopped or got lost is, and goes on from its last checkpoint. Raises
        ClusterAway, BadInput where it is too long, and Conflict while its job is being stopped or
        another job that is not over writes to the same folder.
        """
        check_size(config)
        known = self._known(job_id(config))
        if known is not None and known.message == BEING_STOPPED:
            known = self._stopped(known)
        if known is not None and known.state == "succeeded":
            return replace(known, message=TRAINED_ALREADY), False
        self._refuse_same_output(config)
        if known is not None and known.state in TO_BE_STARTED_AGAIN:
            self.backend.find(known.id)  # a cluster that is away changes nothing
            # Before it is sent: should the answer get lost, the cluster is asked for the job's fate.
            known = self._noted(known, state="pending", message=SENT_AGAIN)
        report, started = self.backend.start(config)
        if started:
            log.info("submitted training job %s", report.id, extra={"job_id": report.id})
        return self._record(report, after=known, started=started), started

    def get(self, name: str) -> TrainingJobRow:
        """Return a job; while the cluster is away, as it was last seen. Raises NotFound or ClusterAway."""
        if JOB_ID.fullmatch(name) is None:
            raise NotFound(_unknown(name))
        known = self._known(name)
        if known is not None and (known.state in OVER or known.backend != self.backend.kind):
            return known
        try:
            report = self.backend.find(name)
        except ClusterAway as exc:
            if known is None:
                raise
            return _last_seen(known, exc)
        if report is not None:
            return self._record(report, after=known)
        if known is None:
            raise NotFound(_unknown(name))
        if known.state == "lost":
            return known  # the cluster last told of it when it was seen last
        return self._noted(known, state="lost", message=LOST)

    def list(self) -> list[TrainingJobRow]:
        """Return all jobs, the newest first: finished ones too, and those of clusters that are gone."""
        with database(self.engine) as connection:
            rows = {row.id: row for row in store.list_jobs(connection)}
        try:
            reports = {report.id: report for report in self.backend.all()}
        except ClusterAway as exc:
            return [row if row.state in OVER else _last_seen(row, exc) for row in rows.values()]
        for name, report in reports.items():
            if name not in rows:
                rows[name] = self._record(report)
        for name, row in rows.items():
            if row.state in OVER or row.backend != self.backend.kind:
                continue
            told = reports.get(name)
            if told is None and row.state == "lost":
                continue  # the cluster last told of it when it was seen last
            rows[name] = (
                self._noted(row, state="lost", message=LOST)
                if told is None
                else self._record(told, after=row)
            )
        return sorted(rows.values(), key=lambda row: row.submitted_at or row.created_at)[::-1]

    def cancel(self, name: str) -> TrainingJobRow:
        """Stop a job that is not over yet. Raises NotFound, Conflict when it is over, ClusterAway."""
        job = self.get(name)
        if job.state in OVER or job.state == "lost":
            raise Conflict(f"training job {name} has {job.state}; there is nothing to cancel")
        if job.backend != self.backend.kind:
            raise Conflict(self._elsewhere(job))
        report = self.backend.stop(name)
        if report is None:
            return self._noted(job, state="lost", message=LOST)
        if report.state in AT_WORK:
            report = replace(report, message=BEING_STOPPED)
        return self._record(report, after=job)

    def logs(self, name: str) -> str:
        """Return what a job has written so far. Raises NotFound, ClusterAway."""
        job = self._job_here(name)
        text = self.backend.logs(name)
        if text is None:
            raise NotFound(_log_gone(job))
        return text

    def check_followed(self, name: str) -> None:
        """Raise NotFound or ClusterAway where `follow` would have nothing to tell of a job."""
        job = self._job_here(name)
        if self.backend.find(name) is None:
            raise NotFound(_log_gone(job))

    async def follow(self, name: str) -> AsyncIterator[str]:
        """Yield what a job writes, from its start until it is over.

        When the cluster goes away meanwhile the last line says so; what was last known of the job
        stays, and `get` asks for its fate once the cluster is back.
        """
        try:
            async for text in self.backend.follow(name):
                yield text
        except ClusterAway as exc:
            log.warning("lost the log of %s: %s", name, exc, extra={"job_id": name})
            yield f"\n[pavemap] {exc}\n"

    def metrics(self, name: str) -> Sequence[dict[str, Any]]:
        """Return the figures that a job has reported so far: iteration, loss and what else it says."""
        return [*_figures(self.logs(name).splitlines())]

    async def follow_metrics(self, name: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the figures of a job as they come."""
        rest = ""
        async for text in self.follow(name):
            *lines, rest = (rest + text).split("\n")
            for figures in _figures(lines):
                yield figures
        for figures in _figures([rest]):
            yield figures

    def _job_here(self, name: str) -> TrainingJobRow:
        job = self.get(name)
        if job.backend != self.backend.kind:
            raise NotFound(self._elsewhere(job))
        return job

    def _elsewhere(self, job: TrainingJobRow) -> str:
        return (
            f"training job {job.id} is with the backend '{job.backend}', and this server is set to "
            f"'{self.backend.kind}' (PAVEMAP_JOB_BACKEND); ask the cluster where it runs"
        )

    def _known(self, name: str) -> TrainingJobRow | None:
        with database(self.engine) as connection:
            return store.find_job(connection, name)

    def _record(
        self, report: JobReport, *, after: TrainingJobRow | None = None, started: bool = False
    ) -> TrainingJobRow:
        with database(self.engine) as connection:
            return store.record_job(
                connection,
                id=report.id,
                backend=self.backend.kind,
                config=report.config,
                state=report.state,
                message=report.message,
                submitted_at=report.submitted_at,
                finished_at=report.finished_at,
                after=after,
                started=started,
                # The cluster doesn't say whether a job that is at work was told to stop.
                kept_message=BEING_STOPPED if report.state in AT_WORK and not started else None,
            )

    def _stopped(self, job: TrainingJobRow) -> TrainingJobRow:
        """Return a job that was told to stop as it is now. Raises ClusterAway, Conflict while it runs."""
        report = self.backend.find(job.id)
        if report is None:
            return job
        if report.state in AT_WORK:
            raise Conflict(f"training job {job.id} is being stopped; send it again in a moment")
        return self._record(report, after=job)

    def _refuse_same_output(self, config: TrainConfig) -> None:
        """Two trainings at once would mix their checkpoints and their progress in one folder."""
        own, output = job_id(config), config.model_dump(mode="json")["output"]
        with database(self.engine) as connection:
            rows = store.list_jobs(connection)
        for row in rows:
            there = row.backend == self.backend.kind and row.config.get("output") == output
            if row.id == own or not there or row.state not in AT_WORK:
                continue
            report = self.backend.find(row.id)
            if report is not None and report.state in AT_WORK:
                raise Conflict(
                    f"training job {row.id} is at work in {output}; cancel it, wait for its end, or give "
                    "this configuration another output"
                )

    def _noted(self, row: TrainingJobRow, *, state: str, message: str) -> TrainingJobRow:
        """Note of a job what no cluster tells."""
        report = JobReport(
            id=row.id,
            state=state,
            message=message,
            config=dict(row.config),
            submitted_at=row.submitted_at,
            finished_at=None,
        )
        return self._record(report, after=row)


def _figures(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Yield the progress among the lines of a log: JSON objects with an iteration."""
    for line in lines:
        if not line.lstrip().startswith("{"):
            continue
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "iteration" in found:
            yield found


def _log_gone(job: TrainingJobRow) -> str:
    return (
        f"the log of {job.id} went with its cluster; its progress is kept beside its "
        f"checkpoints, in {job.config.get('output', 'its output')}/{PROGRESS_FILE}"
    )


def _last_seen(row: TrainingJobRow, reason: ClusterAway) -> TrainingJobRow:
    moment = f"{row.seen_at:%Y-%m-%d %H:%M:%S} UTC"
    return replace(row, message=f"last seen {row.state} at {moment}; {reason}")


def _unknown(name: str) -> str:
    return (
        f"there is no training job {name[:60]!r}; GET /api/v1/training-jobs lists those there are"
    )
