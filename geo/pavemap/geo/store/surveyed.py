"""What a survey has looked at once all its cells are done: the cells, and the segments that it reached."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from pavemap.geo.arrays import in_blocks
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import Conflict
from pavemap.geo.grid import Grid
from pavemap.geo.store.bulk import SHAPES_AT_A_TIME, fetch_columns
from pavemap.geo.store.orthophotos import footprints_in, list_orthophotos
from pavemap.geo.store.pavements import pavements_in
from pavemap.geo.store.places import search_boxes
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.survey_cell import EDGE_PX

CELLS_IN_A_BOX = 16
"""Cells across the boxes by which pavement is looked up; fewer boxes than cells, little overreach."""


@dataclass(frozen=True)
class SurveyedCells:
    """All cells of a survey: places (N, 2) of column and row, in the order of the grid, and states (N,)."""

    places: NDArray[np.int64]
    failed: NDArray[np.bool_]
    left: int
    """Cells that are still to be surveyed."""

    @classmethod
    def read(cls, connection: Connection, survey_id: uuid.UUID) -> SurveyedCells:
        """Read them as numbers: a country has tens of millions."""
        blocks = [
            np.column_stack(block).astype(np.int64)
            for block in fetch_columns(connection, _ALL_CELLS, {"id": survey_id})
        ]
        found = np.concatenate([np.empty((0, 4), np.int64), *blocks])
        return cls(found[:, :2], found[:, 2].astype(np.bool_), int(found[:, 3].sum()))

    def check_finished(self, survey: SurveyRow) -> None:
        """Raise Conflict when cells are still to be surveyed, or there are none."""
        if self.left or not len(self.places):
            left = f"{self.left} cells are still to be surveyed"
            what = left if self.left else "it has no cells; run it first"
            raise Conflict(f"survey '{survey.name}' can't be measured yet: {what}")


_ALL_CELLS = """
    SELECT col, "row", (state = 'failed')::int, (state NOT IN ('done', 'failed'))::int
    FROM cell WHERE survey_id = %(id)s ORDER BY col, "row"
"""


@dataclass(frozen=True)
class Surveyed:
    """Segments (N,) of a network: ids, which ascend, and pavements in the survey's CRS."""

    segment_ids: NDArray[np.int64]
    pavements: NDArray[np.object_]

    @classmethod
    def read(
        cls, connection: Connection, survey: SurveyRow, cells: SurveyedCells, *, grid: Grid
    ) -> Surveyed:
        """Read those that a survey has looked at: they meet a planned cell, and imagery reaches them."""
        planned = cls._meeting(connection, survey, cells, grid=grid)
        return planned.only(_reached(connection, survey.id, planned, grid=grid))

    @classmethod
    def _meeting(
        cls, connection: Connection, survey: SurveyRow, cells: SurveyedCells, *, grid: Grid
    ) -> Surveyed:
        blocks = np.unique(cells.places // CELLS_IN_A_BOX, axis=0) * CELLS_IN_A_BOX
        areas = grid.boxes(blocks, to=blocks + CELLS_IN_A_BOX - 1)
        ids, pavements = pavements_in(connection, survey.network_id, search_boxes(areas, grid.crs))
        near = cls(ids, reproject(pavements, WGS84, grid.crs))
        tree, meets = shapely.STRtree(near.pavements), np.zeros(len(ids), np.bool_)
        for some in in_blocks(cells.places, SHAPES_AT_A_TIME):
            within = grid.boxes(some, margin_m=-1e-6 * grid.cell_m)  # to touch is not to meet
            meets[tree.query(within, predicate="intersects")[1]] = True
        return near.only(meets)

    def only(self, which: NDArray[np.bool_]) -> Surveyed:
        """Return some of the segments."""
        return Surveyed(self.segment_ids[which], self.pavements[which])

    def __len__(self) -> int:
        return len(self.segment_ids)


def _reached(
    connection: Connection, survey_id: uuid.UUID, planned: Surveyed, *, grid: Grid
) -> NDArray[np.bool_]:
    """Tell which segments (N,) the imagery reaches; a cell may be much larger than what it shows.

    Those that cells have seen are reached too, whatever became of the imagery since.
    """
    frames = footprints_in(list_orthophotos(connection, survey_id), grid.crs)
    # No pixel of a narrower strip could be believed; edges that touch are not exact.
    frames = shapely.buffer(frames, -EDGE_PX * grid.gsd_m, join_style="mitre")
    shapely.prepare(frames)
    reached = np.zeros(len(planned), np.bool_)
    reached[shapely.STRtree(planned.pavements).query(frames, predicate="intersects")[1]] = True
    others = {"survey_id": survey_id, "ids": planned.segment_ids[~reached].tolist()}
    seen = connection.execute(_SEEN_OF, others).scalars().all()
    return reached | np.isin(planned.segment_ids, np.array(seen, np.int64))


_SEEN_OF = text("""
    SELECT DISTINCT cs.segment_id
    FROM cell_segment cs JOIN cell USING (survey_id, col, "row")
    WHERE cs.survey_id = :survey_id AND cell.state = 'done' AND cs.imaged_m2 > 0
        AND cs.segment_id = ANY(CAST(:ids AS bigint[]))
""")
