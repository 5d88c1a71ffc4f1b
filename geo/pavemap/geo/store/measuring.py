"""From the lines that cells found to cracks, their pieces by segment, and the condition of segments.

Fragments are stitched over cell edges in the survey's CRS, corrected where the survey heeds its reviews
(`corrections`), measured in true ground metres, cut by pavement and written by COPY, block by block of
the sweep over cells that joins them; then segments are measured block by block (`conditions`). It all
replaces an earlier measuring in one transaction: readers see the old figures or the new.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from sqlalchemy import Connection, text

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.lines.pieces import cut_by_segments
from pavemap.geo.stitching.stitch import Block, Cracks, stitch_blocks, sweep_by_rows
from pavemap.geo.store import conditions, held_pieces
from pavemap.geo.store.bulk import copy_frame, fetch_columns, from_ewkb, reserve_ids
from pavemap.geo.store.corrections import Corrections, Standing, on_imaged_ground
from pavemap.geo.store.engine import lift_timeouts, lock_name
from pavemap.geo.store.measuring_leases import finish_survey
from pavemap.geo.store.surveyed import Surveyed, SurveyedCells
from pavemap.geo.store.surveys import SurveyRow, get_survey, is_unchanged
from pavemap.geo.store.tables import Crack
from pavemap.geo.vectorizing.trust import Trust
from pavemap.geo.vectorizing.vectorize import VectorizeParams

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeasureReport:
    """What a measuring wrote."""

    cracks: int
    pieces: int
    segments: int


def measure_survey(
    connection: Connection, survey: SurveyRow, *, on_progress: Callable[[], None] = lambda: None
) -> MeasureReport | None:
    """Measure a survey whose cells are all done or failed, and set it done.

    `on_progress` is called between its steps: whenever a block of cracks or of segments is finished.
    Run again, it writes the same figures. None, with nothing written, at the step after the survey was
    planned, retried, claimed by another or about to be deleted since `survey` was read. Only segments
    whose pavement the imagery reaches get a condition: the rest of a network was not surveyed.

    Raises Conflict when cells are still to be surveyed, or none was ever planned.
    """
    lift_timeouts(connection)
    # Two at once (a lease ran out at a worker that lives) would both write: one after the other.
    lock_name(connection, f"pavemap measure {survey.id}")
    cells = SurveyedCells.read(connection, survey.id)
    if get_survey(connection, survey.id).epoch != survey.epoch:
        log.warning("survey %s has changed before it was measured", survey.id)
        return None
    cells.check_finished(survey)
    corrections = Corrections.read(connection, survey.id) if survey.heeds_reviews else None
    heeded = None if corrections is None else corrections.heeded
    savepoint = connection.begin_nested()
    report = _measure_unchanged(connection, survey, cells, corrections, on_progress=on_progress)
    if report is None or not finish_survey(connection, survey, heeded=heeded):
        savepoint.rollback()
        log.warning("survey %s changed while it was measured; nothing was written", survey.id)
        return None
    savepoint.commit()
    log.info("survey %s: %s", survey.id, report)
    return report


class _Changed(Exception):
    """The survey is not what it was when its measuring began."""


def _measure_unchanged(
    connection: Connection,
    survey: SurveyRow,
    cells: SurveyedCells,
    corrections: Corrections | None,
    *,
    on_progress: Callable[[], None],
) -> MeasureReport | None:
    """Measure, or give up at the next block: who deletes the survey waits, and all would be in vain."""

    def go_on() -> None:
        on_progress()
        if not is_unchanged(connection, survey):
            raise _Changed

    try:
        return _measure(connection, survey, cells, corrections, on_progress=go_on)
    except _Changed:
        return None


def _measure(
    connection: Connection,
    survey: SurveyRow,
    cells: SurveyedCells,
    corrections: Corrections | None,
    *,
    on_progress: Callable[[], None],
) -> MeasureReport:
    grid = survey.grid()
    surveyed = Surveyed.read(connection, survey, cells, grid=grid)
    for table in ("piece", "crack", "condition"):
        on_progress()
        connection.execute(text(f"DELETE FROM {table} WHERE survey_id = :id"), {"id": survey.id})
    cracks, pieces = _write_found(
        connection,
        survey,
        _found(connection, survey, cells, corrections, grid=grid),
        surveyed,
        grid=grid,
        on_progress=on_progress,
    )
    conditions.write_conditions(
        connection,
        survey,
        surveyed,
        failed=cells.places[cells.failed],
        grid=grid,
        on_progress=on_progress,
    )
    on_progress()
    connection.execute(text("ANALYZE crack, piece, condition"))
    return MeasureReport(cracks=cracks, pieces=pieces, segments=len(surveyed))


def _write_found(
    connection: Connection,
    survey: SurveyRow,
    blocks: Iterator[Standing],
    surveyed: Surveyed,
    *,
    grid: Grid,
    on_progress: Callable[[], None],
) -> tuple[int, int]:
    """Write the cracks on pavement and put aside their pieces, block by block; return how many of each."""
    held_pieces.hold_pieces(connection)
    tree = shapely.STRtree(surveyed.pavements)
    cracks = pieces = 0
    for found in blocks:
        on_progress()
        of, segment, parts = _pieces(
            connection, survey.id, found, surveyed.pavements, tree=tree, grid=grid
        )
        if not len(parts):
            continue
        on_pavement, crack = np.unique(of, return_inverse=True)
        cracks += len(on_pavement)
        crack_ids = _write_cracks(connection, survey.id, found.at(on_pavement), grid=grid)
        pieces += held_pieces.add_pieces(
            connection,
            segment_ids=surveyed.segment_ids[segment],
            crack_ids=crack_ids[crack],
            lines=parts,
        )
    return cracks, pieces


def _pieces(
    connection: Connection,
    survey_id: uuid.UUID,
    found: Standing,
    pavements: NDArray[np.object_],
    *,
    tree: shapely.STRtree,
    grid: Grid,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.object_]]:
    """Cut cracks by pavement as `cut_by_segments` does; what is a reviewer's, by imaged ground too."""
    of, segment, parts = cut_by_segments(found.lines, pavements, tree=tree)
    judged = found.judged[of]
    if not judged.any():
        return of, segment, parts
    which = np.flatnonzero(judged)
    at, seen = on_imaged_ground(connection, survey_id, parts[which], grid=grid)
    order = np.concatenate([np.flatnonzero(~judged), which[at]])
    return of[order], segment[order], np.concatenate([parts[~judged], seen])


