"""The work queue of cells: planned, claimed by lease, stored whole or not at all.

What a worker writes is bound to its very claim: owner, attempt and digest of the inputs must be those
of the row, so one that lost its lease, or whose cell was planned anew, writes nothing. A cell is thus
surveyed at least once, and counted exactly once. Planning and leases have modules of their own.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import shapely
from sqlalchemy import Connection, text

from pavemap.geo.crs import WGS84, parse_metric_crs, reproject
from pavemap.geo.errors import BadInput
from pavemap.geo.grid import Cell
from pavemap.geo.store import tables
from pavemap.geo.store.bulk import copy_frame, geometry_value
from pavemap.geo.store.cursors import Cursor
from pavemap.geo.store.leases import ClaimedCell
from pavemap.geo.store.planning import set_running, wake_workers
from pavemap.geo.store.surveys import clean, get_survey, lock_survey

if TYPE_CHECKING:  # the API imports this module, and has no use for compiled vectorising
    from pavemap.geo.survey_cell import CellResult

CellState = Literal["waiting", "leased", "done", "failed"]


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """A cell of a survey and how far it is: its square in degrees, and what went wrong last."""

    cell: Cell
    state: CellState
    attempts: int
    error: str
    imaged_m2: float
    finished_at: datetime | None
    square: shapely.Polygon


def complete(
    connection: Connection,
    *,
    claimed: ClaimedCell,
    result: CellResult,
    worker: str,
    made_of: str | None = None,
) -> bool:
    """Store a cell's result in place of any former one, and mark the cell done.

    `made_of` is the digest of what it was computed from, where that may have changed since the plan: the
    next plan compares with it, and until then the survey says that its imagery is other than planned.
    All in the caller's transaction. False, with nothing written, when the claim no longer holds.
    """
    mixed = made_of not in {None, claimed.inputs_digest}
    if mixed:  # the survey before its cells, as plans lock them
        connection.execute(_LOCK_SURVEY, {"survey_id": claimed.survey_id})
    stored = connection.execute(
        _DONE,
        _claim_parameters(claimed, worker)
        | {
            "made_of": claimed.inputs_digest if made_of is None else made_of,
            "imaged_m2": float(result.imaged_m2),
        },
    ).one_or_none()
    if stored is None:
        return False
    if mixed:
        connection.execute(_MIXED, {"survey_id": claimed.survey_id})
    crs = parse_metric_crs(stored.crs)
    place = {"survey_id": claimed.survey_id, "col": claimed.cell.col, "row": claimed.cell.row}
    connection.execute(_FORGET_FRAGMENTS, place)
    connection.execute(_FORGET_SEGMENTS, place)
    if result.imaged_part is not None:
        part = geometry_value(reproject(result.imaged_part, crs, WGS84))
        connection.execute(_KEEP_PART, place | {"part": part})
    lines = np.asarray(result.lines, dtype=object)
    if len(lines):
        in_degrees = reproject(lines, crs, WGS84)
        trust = result.trusted()
        copy_frame(
            connection,
            tables.Fragment,
            {
                **place,
                "geom": in_degrees,
                "confidence": trust.confidence,
                "sure_share": trust.sure,
            },
        )
    segments = sorted(key for key, m2 in result.imaged.items() if m2 > 0.0)
    if segments:
        copy_frame(
            connection,
            tables.CellSegment,
            {
                **place,
                "segment_id": segments,
                "imaged_m2": [float(result.imaged[key]) for key in segments],
                "coarse_m2": [float(result.coarse.get(key, 0.0)) for key in segments],
            },
        )
    return True


def fail(
    connection: Connection,
    *,
    claimed: ClaimedCell,
    worker: str,
    error: str,
    max_attempts: int,
    retry_after_s: float = 0.0,
) -> bool:
    """Note an error at a cell: it waits for another attempt, or is failed after `max_attempts` errors.

    `retry_after_s`, doubled after each further error, keeps it from being claimed again at once. False
    when the claim no longer holds.
    """
    noted = connection.execute(
        _FAIL,
        _claim_parameters(claimed, worker)
        | {"error": clean(error), "max_attempts": max_attempts, "pause_s": retry_after_s},
    )
    if noted.rowcount:
        wake_workers(connection)
    return bool(noted.rowcount)


def cells_page(
    connection: Connection,
    survey_id: uuid.UUID,
    *,
    state: CellState | None = None,
    limit: int = 1000,
    after: str | None = None,
) -> tuple[list[CellRow], str | None]:
    """Return a page of a survey's cells in the order of the grid, and the cursor of the next or None.

    Raises NotFound for an unknown survey, BadInput for a bad cursor.
    """
    get_survey(connection, survey_id)
    cursor = Cursor.read(after, order=f"cells-{state or 'all'}", key_type=str)
    found = connection.execute(
        _PAGE_OF_STATE if state else _PAGE,
        {"survey_id": survey_id, "state": state, "limit": limit + 1} | _place_of(cursor),
    ).all()
    page = found[:limit]
    squares = shapely.from_wkb([row.square for row in page])
    rows = [
        CellRow(
            cell=Cell(row.col, row.row),
            state=row.state,
            attempts=row.attempts,
            error=row.error,
            imaged_m2=row.imaged_m2,
            finished_at=row.finished_at,
            square=square,
        )
        for row, square in zip(page, squares, strict=True)
    ]
    more = len(found) > limit
    return rows, cursor.at(f"{page[-1].col},{page[-1].row}", 0) if more else None


def retry_failed(connection: Connection, survey_id: uuid.UUID) -> int:
    """Send a survey's failed cells back to waiting, their attempts forgotten; return how many."""
    lock_survey(connection, survey_id)
    count = connection.execute(_RETRY, {"survey_id": survey_id}).rowcount
    if count:
        set_running(connection, survey_id)
    return count


