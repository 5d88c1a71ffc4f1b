"""Leases on cells: who works on which, until when, and how the next worker finds work.

A claim takes free cells with FOR UPDATE SKIP LOCKED, so workers never wait for each other nor get the
same cell; a lease that runs out makes its cell free again.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text

from pavemap.geo.grid import Cell
from pavemap.geo.store.bulk import driver
from pavemap.geo.store.engine import translated
from pavemap.geo.store.planning import WORK_CHANNEL, wake_workers
from pavemap.geo.store.surveys import clean
from pavemap.geo.store.workers import note_alive, note_seen, strike_off

MAX_DEATHS = 5
"""Attempts after which a cell whose workers died without a word is failed: it may be what kills them."""


@dataclass(frozen=True, kw_only=True)
class ClaimedCell:
    """A cell lent to a worker; with the worker's name it is the right to write the cell's result."""

    survey_id: uuid.UUID
    cell: Cell
    attempt: int
    inputs_digest: str


def claim(
    connection: Connection,
    *,
    worker: str,
    lease_s: float = 60.0,
    limit: int = 1,
    max_deaths: int = MAX_DEATHS,
    model_id: str | None = None,
    fresh: bool = False,
) -> list[ClaimedCell]:
    """Take up to `limit` cells that wait, or whose lease ran out, for `lease_s` seconds.

    Surveys are served in the order they were started, cells in the order of the grid, so that
    workers read neighbouring imagery. A cell at which `max_deaths` leases ran out is failed. With a
    `model_id`, only surveys of that model version are served; `fresh` leaves out cells that have rested
    after an error, or while something was away.
    """
    note_seen(connection, worker, model_id=model_id)
    connection.execute(_BURY, {"max_deaths": max_deaths})
    rows = connection.execute(
        _CLAIM,
        {
            "worker": worker,
            "lease_s": lease_s,
            "limit": limit,
            "model_id": model_id,
            "fresh": fresh,
        },
    )
    claimed = [
        ClaimedCell(
            survey_id=row.survey_id,
            cell=Cell(row.col, row.row),
            attempt=row.attempts,
            inputs_digest=row.inputs_digest,
        )
        for row in rows
    ]
    return sorted(claimed, key=lambda one: (one.survey_id, one.cell))


def heartbeat(connection: Connection, *, worker: str, lease_s: float = 60.0) -> int:
    """Prolong all that a worker holds, cells and measurings; return how many things that is."""
    note_alive(connection, worker)
    parameters = {"worker": worker, "lease_s": lease_s}
    cells = connection.execute(_PROLONG_CELLS, parameters).rowcount
    return cells + connection.execute(_PROLONG_MEASURING, parameters).rowcount


def release(connection: Connection, worker: str, *, rest_s: float = 0.0, error: str = "") -> int:
    """Give back all that a worker holds, as a worker that stops in good order does; not an attempt.

    What it could not do because something is away rests for `rest_s` seconds, so that other work goes
    first, and bears the `error` meanwhile.
    """
    strike_off(connection, worker)
    parameters = {"worker": worker, "rest_s": rest_s, "error": clean(error)}
    cells = connection.execute(_RELEASE_CELLS, parameters).rowcount
    surveys = connection.execute(_RELEASE_MEASURING, parameters).rowcount
    if cells or surveys:
        wake_workers(connection)
    return cells + surveys


def wait_for_work(engine: Engine, timeout_s: float, *, model_id: str | None = None) -> bool:
    """Sleep until there may be a cell to claim, at most `timeout_s` seconds; tell whether there is.

    Holds a connection of the pool meanwhile. Raises Unavailable when the database goes away.
    """
    with translated(), engine.connect() as plain:
        connection = plain.execution_options(isolation_level="AUTOCOMMIT")
        below = driver(connection)
        connection.execute(text(f"LISTEN {WORK_CHANNEL}"))
        try:
            # Listening already, so work that comes after this look is notified.
            if connection.scalar(_ANY_WORK, {"model_id": model_id}):
                return True
            return any(True for _ in below.notifies(timeout=timeout_s, stop_after=1))
        finally:
            if not below.broken:
                connection.execute(text("UNLISTEN *"))


_FREE = """(c.state IN ('waiting', 'leased')
            AND (c.lease_until IS NULL OR c.lease_until < clock_timestamp()))"""

_OF_MODEL = "(CAST(:model_id AS text) IS NULL OR model_id = :model_id)"

# One index scan of ix_cell_open per survey at work, in order, ended by the limit.
_CLAIM = text(f"""
    WITH free AS (
        SELECT c.survey_id, c.col, c."row"
        FROM (SELECT id FROM survey WHERE state = 'running' AND {_OF_MODEL}
              ORDER BY started_at, id) AS s
        CROSS JOIN LATERAL (
            SELECT c.survey_id, c.col, c."row" FROM cell c
            WHERE c.survey_id = s.id AND {_FREE}
                AND (c.state = 'leased' OR c.lease_until IS NULL OR NOT :fresh)
            ORDER BY c.col, c."row" LIMIT :limit
            FOR NO KEY UPDATE SKIP LOCKED) AS c
        LIMIT :limit)
    UPDATE cell SET state = 'leased', lease_owner = :worker, attempts = attempts + 1,
        lease_until = clock_timestamp() + make_interval(secs => :lease_s)
    FROM free WHERE (cell.survey_id, cell.col, cell."row") = (free.survey_id, free.col, free."row")
    RETURNING cell.survey_id, cell.col, cell."row", cell.attempts, cell.inputs_digest
