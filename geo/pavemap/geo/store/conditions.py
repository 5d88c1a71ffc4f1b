"""The condition of segments, block by block: pieces with their kind, and every figure with its ground.

While cracks are stitched, their pieces are put aside (`held_pieces`). Then each block of segments is read
with its pieces, measured (`pavemap.geo.measures.blocks`), and written by COPY.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from sqlalchemy import Connection, text

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.orthophoto import too_coarse
from pavemap.geo.lines.line_measures import true_line_stats
from pavemap.geo.measures import MeasureParams
from pavemap.geo.measures.blocks import Block
from pavemap.geo.measures.conditions import CountedGround, condition_figures
from pavemap.geo.measures.neighbours import Neighbours, pattern_reach_m
from pavemap.geo.measures.shortfall import SurveyedGround, coarsest_m, covered_share
from pavemap.geo.store.bulk import copy_frame, from_ewkb
from pavemap.geo.store.held_pieces import index_pieces, pieces_on, segments_run_on_to
from pavemap.geo.store.imaged_pavement import imaged_pavement
from pavemap.geo.store.model_versions import get_model
from pavemap.geo.store.orthophotos import footprints_in, list_orthophotos
from pavemap.geo.store.surveyed import Surveyed
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.store.tables import Condition, Piece


def write_conditions(
    connection: Connection,
    survey: SurveyRow,
    surveyed: Surveyed,
    *,
    failed: NDArray[np.int64],
    grid: Grid,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Write pieces and condition of all segments that the survey met.

    `failed` (M, 2) are columns and rows of the cells that were given up; `on_progress` is called before
    each block.
    """
    index_pieces(connection)
    ground = _Ground.of(connection, survey, failed=failed, grid=grid)
    params = MeasureParams.from_dict(survey.measures)
    places = Neighbours.of(
        surveyed.segment_ids, surveyed.pavements, reach_m=pattern_reach_m(params), grid=grid
    )
    source = _Held(connection, grid.crs)
    for some in places.blocks():
        on_progress()
        block = Block.read(source, some, places, crs=grid.crs, params=params)
        _write_block(connection, survey, block, ground=ground, grid=grid)


