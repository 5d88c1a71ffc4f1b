"""Leases on cells: who works on which, until when, and how the next worker finds work.

A claim takes free cells with FOR UPDATE SKIP LOCKED, so workers never wait for each other nor get the
same cell; a lease that runs out makes its cell free again.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Row, text

from pavemap.geo.grid import Cell
from pavemap.geo.store.bulk import driver
from pavemap.geo.store.engine import translated
from pavemap.geo.store.measuring_leases import prolong_measuring, release_measuring
from pavemap.geo.store.planning import WORK_CHANNEL, wake_workers
from pavemap.geo.store.surveys import clean
from pavemap.geo.store.workers import MAX_DEATHS, note_alive, note_seen, strike_off

WALK_EVERY = 16
"""Claims of a worker until it looks again at all cells: such a claim costs more with each one done."""


@dataclass(frozen=True, kw_only=True)
class ClaimedCell:
    """A cell lent to a worker; with the worker's name it is the right to write the cell's result."""

    survey_id: uuid.UUID
    cell: Cell
    attempt: int
    inputs_digest: str


class Trail:
    """Where a worker claimed last in each survey, so that its next claim begins there.

    A done cell leaves index entries behind that every claim from the first cell on would have to pass
    for as long as any transaction of the database's server is older: a survey that is measured, a backup.
    What was freed behind the worker is found by a walk over all cells, which it takes now and then, when
    there is nothing ahead, and again for as long as it finds something behind.
    """

    def __init__(self) -> None:
        """Begin with no place: the first claim walks over all cells."""
        self._places: dict[uuid.UUID, tuple[int, Cell]] = {}
        self._until_walk = 0

    @property
    def leads_on(self) -> bool:
        """Whether the next claim may begin where the last one was."""
        return self._until_walk > 0

    def parameters(self) -> dict[str, list[Any]]:
        """Return the places as arrays: survey, its epoch when a cell was claimed, column and row."""
        return {
            "surveys": list(self._places),
            "epochs": [epoch for epoch, _ in self._places.values()],
            "cols": [cell.col for _, cell in self._places.values()],
            "rows": [cell.row for _, cell in self._places.values()],
        }

    def note(self, rows: Sequence[Row[Any]], *, walked: bool) -> None:
        """Note what was claimed, and whether all cells were looked at for it."""
        behind = False
        for row in rows:
            place = (row.epoch, Cell(row.col, row.row))
            known = self._places.get(row.survey_id, place)
            if known[0] == row.epoch and known[1] > place[1]:
                behind = True
            else:
                self._places[row.survey_id] = place
        if walked:
            self._until_walk = 0 if behind or not rows else WALK_EVERY
            if not rows:  # of surveys that are over no place is kept
                self._places.clear()
        self._until_walk = max(self._until_walk - 1, 0)


def claim(
    connection: Connection,
    *,
    worker: str,
    lease_s: float,
    limit: int = 1,
    model_id: str | None = None,
    fresh: bool = False,
    trail: Trail | None = None,
) -> list[ClaimedCell]:
    """Take up to `limit` cells that wait, or whose lease ran out, for `lease_s` seconds.

    Surveys are served in the order they were started, cells in the order of the grid, so that
    workers read neighbouring imagery; who brings the same `trail` to each claim goes on from its last
    one. A cell at which MAX_DEATHS leases ran out is failed. With a `model_id`, only surveys of that
    model version are served; `fresh` leaves out cells that have rested after an error, or while
    something was away.
    """
    note_seen(connection, worker, model_id=model_id)
    asking = {
        "worker": worker,
        "lease_s": lease_s,
        "limit": limit,
        "model_id": model_id,
        "fresh": fresh,
        "max_deaths": MAX_DEATHS,
    }
    trail = trail or Trail()
    rows: Sequence[Row[Any]] = []
    if trail.leads_on:
        rows = connection.execute(_CLAIM, asking | trail.parameters()).all()
        trail.note(rows, walked=False)
    if not rows:
        connection.execute(_BURY, asking)
        rows = connection.execute(_CLAIM, asking | Trail().parameters()).all()
        trail.note(rows, walked=True)
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


def heartbeat(connection: Connection, *, worker: str, lease_s: float) -> int:
    """Prolong all that a worker holds, cells and measurings; return how many things that is."""
    note_alive(connection, worker)
    cells = connection.execute(_PROLONG, {"worker": worker, "lease_s": lease_s}).rowcount
    return cells + prolong_measuring(connection, worker, lease_s=lease_s)


def release(connection: Connection, worker: str, *, rest_s: float = 0.0, error: str = "") -> int:
    """Give back all that a worker holds, as a worker that stops in good order does; not an attempt.

    What it could not do because something is away rests for `rest_s` seconds, so that other work goes
    first, and bears the `error` meanwhile: then the worker is still there.
    """
    if rest_s:
        note_alive(connection, worker)
    else:
        strike_off(connection, worker)
    parameters = {"worker": worker, "rest_s": rest_s, "error": clean(error)}
    cells = connection.execute(_RELEASE, parameters).rowcount
    surveys = release_measuring(connection, worker, rest_s=rest_s, error=error)
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

LEAST = "CAST(-9223372036854775808 AS bigint)"

_OF_MODEL = "(CAST(:model_id AS text) IS NULL OR model_id = :model_id)"

# Per survey at work one index scan of ix_cell_open, in order, from the worker's place in it on (all numbers
# are above the least one), ended by the limit. Another epoch has other cells: there no place counts.
_CLAIM = text(f"""
    WITH at_work AS (
        SELECT s.id, s.epoch, s.started_at, coalesce(p.col, {LEAST}) AS col,
            coalesce(p."row", {LEAST}) AS "row"
        FROM survey s LEFT JOIN unnest(CAST(:surveys AS uuid[]), CAST(:epochs AS bigint[]),
                CAST(:cols AS bigint[]), CAST(:rows AS bigint[])) AS p(id, epoch, col, "row")
            ON (p.id, p.epoch) = (s.id, s.epoch)
        WHERE s.state = 'running' AND {_OF_MODEL}
        ORDER BY s.started_at, s.id),
    free AS (
        SELECT c.survey_id, c.col, c."row", s.epoch
        FROM at_work s
        CROSS JOIN LATERAL (
            SELECT c.survey_id, c.col, c."row" FROM cell c
            WHERE c.survey_id = s.id AND (c.col, c."row") > (s.col, s."row") AND {_FREE}
                AND (c.state = 'leased' OR c.lease_until IS NULL OR NOT :fresh)
                AND (c.state = 'waiting' OR c.attempts - c.errors < :max_deaths)
            ORDER BY c.col, c."row" LIMIT :limit
            FOR NO KEY UPDATE SKIP LOCKED) AS c
        LIMIT :limit)
    UPDATE cell SET state = 'leased', lease_owner = :worker, attempts = attempts + 1,
        lease_until = clock_timestamp() + make_interval(secs => :lease_s)
    FROM free WHERE (cell.survey_id, cell.col, cell."row") = (free.survey_id, free.col, free."row")
    RETURNING cell.survey_id, cell.col, cell."row", cell.attempts, cell.inputs_digest, free.epoch
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
_PROLONG = text("""
    UPDATE cell SET lease_until = clock_timestamp() + make_interval(secs => :lease_s)
    WHERE (survey_id, col, "row") IN (
        SELECT survey_id, col, "row" FROM cell WHERE state = 'leased' AND lease_owner = :worker
        FOR NO KEY UPDATE SKIP LOCKED)
""")

_RELEASE = text("""
    UPDATE cell SET state = 'waiting', lease_owner = NULL, attempts = greatest(attempts - 1, 0),
        error = CASE WHEN :error = '' THEN error ELSE :error END,
        lease_until = CASE WHEN :rest_s > 0 THEN clock_timestamp() + make_interval(secs => :rest_s) END
    WHERE state = 'leased' AND lease_owner = :worker
""")

# From the last cell on: done ones, which come first, leave index entries behind.
_ANY_WORK = text(f"""
    SELECT EXISTS (
        SELECT FROM survey s CROSS JOIN LATERAL (
            SELECT FROM cell c WHERE c.survey_id = s.id AND {_FREE}
            ORDER BY c.col DESC, c."row" DESC LIMIT 1) AS c
        WHERE s.state = 'running' AND {_OF_MODEL})
""")