""")

_BURY = text("""
    UPDATE cell SET state = 'failed', lease_owner = NULL, lease_until = NULL,
        finished_at = clock_timestamp(),
        error = format('%s workers died at this cell or lost the database; the last was %s',
                       attempts - errors, lease_owner)
    WHERE (survey_id, col, "row") IN (
        SELECT survey_id, col, "row" FROM cell
        WHERE state = 'leased' AND lease_until < clock_timestamp() AND attempts - errors >= :max_deaths
        FOR NO KEY UPDATE SKIP LOCKED)
""")

# Rows that another session has locked are being stored or planned anew: never wait for them.
_PROLONG_CELLS = text("""
    UPDATE cell SET lease_until = clock_timestamp() + make_interval(secs => :lease_s)
    WHERE (survey_id, col, "row") IN (
        SELECT survey_id, col, "row" FROM cell WHERE state = 'leased' AND lease_owner = :worker
        FOR NO KEY UPDATE SKIP LOCKED)
""")

_PROLONG_MEASURING = text("""
    UPDATE survey SET lease_until = clock_timestamp() + make_interval(secs => :lease_s)
    WHERE id IN (SELECT id FROM survey WHERE state = 'measuring' AND lease_owner = :worker
                 FOR NO KEY UPDATE SKIP LOCKED)
""")

_RELEASE_CELLS = text("""
    UPDATE cell SET state = 'waiting', lease_owner = NULL, attempts = greatest(attempts - 1, 0),
        error = CASE WHEN :error = '' THEN error ELSE :error END,
        lease_until = CASE WHEN :rest_s > 0 THEN clock_timestamp() + make_interval(secs => :rest_s) END
    WHERE state = 'leased' AND lease_owner = :worker
""")

_RELEASE_MEASURING = text("""
    UPDATE survey SET state = 'running', lease_owner = NULL, epoch = epoch + 1, error = :error,
        measuring_attempts = greatest(measuring_attempts - 1, 0),
        lease_until = CASE WHEN :rest_s > 0 THEN clock_timestamp() + make_interval(secs => :rest_s) END
    WHERE state = 'measuring' AND lease_owner = :worker
""")

_ANY_WORK = text(f"""
    SELECT EXISTS (SELECT FROM survey s JOIN cell c ON c.survey_id = s.id
                   WHERE s.state = 'running' AND {_OF_MODEL} AND {_FREE})
""")