def _place_of(cursor: Cursor) -> dict[str, int]:
    """Return the cell that a cursor stands at. Raises BadInput."""
    if cursor.key is None:
        return {"col": SMALLEST, "row": SMALLEST}
    try:
        col, row = (int(part) for part in str(cursor.key).split(","))
    except ValueError as exc:
        raise BadInput("the cursor is none of cells; begin again without one") from exc
    if not max(abs(col), abs(row)) <= -SMALLEST:
        raise BadInput("the cursor is of no cell on the Earth; begin again without one")
    return {"col": col, "row": row}


def _claim_parameters(claimed: ClaimedCell, worker: str) -> dict[str, Any]:
    return {
        "survey_id": claimed.survey_id,
        "col": claimed.cell.col,
        "row": claimed.cell.row,
        "worker": worker,
        "attempt": claimed.attempt,
        "digest": claimed.inputs_digest,
    }


_HELD = """state = 'leased' AND survey_id = :survey_id AND col = :col AND "row" = :row
    AND lease_owner = :worker AND attempts = :attempt AND inputs_digest = :digest"""

_DONE = text(f"""
    UPDATE cell SET state = 'done', lease_owner = NULL, lease_until = NULL, error = '',
        inputs_digest = :made_of, imaged_m2 = :imaged_m2, imaged_part = NULL,
        finished_at = clock_timestamp()
    WHERE {_HELD} RETURNING (SELECT crs FROM survey WHERE id = survey_id) AS crs
""")

_LOCK_SURVEY = text("SELECT FROM survey WHERE id = :survey_id FOR NO KEY UPDATE")
_MIXED = text("UPDATE survey SET planned_imagery = '' WHERE id = :survey_id")

_FAIL = text(f"""
    UPDATE cell SET error = :error, lease_owner = NULL, errors = errors + 1,
        state = CASE WHEN errors + 1 >= :max_attempts THEN 'failed' ELSE 'waiting' END,
        finished_at = CASE WHEN errors + 1 >= :max_attempts THEN clock_timestamp() END,
        lease_until = CASE WHEN errors + 1 < :max_attempts AND :pause_s > 0
                      THEN clock_timestamp() + make_interval(secs => :pause_s * power(2, errors)) END
    WHERE {_HELD}
""")

_CELL = 'survey_id = :survey_id AND col = :col AND "row" = :row'
_KEEP_PART = text(f"UPDATE cell SET imaged_part = CAST(:part AS geometry) WHERE {_CELL}")
_FORGET_FRAGMENTS = text(f"DELETE FROM fragment WHERE {_CELL}")
_FORGET_SEGMENTS = text(f"DELETE FROM cell_segment WHERE {_CELL}")

SMALLEST = -(2**62)
"""Below the column and row of any cell."""

_CELLS_FROM = """
    SELECT col, "row", state, attempts, error, imaged_m2, finished_at, ST_AsBinary(geom) AS square
    FROM cell WHERE survey_id = :survey_id AND (col, "row") > (:col, :row)"""
_PAGE = text(f'{_CELLS_FROM} ORDER BY col, "row" LIMIT :limit')
_PAGE_OF_STATE = text(f'{_CELLS_FROM} AND state = :state ORDER BY col, "row" LIMIT :limit')

_RETRY = text("""
    UPDATE cell SET state = 'waiting', attempts = 0, errors = 0, error = '', finished_at = NULL
    WHERE survey_id = :survey_id AND state = 'failed'
""")
