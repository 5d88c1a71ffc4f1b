"""From imagery and pavement to rows of work: which cells a survey has, and which of them are due again.

A cell is planned where pavement and imagery meet. The digest of its inputs (the files that reach its
window in the order they are laid, the model, the parameters, the grid) tells whether what a done cell
found still holds; a done cell has that of what it was computed from. The same digest leaves it alone,
another one sends it back to waiting, and cells that no imagery reaches any more are dropped. Planning
twice therefore changes nothing, and a new file costs its own cells.
"""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from pavemap.geo.arrays import in_blocks
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput, Conflict
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.orthophoto import common_stretch
from pavemap.geo.store.bulk import SHAPES_AT_A_TIME, copy_frame, driver, fetch_columns
from pavemap.geo.store.cell_inputs import imagery_digest, input_digests
from pavemap.geo.store.engine import lift_timeouts
from pavemap.geo.store.networks import get_network
from pavemap.geo.store.orthophotos import OrthophotoRow, footprints_in, list_orthophotos
from pavemap.geo.store.pavements import pavements_in
from pavemap.geo.store.places import search_boxes
from pavemap.geo.store.surveys import BEING_DELETED, SurveyRow, lock_survey
from pavemap.geo.store.tables import Cell

log = logging.getLogger(__name__)

WORK_CHANNEL = "pavemap_cells"
"""Workers listen here."""


@dataclass(frozen=True)
class PlanReport:
    """What planning found: all cells, and how many are new, due again, or no longer covered."""

    total: int
    added: int
    redone: int
    dropped: int

    @property
    def changed(self) -> bool:
        """Whether there is anything to do that was not there before."""
        return bool(self.added or self.redone or self.dropped)


def plan_cells(connection: Connection, survey: SurveyRow) -> PlanReport:
    """Bring a survey's cells in line with its imagery, and set it running where work is due.

    Concurrent plans of one survey run one after the other; workers go on meanwhile. A done survey
    for which nothing changed stays done.

    Raises BadInput when there is no imagery, or none of it meets pavement.
    """
    lift_timeouts(connection)
    survey = lock_survey(connection, survey.id)
    grid = survey.grid()
    orthophotos = list_orthophotos(connection, survey.id)
    if not orthophotos:
        raise BadInput(
            f"survey '{survey.name}' has no imagery yet; upload orthophotos, then run it"
        )
    footprints = footprints_in(orthophotos, grid.crs)
    cells = covered_cells(connection, survey.network_id, footprints, grid=grid)
    if not len(cells):
        network = get_network(connection, survey.network_id)
        raise BadInput(
            f"none of the {len(orthophotos)} orthophotos of survey '{survey.name}' lies on a road of "
            f"network '{network.name}'; check the CRS of both, or survey another network"
        )
    stretch = common_stretch(tile.info for tile in orthophotos)
    digests = input_digests(survey, cells, footprints, orthophotos, grid=grid, stretch=stretch)
    _store_planned(connection, survey, orthophotos, stretch)
    report = _store_plan(connection, survey.id, cells, digests, grid=grid)
    log.info("planned: %s", report, extra={"survey_id": str(survey.id)})
    if report.changed or survey.state in {"created", "failed"}:
        set_running(connection, survey.id)
    return report


def set_running(connection: Connection, survey_id: uuid.UUID) -> None:
    """Put a survey (back) to work, void any measuring of it and its count, and wake the workers.

    Raises Conflict for one that is being deleted: some of its imagery may be gone.
    """
    begun = connection.execute(
        text("""
            UPDATE survey SET state = 'running', epoch = epoch + 1, error = '', lease_owner = NULL,
                lease_until = NULL, measuring_attempts = 0, finished_at = NULL,
                started_at = CASE WHEN state IN ('running', 'measuring')
                    THEN coalesce(started_at, clock_timestamp()) ELSE clock_timestamp() END
            WHERE id = :id AND error <> :being_deleted
        """),
        {"id": survey_id, "being_deleted": BEING_DELETED},
    )
    if not begun.rowcount:
        raise Conflict(BEING_DELETED)
    wake_workers(connection)


def wake_workers(connection: Connection) -> None:
    """Notify the workers when this transaction commits."""
    connection.execute(text("SELECT pg_notify(:channel, '')"), {"channel": WORK_CHANNEL})


def covered_cells(
    connection: Connection,
    network_id: uuid.UUID,
    footprints: NDArray[np.object_],
    *,
    grid: Grid,
) -> NDArray[np.int64]:
    """Return, as (N, 2) columns and rows, the cells where pavement meets footprints (grid CRS)."""
    boxes = search_boxes(footprints, grid.crs)
    _, pavements = pavements_in(connection, network_id, boxes)
    pavements = reproject(pavements, WGS84, grid.crs)
    shapely.prepare(footprints)
    tile, pavement = shapely.STRtree(pavements).query(footprints, predicate="intersects")
    whole = shapely.covers(footprints[tile], pavements[pavement])
    whole_pavement = np.unique(pavement[whole])
    partly = ~np.isin(pavement, whole_pavement)
    cut = shapely.intersection(footprints[tile[partly]], pavements[pavement[partly]])
    return grid.indices_meeting(np.concatenate([pavements[whole_pavement], cut]))


