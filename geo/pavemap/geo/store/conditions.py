"""The condition of segments, block by block: pieces with their kind, and every figure with its ground.

While cracks are stitched, their pieces are put aside (`held_pieces`). Then each block of segments is read
with its pieces, measured, and written by COPY. Two things go beyond a block, and are read with it but
measured elsewhere:

- the rest of cracks that run on to other segments, since a crack is judged whole;
- the pieces on segments beside all of these, since the cells of a pattern astride a border close with them.

So figures don't depend on the blocks. Blocks are of segments near each other, so that few others are
beside them; memory is bounded by a block and those.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from pavemap.geo.crs import WGS84, ground_scales, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.orthophoto import too_coarse
from pavemap.geo.lines.line_measures import true_line_stats
from pavemap.geo.measures import COLUMNS, MeasureParams, classify_cracks, segment_measures
from pavemap.geo.measures.conditions import condition_figures
from pavemap.geo.measures.neighbours import Neighbours, pattern_reach_m
from pavemap.geo.measures.shortfall import SurveyedGround, coarsest_m, covered_share
from pavemap.geo.store.bulk import copy_frame, from_ewkb
from pavemap.geo.store.held_pieces import index_pieces, pieces_on, segments_run_on_to
from pavemap.geo.store.imaged_pavement import imaged_pavement
from pavemap.geo.store.model_versions import get_model
from pavemap.geo.store.orthophotos import footprints_in, list_orthophotos
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.store.tables import Condition, Piece

SEGMENTS_AT_A_TIME = 500
"""Some 50 km of road: tens of megabytes of pieces, of cells of the grid measures, and of pavement."""

FIGURES = tuple(name for name in COLUMNS if name in Condition.__table__.columns)
"""What `segment_measures` says that is stored, unless `condition_figures` says it by counted pixels."""


def write_conditions(
    connection: Connection,
    survey: SurveyRow,
    *,
    segment_ids: NDArray[np.int64],
    pavements: NDArray[np.object_],
    failed: NDArray[np.int64],
    grid: Grid,
    on_progress: Callable[[], None] = lambda: None,
) -> None:
    """Write pieces and condition of all segments (N,) that the survey met; pavements in its CRS.

    `segment_ids` ascend. `failed` (M, 2) are columns and rows of the cells that were given up;
    `on_progress` is called before each block.
    """
    index_pieces(connection)
    ground = _Ground.of(connection, survey, failed=failed, grid=grid)
    params = MeasureParams.from_dict(survey.measures)
    places = Neighbours.of(segment_ids, pavements, reach_m=pattern_reach_m(params), grid=grid)
    for start in range(0, len(segment_ids), SEGMENTS_AT_A_TIME):
        on_progress()
        some = places.order[start : start + SEGMENTS_AT_A_TIME]
        block = _Block.read(connection, survey.id, some, places, grid=grid)
        kinds = _kinds(block, params)
        _write_pieces(connection, survey.id, block, kinds, grid=grid)
        _write_block(connection, survey, block, params, ground=ground, grid=grid)


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

    def coarse_m2(self, block: _Block) -> NDArray[np.float64]:
        """Return what was seen of a block's segments in too coarse imagery, as far as cells know it.

        Cells surveyed before it was counted don't: that is then what lies on no finer imagery's frame.
        """
        counted: NDArray[np.float64] = block.seen["coarse_m2"].to_numpy(np.float64, copy=True)
        unknown = np.isnan(counted)
        if self.fine is None:
            counted[unknown] = 0.0
            return counted
        pavement_m2, imaged_m2 = (
            block.seen[name].to_numpy(np.float64)[unknown] for name in ("pavement_m2", "imaged_m2")
        )
        fine_m2 = pavement_m2 * covered_share(block.pavements[unknown], self.fine)
        counted[unknown] = np.maximum(np.minimum(imaged_m2, pavement_m2) - fine_m2, 0.0)
        return counted


@dataclass(frozen=True)
class _Block:
    """Some segments, and what is on and about them.

    own: (N,) ids of the segments to be measured, with their pavements (survey's CRS) and sums by pixel.
    segments: those, the ones that their cracks run on to, and the ones beside: segment_id, line, ...
    pieces: segment_id, crack_id, geometry of all pieces on these. scale: of each of `segments`.
    measured: those pieces that lie on the segments to be measured; stats: `stats_columns` of them.
    """

    own: NDArray[np.int64]
    pavements: NDArray[np.object_]
    seen: pd.DataFrame
    segments: pd.DataFrame
    pieces: pd.DataFrame
    scale: NDArray[np.float64]
    measured: pd.DataFrame
    stats: dict[str, NDArray[np.float64]]

    @classmethod
    def read(
        cls,
        connection: Connection,
        survey_id: uuid.UUID,
        some: NDArray[np.int64],
        places: Neighbours,
        *,
        grid: Grid,
    ) -> _Block:
        own = places.ids[some]
        asked = {"survey_id": survey_id, "ids": own.tolist()}
        runs_on = segments_run_on_to(connection, own)
        pieces = pieces_on(connection, places.beside(np.union1d(own, runs_on)))
        # Of the segments beside only those that have cracks are of use.
        ids = np.union1d(own, pieces["segment_id"].to_numpy(np.int64))
        rows = connection.execute(_SEGMENTS, {"ids": ids.tolist()}).mappings().all()
        segments = pd.DataFrame([dict(row) for row in rows])
        for name in ("line", "pavement"):
            read = from_ewkb(segments[name].to_numpy(object))
            segments[name] = pd.Series(list(reproject(read, WGS84, grid.crs)), dtype=object)
        seen = pd.DataFrame([dict(row) for row in connection.execute(_SEEN, asked).mappings()])
        middle = shapely.get_coordinates(
            shapely.line_interpolate_point(segments["line"].to_numpy(object), 0.5, normalized=True)
        )
        scale = ground_scales(grid.crs, middle[:, 0], middle[:, 1])
        seen = seen.set_index("segment_id").loc[own]
        measured = pieces[pieces["segment_id"].isin(own)]
        stats = stats_columns(measured["geometry"].to_numpy(object), grid=grid)
        return cls(own, places.pavements[some], seen, segments, pieces, scale, measured, stats)


def _kinds(block: _Block, params: MeasureParams) -> pd.DataFrame:
    """Return type and severity of each piece."""
    if block.pieces.empty:
        return pd.DataFrame({"type": [], "severity": []})
    return classify_cracks(block.pieces, block.segments, params=params, scale=block.scale)


def _write_pieces(
    connection: Connection,
    survey_id: uuid.UUID,
    block: _Block,
    kinds: pd.DataFrame,
    *,
    grid: Grid,
) -> None:
    pieces = block.measured
    if pieces.empty:
        return
    kinds = kinds.loc[pieces.index]
    copy_frame(
        connection,
        Piece,
        {
            "survey_id": survey_id,
            "segment_id": pieces["segment_id"].to_numpy(np.int64),
            "crack_id": pieces["crack_id"].to_numpy(np.int64),
            "type": kinds["type"].to_numpy(object),
            "severity": kinds["severity"].to_numpy(object),
            "geom": reproject(pieces["geometry"].to_numpy(object), grid.crs, WGS84),
            **block.stats,
        },
    )


def stats_columns(lines: NDArray[np.object_], *, grid: Grid) -> dict[str, NDArray[np.float64]]:
    """Return `true_line_stats` of lines of the survey's CRS as columns for COPY."""
    stats = true_line_stats(lines, grid.crs)
    return {str(name): stats[name].to_numpy(np.float64) for name in stats.columns}


def _write_block(
    connection: Connection,
    survey: SurveyRow,
    block: _Block,
    params: MeasureParams,
    *,
    ground: _Ground,
    grid: Grid,
) -> None:
    counted_m2 = block.seen["imaged_m2"].to_numpy(np.float64)
    polygons = imaged_pavement(connection, survey.id, block.pavements, grid=grid)
    polygons[counted_m2 <= 0.0] = shapely.MultiPolygon()
    measured = segment_measures(
        block.pieces,
        block.segments,
        dict(zip(block.own.tolist(), polygons, strict=True)),
        params=params,
        scale=block.scale,
    ).loc[block.own]
    own = block.measured
    crack_length = pd.Series(block.stats["length_m"]).groupby(own["segment_id"].to_numpy()).sum()
    cracks = own.groupby("segment_id")["crack_id"].nunique().reindex(block.own, fill_value=0)
    figures = condition_figures(
        pavements=block.pavements,
        pavement_m2=block.seen["pavement_m2"].to_numpy(np.float64),
        counted_m2=counted_m2,
        coarse_m2=ground.coarse_m2(block),
        gsd_m=grid.gsd_m,
        crack_length_m=crack_length.reindex(block.own, fill_value=0.0).to_numpy(np.float64),
        crack_count=cracks.to_numpy(np.int64),
        cracked_area_m2=measured["cracked_area_m2"].astype(np.float64).fillna(0.0).to_numpy(),
        ground=ground.surveyed,
        min_coverage=params.min_coverage,
    )
    copy_frame(
        connection,
        Condition,
        {
            "survey_id": survey.id,
            "segment_id": block.own,
            **{name: _column(measured[name]) for name in FIGURES if name not in figures},
            **figures,
        },
    )


def _column(figures: pd.Series[Any]) -> NDArray[Any]:
    """Return a column for COPY: numbers with NaN for null, other things as they are."""
    if figures.dtype == object:
        return np.array([None if value is None else value for value in figures], dtype=object)
    return figures.to_numpy(np.float64)


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