def _found(
    connection: Connection,
    survey: SurveyRow,
    cells: SurveyedCells,
    corrections: Corrections | None,
    *,
    grid: Grid,
) -> Iterator[Standing]:
    """Yield a survey's cracks, block by block; as reviewers corrected them, last those that they drew."""
    for stitched in _stitched(connection, survey, cells, grid=grid):
        found = Standing.as_found(stitched, survey.model_id, crs=grid.crs)
        yield found if corrections is None else corrections.corrected(found, crs=grid.crs)
    if corrections is not None:
        yield corrections.drawn_cracks(crs=grid.crs)


def _stitched(
    connection: Connection, survey: SurveyRow, cells: SurveyedCells, *, grid: Grid
) -> Iterator[Cracks]:
    """Yield a survey's cracks (survey CRS), block by block of a sweep over its cells.

    What is held meanwhile is one block of lines and those that end at the sweep's front.
    """
    by_rows = sweep_by_rows(cells.places)
    return stitch_blocks(
        _fragments(connection, survey.id, crs=grid.crs, by_rows=by_rows),
        grid=grid,
        min_length_m=VectorizeParams.from_dict(survey.params).min_length_m,
        by_rows=by_rows,
    )


def _fragments(
    connection: Connection, survey_id: uuid.UUID, *, crs: CRS, by_rows: bool
) -> Iterator[Block]:
    """Yield a survey's lines (survey CRS) with cells and trust, in the order of cells."""
    order = 'f."row", f.col' if by_rows else 'f.col, f."row"'
    for col, row, geometry, confidence, sure in fetch_columns(
        connection,
        f"""
            SELECT f.col, f."row", ST_AsBinary(f.geom),
                coalesce(f.confidence, 'NaN'), f.sure_share
            FROM fragment f JOIN cell USING (survey_id, col, "row")
            WHERE f.survey_id = %(id)s AND cell.state = 'done'
            ORDER BY {order}, f.id
        """,
        {"id": survey_id},
    ):
        lines = reproject(from_ewkb(geometry), WGS84, crs)
        yield lines, np.column_stack([col, row]), Trust(confidence, sure)


def _write_cracks(
    connection: Connection, survey_id: uuid.UUID, found: Standing, *, grid: Grid
) -> NDArray[np.int64]:
    ids = reserve_ids(connection, Crack, len(found))
    copy_frame(
        connection,
        Crack,
        {
            "id": ids,
            "survey_id": survey_id,
            "model_id": found.model_id,
            "geom": found.degrees,
            "confidence": found.confidence,
            "found_digest": found.found_digest,
            **conditions.stats_columns(found.lines, grid=grid),
        },
    )
    return ids