def _store_planned(
    connection: Connection,
    survey: SurveyRow,
    orthophotos: list[OrthophotoRow],
    stretch: tuple[float, float] | None,
) -> None:
    imagery = imagery_digest(orthophotos)
    if (survey.planned_imagery, survey.stretch_ends) != (imagery, stretch):
        connection.execute(
            text("""
                UPDATE survey SET planned_imagery = :imagery, stretch = CAST(:stretch AS jsonb)
                WHERE id = :id
            """),
            {
                "id": survey.id,
                "imagery": imagery,
                "stretch": None if stretch is None else json.dumps(stretch),
            },
        )


def _store_plan(
    connection: Connection,
    survey_id: uuid.UUID,
    cells: NDArray[np.int64],
    digests: NDArray[np.object_],
    *,
    grid: Grid,
) -> PlanReport:
    """Compare with the stored cells, which only their states can leave meanwhile, and write the rest.

    The database compares: of a country there are more cells than a server should hold in memory.
    """
    _copy_plan(connection, cells, digests)
    of_survey = {"id": survey_id}
    dropped = connection.execute(_DROP, of_survey).rowcount
    # The cells first: a worker that is storing one of them ends, and what it wrote is then seen.
    redone = connection.execute(_REDO, of_survey).rowcount
    if redone:
        connection.execute(_FORGET_FRAGMENTS, of_survey)
        connection.execute(_FORGET_SEGMENTS, of_survey)
    found = fetch_columns(connection, _ADDED, of_survey)
    added = np.concatenate([np.empty(0, np.int64), *(numbers for (numbers,) in found)])
    for numbers in in_blocks(added, SHAPES_AT_A_TIME):
        _add_cells(connection, survey_id, cells[numbers], digests[numbers], grid=grid)
    if len(added):
        connection.execute(text("ANALYZE cell"))
    return PlanReport(total=len(cells), added=len(added), redone=redone, dropped=dropped)


def _copy_plan(
    connection: Connection, cells: NDArray[np.int64], digests: NDArray[np.object_]
) -> None:
    """Bring the plan, numbered, into a table of this transaction."""
    connection.execute(_PLAN)
    with (
        driver(connection).cursor() as cursor,
        cursor.copy("COPY plan FROM STDIN (FORMAT csv)") as copy,
    ):
        for numbers in in_blocks(np.arange(len(cells)), SHAPES_AT_A_TIME):
            frame = pd.DataFrame(cells[numbers], index=numbers).assign(digest=digests[numbers])
            copy.write(frame.to_csv(header=False))
    connection.execute(text("ANALYZE plan"))


def _add_cells(
    connection: Connection,
    survey_id: uuid.UUID,
    cells: NDArray[np.int64],
    digests: NDArray[np.object_],
    *,
    grid: Grid,
) -> None:
    copy_frame(
        connection,
        Cell,
        {
            "survey_id": survey_id,
            "col": cells[:, 0],
            "row": cells[:, 1],
            "inputs_digest": digests,
            "geom": reproject(grid.boxes(cells), grid.crs, WGS84),
        },
    )


_PLAN = text("""
    DROP TABLE IF EXISTS pg_temp.plan, pg_temp.redone;
    CREATE TEMPORARY TABLE plan (number bigint, col bigint, "row" bigint, digest text)
        ON COMMIT DROP;
    CREATE TEMPORARY TABLE redone (col bigint, "row" bigint) ON COMMIT DROP
""")

_THIS_CELL = 'target.survey_id = :id AND target.col = {0}.col AND target."row" = {0}."row"'

_ADDED = """
    SELECT number FROM plan WHERE NOT EXISTS (
        SELECT FROM cell WHERE cell.survey_id = %(id)s
            AND cell.col = plan.col AND cell."row" = plan."row")
    ORDER BY number
"""

_DROP = text("""
    DELETE FROM cell WHERE survey_id = :id AND NOT EXISTS (
        SELECT FROM plan WHERE plan.col = cell.col AND plan."row" = cell."row")
""")

_REDO = text(f"""
    WITH changed AS (
        UPDATE cell AS target
        SET inputs_digest = plan.digest, state = 'waiting', lease_owner = NULL, lease_until = NULL,
            attempts = 0, errors = 0, error = '', imaged_m2 = 0, imaged_part = NULL,
            finished_at = NULL
        FROM plan
        WHERE {_THIS_CELL.format("plan")} AND target.inputs_digest <> plan.digest
        RETURNING target.col, target."row")
    INSERT INTO redone SELECT col, "row" FROM changed
""")

_FORGET_FRAGMENTS = text(
    f"DELETE FROM fragment AS target USING redone WHERE {_THIS_CELL.format('redone')}"
)

_FORGET_SEGMENTS = text(
    f"DELETE FROM cell_segment AS target USING redone WHERE {_THIS_CELL.format('redone')}"
)
