"""Training jobs in the store: the state each was last seen in, kept when its cluster is gone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, select
from sqlalchemy.dialects.postgresql import insert

from pavemap.geo.store.surveys import clean
from pavemap.geo.store.tables import TrainingJob

MOST_JOBS = 1000
"""That are listed; older ones are still found by id."""


@dataclass(frozen=True, kw_only=True)
class TrainingJobRow:
    """A training job; `backend` names the kind of cluster it was handed to."""

    id: str
    backend: str
    config: Mapping[str, Any]
    state: str
    message: str
    submissions: int
    created_at: datetime
    submitted_at: datetime | None
    finished_at: datetime | None
    seen_at: datetime
    """When the cluster last told the state."""


def find_job(connection: Connection, job_id: str) -> TrainingJobRow | None:
    """Return a job, or None."""
    row = connection.execute(
        select(*TrainingJob.__table__.columns).where(TrainingJob.id == job_id)
    ).one_or_none()
    return None if row is None else _job_row(row)


def list_jobs(connection: Connection) -> list[TrainingJobRow]:
    """Return the jobs that were submitted last, the newest first."""
    newest = func.coalesce(TrainingJob.submitted_at, TrainingJob.created_at).desc()
    query = select(*TrainingJob.__table__.columns).order_by(newest, TrainingJob.id).limit(MOST_JOBS)
    return [_job_row(row) for row in connection.execute(query)]


def record_job(
    connection: Connection,
    *,
    id: str,  # noqa: A002 (the column's name)
    backend: str,
    config: Mapping[str, Any],
    state: str,
    message: str,
    submitted_at: datetime | None,
    finished_at: datetime | None,
    after: TrainingJobRow | None = None,
    started: bool = False,
    kept_message: str | None = None,
) -> TrainingJobRow:
    """Note what a cluster says of a job; return the job as it is stored then.

    `after` is what was known when the cluster was asked, None where nothing was. With `started` it was
    handed over just now, once more than that says. Else, where somebody has handed it over since, the
    answer is out of date and dropped. Where the stored message is `kept_message` it stays.
    """
    new = insert(TrainingJob).values(
        id=id,
        backend=backend,
        config=dict(config),
        state=state,
        message=clean(message),
        submitted_at=submitted_at,
        finished_at=finished_at,
        seen_at=func.clock_timestamp(),
    )
    told: dict[Any, Any] = {
        name: new.excluded[name]
        for name in ("backend", "state", "message", "submitted_at", "finished_at", "seen_at")
    }
    # Who lists the jobs at that moment notes a new one first, as handed over once.
    told["submissions"] = TrainingJob.submissions + int(started and after is not None)
    if kept_message is not None:
        stays = TrainingJob.message == kept_message
        told["message"] = case((stays, kept_message), else_=new.excluded.message)
    current = None
    if not started and after is not None:
        current = TrainingJob.submissions == after.submissions
    row = connection.execute(
        new.on_conflict_do_update(index_elements=["id"], set_=told, where=current).returning(
            *TrainingJob.__table__.columns
        )
    ).one_or_none()
    if row is None:
        row = connection.execute(
            select(*TrainingJob.__table__.columns).where(TrainingJob.id == id)
        ).one()
    return _job_row(row)


def _job_row(row: Row[Any]) -> TrainingJobRow:
    return TrainingJobRow(**row._mapping)
