"""Leases on surveys: who may measure one that has no cell left, until when, and how it ends."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Connection, text, update

from pavemap.geo.store.heeded_reviews import Heeded
from pavemap.geo.store.surveys import SurveyRow, clean
from pavemap.geo.store.tables import Survey
from pavemap.geo.store.workers import MAX_DEATHS


def claim_measuring(connection: Connection, *, worker: str, lease_s: float) -> SurveyRow | None:
    """Take, for `lease_s` seconds, a survey that has no cell left to do, or whose measurer died.

    One worker gets it; `leases.heartbeat` prolongs the lease. A survey at whose measuring MAX_DEATHS
    leases ran out is failed. None when there is nothing to measure.
    """
    asking = {"worker": worker, "lease_s": lease_s}
    connection.execute(_BURY, asking | {"max_deaths": MAX_DEATHS})
    candidate = connection.execute(_MEASURABLE, asking).scalar_one_or_none()
    if candidate is None:
        return None
    # A plan may have been committed since that statement began: now, under the lock, look again.
    row = connection.execute(_TAKE, asking | {"id": candidate}).one_or_none()
    return None if row is None else SurveyRow(**row._mapping)


def prolong_measuring(connection: Connection, worker: str, *, lease_s: float) -> int:
    """Prolong the lease of what a worker measures; return how many surveys that is."""
    return connection.execute(_PROLONG, {"worker": worker, "lease_s": lease_s}).rowcount


def release_measuring(connection: Connection, worker: str, *, rest_s: float, error: str) -> int:
    """Give back what a worker measures, to rest with this error; return how many surveys that is."""
    return connection.execute(
        _RELEASE, {"worker": worker, "rest_s": rest_s, "error": clean(error)}
    ).rowcount


def finish_survey(
    connection: Connection,
    survey: SurveyRow,
    *,
    state: Literal["done", "failed"] = "done",
    error: str = "",
    heeded: Heeded | None = None,
) -> bool:
    """End a measuring, unless the survey was planned or claimed anew since `survey` was read.

    `heeded` are the reviews that the figures heed which it wrote; None where they are as found.
    """
    wrote = {} if state == "failed" else _columns_of(heeded)
    ended = connection.execute(
        update(Survey)
        .where(Survey.id == survey.id, Survey.epoch == survey.epoch)
        .values(
            state=state,
            error=clean(error),
            lease_owner=None,
            lease_until=None,
            finished_at=text("clock_timestamp()"),
            **wrote,
        )
    )
    return ended.rowcount == 1


def _columns_of(heeded: Heeded | None) -> dict[str, Any]:
    count, digest = (None, None) if heeded is None else (heeded.count, heeded.digest)
    return {"heeded_reviews": count, "heeded_digest": digest}


# From the last cell on: done ones, which come first, leave index entries behind that an older transaction
# anywhere in the cluster keeps. (Of EXISTS the order would be dropped.)
_NOTHING_OPEN = """(
    SELECT true FROM cell c WHERE c.survey_id = survey.id AND c.state IN ('waiting', 'leased')
    ORDER BY c.col DESC, c."row" DESC LIMIT 1) IS NULL"""

# Heartbeats skip a survey that others have locked, but still note their worker. One that asks for a
# survey itself measures none any more.
_OWNER_GONE = """NOT EXISTS (
    SELECT FROM worker w WHERE w.name = survey.lease_owner AND w.name <> :worker
        AND w.seen_at > clock_timestamp() - make_interval(secs => :lease_s))"""

# ix_survey_at_work holds the few surveys at work; ix_cell_open tells of each whether cells are left.
_MEASURABLE = text(f"""
    SELECT id FROM survey
    WHERE state IN ('running', 'measuring')
      AND (lease_until IS NULL OR lease_until < clock_timestamp())
      AND (state = 'measuring' OR {_NOTHING_OPEN})
      AND {_OWNER_GONE}
    ORDER BY started_at, id LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
""")

# By name: a newer version's migration may have added columns that this one doesn't know.
_TAKE = text(f"""
    UPDATE survey SET state = 'measuring', epoch = epoch + 1, lease_owner = :worker,
        lease_until = clock_timestamp() + make_interval(secs => :lease_s),
        error = '', measuring_attempts = measuring_attempts + 1
    WHERE id = :id AND {_NOTHING_OPEN}
    RETURNING {", ".join(column.name for column in Survey.__table__.columns)}
""")

_BURY = text(f"""
    UPDATE survey SET state = 'failed', lease_owner = NULL, lease_until = NULL,
        finished_at = clock_timestamp(),
        error = format('%s workers died while they measured this survey or lost the database; the last '
                       'was %s. If their logs or their node tell that memory ran out, give Surveyors '
                       'more, then run the survey again: what its cells found is kept',
                       measuring_attempts, lease_owner)
    WHERE id IN (
        SELECT id FROM survey
        WHERE state = 'measuring' AND lease_until < clock_timestamp()
            AND measuring_attempts >= :max_deaths AND {_OWNER_GONE}
        FOR NO KEY UPDATE SKIP LOCKED)
""")

# Rows that another session has locked are being stored or planned anew: never wait for them.
_PROLONG = text("""
    UPDATE survey SET lease_until = clock_timestamp() + make_interval(secs => :lease_s)
    WHERE id IN (SELECT id FROM survey WHERE state = 'measuring' AND lease_owner = :worker
                 FOR NO KEY UPDATE SKIP LOCKED)
""")

_RELEASE = text("""
    UPDATE survey SET state = 'running', lease_owner = NULL, epoch = epoch + 1, error = :error,
        measuring_attempts = greatest(measuring_attempts - 1, 0),
        lease_until = CASE WHEN :rest_s > 0 THEN clock_timestamp() + make_interval(secs => :rest_s) END
    WHERE state = 'measuring' AND lease_owner = :worker
""")