@dataclass(frozen=True)
class _Held:
    """The segments in the database, and the pieces that were put aside."""

    connection: Connection
    crs: CRS

    def runs_on_to(self, segment_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        return segments_run_on_to(self.connection, segment_ids)

    def pieces_on(self, segment_ids: NDArray[np.int64]) -> pd.DataFrame:
        return pieces_on(self.connection, segment_ids)

    def segments(self, segment_ids: NDArray[np.int64]) -> pd.DataFrame:
        rows = self.connection.execute(_SEGMENTS, {"ids": segment_ids.tolist()}).mappings()
        segments = pd.DataFrame([dict(row) for row in rows])
        for name in ("line", "pavement"):
            read = from_ewkb(segments[name].to_numpy(object))
            segments[name] = pd.Series(list(reproject(read, WGS84, self.crs)), dtype=object)
        return segments


@dataclass(frozen=True)
class _Ground:
    """What a survey looked at, and outlines of what of its imagery is fine enough, None where all is."""

    surveyed: SurveyedGround
    fine: NDArray[np.object_] | None

    @classmethod
    def of(
        cls, connection: Connection, survey: SurveyRow, *, failed: NDArray[np.int64], grid: Grid
    ) -> _Ground:
        tiles = list_orthophotos(connection, survey.id)
        card = get_model(connection, survey.model_id).card
        footprints = footprints_in(tiles, grid.crs)
        coarse = too_coarse([tile.gsd_m for tile in tiles], coarsest_m=coarsest_m(card))
        fine = footprints[~coarse] if coarse.any() else None
        return cls(SurveyedGround(footprints, grid.boxes(failed)), fine)

    def counted(self, connection: Connection, survey_id: uuid.UUID, block: Block) -> CountedGround:
        """Return what cells counted of a block's segments.

        Cells surveyed before it was counted don't know what was too coarse: that is then what lies on no
        finer imagery's frame.
        """
        asked = {"survey_id": survey_id, "ids": block.own.tolist()}
        found = pd.DataFrame([dict(row) for row in connection.execute(_SEEN, asked).mappings()])
        found = found.set_index("segment_id").loc[block.own]
        pavement_m2, imaged_m2, coarse_m2 = (
            found[name].to_numpy(np.float64, copy=True)
            for name in ("pavement_m2", "imaged_m2", "coarse_m2")
        )
        unknown = np.isnan(coarse_m2)
        fine_m2 = pavement_m2[unknown]
        if self.fine is not None:
            fine_m2 = fine_m2 * covered_share(block.pavements[unknown], self.fine)
        seen_m2 = np.minimum(imaged_m2, pavement_m2)[unknown]
        coarse_m2[unknown] = np.maximum(seen_m2 - fine_m2, 0.0)
        return CountedGround(block.own, block.pavements, pavement_m2, imaged_m2, coarse_m2)


def _write_block(
    connection: Connection, survey: SurveyRow, block: Block, *, ground: _Ground, grid: Grid
) -> None:
    stats = stats_columns(block.pieces["geometry"].to_numpy(object), grid=grid)
    _write_pieces(connection, survey.id, block.pieces, stats, grid=grid)
    counted = ground.counted(connection, survey.id, block)
    imaged = imaged_pavement(connection, survey.id, block.pavements, grid=grid)
    imaged[counted.imaged_m2 <= 0.0] = shapely.MultiPolygon()
    figures = condition_figures(
        counted,
        pieces=block.pieces.assign(length_m=stats["length_m"]),
        measured=block.measured(imaged),
        ground=ground.surveyed,
        gsd_m=grid.gsd_m,
        min_coverage=block.cracks.params.min_coverage,
    )
    copy_frame(
        connection,
        Condition,
        {"survey_id": survey.id, "segment_id": block.own, **figures},
    )


def _write_pieces(
    connection: Connection,
    survey_id: uuid.UUID,
    pieces: pd.DataFrame,
    stats: dict[str, NDArray[np.float64]],
    *,
    grid: Grid,
) -> None:
    copy_frame(
        connection,
        Piece,
        {
            "survey_id": survey_id,
            "segment_id": pieces["segment_id"].to_numpy(np.int64),
            "crack_id": pieces["crack_id"].to_numpy(np.int64),
            "type": pieces["type"].to_numpy(object),
            "severity": pieces["severity"].to_numpy(object),
            "geom": reproject(pieces["geometry"].to_numpy(object), grid.crs, WGS84),
            **stats,
        },
    )


def stats_columns(lines: NDArray[np.object_], *, grid: Grid) -> dict[str, NDArray[np.float64]]:
    """Return `true_line_stats` of lines of the survey's CRS as columns for COPY."""
    stats = true_line_stats(lines, grid.crs)
    return {str(name): stats[name].to_numpy(np.float64) for name in stats.columns}


_SEGMENTS = text("""
    SELECT id AS segment_id, ST_AsBinary(geom) AS line, ST_AsBinary(pavement) AS pavement, width_m,
        lanes, oneway
    FROM segment WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id
""")

# Sums of floats differ in their last bit with the order in which rows lie, hence one order.
_SEEN = text("""
    SELECT s.id AS segment_id, s.pavement_m2, coalesce(i.imaged_m2, 0) AS imaged_m2,
        coalesce(i.coarse_m2, 0) AS coarse_m2
    FROM segment s LEFT JOIN (
        SELECT cs.segment_id, sum(cs.imaged_m2 ORDER BY cs.col, cs."row") AS imaged_m2,
            sum(coalesce(cs.coarse_m2, 'NaN') ORDER BY cs.col, cs."row") AS coarse_m2
        FROM cell_segment cs JOIN cell USING (survey_id, col, "row")
        WHERE cs.survey_id = :survey_id AND cell.state = 'done'
            AND cs.segment_id = ANY(CAST(:ids AS bigint[]))
        GROUP BY cs.segment_id) AS i ON i.segment_id = s.id
    WHERE s.id = ANY(CAST(:ids AS bigint[]))
""")
