"""The condition of segments, block by block: pieces with their kind, and every figure with its ground.

While cracks are stitched, their pieces are put aside in a table of this transaction, since what kind of
crack a piece is depends on those around it. Then each block of segments is read with its pieces, measured,
and written by COPY. Two things go beyond a block, and are read with it but measured elsewhere:

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

from pavemap.geo.arrays import object_array
from pavemap.geo.crs import WGS84, ground_scales, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.lines.line_measures import line_stats
from pavemap.geo.measures import COLUMNS, MeasureParams, classify_cracks, segment_measures
from pavemap.geo.measures.conditions import on_imaged_ground, within_pavement
from pavemap.geo.measures.neighbours import Neighbours, pattern_reach_m
from pavemap.geo.measures.shortfall import Shortfall, shortfall, too_coarse
from pavemap.geo.store.bulk import copy_frame, driver, from_ewkb
from pavemap.geo.store.imaged_pavement import imaged_pavement
from pavemap.geo.store.model_versions import get_model
from pavemap.geo.store.orthophotos import footprints_in, list_orthophotos
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.store.tables import Condition, Piece

SEGMENTS_AT_A_TIME = 500
"""Some 50 km of road: tens of megabytes of pieces, of cells of the grid measures, and of pavement."""

FIGURES = tuple(name for name in COLUMNS if name in Condition.__table__.columns)
"""What `segment_measures` says that is stored."""

_OWN = {
    *("imaged_m2", "pavement_m2", "coverage", "crack_length_m", "density_m_per_m2"),
    *("cracked_area_m2", "cracked_area_share"),
}
"""Stored as they were counted by pixels and cut by pavement, not as polygons give them."""


def hold_pieces(connection: Connection) -> None:
    """Make the table that holds pieces until they are classified; it goes with the transaction."""
    connection.execute(text("DROP TABLE IF EXISTS held_piece"))
    connection.execute(
        text(
            "CREATE TEMPORARY TABLE held_piece (segment_id bigint, crack_id bigint, line bytea) "
            "ON COMMIT DROP"
        )
    )


def add_pieces(
    connection: Connection,
    *,
    segment_ids: NDArray[np.int64],
    crack_ids: NDArray[np.int64],
    lines: NDArray[np.object_],
) -> int:
    """Put aside pieces (LineString Z in the survey's CRS); return how many."""
    with (
        driver(connection).cursor() as cursor,
        cursor.copy("COPY held_piece FROM STDIN (FORMAT BINARY)") as copy,
    ):
        copy.set_types(["int8", "int8", "bytea"])
        written = shapely.to_wkb(lines, output_dimension=3)
        for row in zip(segment_ids.tolist(), crack_ids.tolist(), written, strict=True):
            copy.write_row(row)
    return len(lines)


def index_pieces(connection: Connection) -> None:
    """Let pieces be found by segment and by crack, once all are put aside."""
    connection.execute(text("CREATE INDEX held_piece_segment ON held_piece (segment_id)"))
    connection.execute(text("CREATE INDEX held_piece_crack ON held_piece (crack_id)"))
    connection.execute(text("ANALYZE held_piece"))


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
    """The imagery of a survey: outlines in its CRS, which of them are too coarse, and failed cells."""

    footprints: NDArray[np.object_]
    coarse: NDArray[np.bool_]
    failed_cells: NDArray[np.object_]

    @classmethod
    def of(
        cls, connection: Connection, survey: SurveyRow, *, failed: NDArray[np.int64], grid: Grid
    ) -> _Ground:
        tiles = list_orthophotos(connection, survey.id)
        card = get_model(connection, survey.model_id).card
        return cls(
            footprints_in(tiles, grid.crs),
            too_coarse([tile.gsd_m for tile in tiles], coarsest_m=coarsest_m(card)),
            grid.boxes(failed),
        )

    def shortfall(self, pavements: NDArray[np.object_], coverage: NDArray[np.float64]) -> Shortfall:
        return shortfall(
            pavements,
            coverage=coverage,
            footprints=self.footprints,
            coarse=self.coarse,
            failed_cells=self.failed_cells,
        )


def coarsest_m(card: Any) -> float | None:
    """Return the coarsest imagery, in true metres per pixel, that a model card allows; None: any."""
    known = card.get("gsd_range_m")
    return float(known[1]) if known else None


@dataclass(frozen=True)
class _Block:
    """Some segments, and what is on and about them.

    own: (N,) ids of the segments to be measured, with their pavements (survey's CRS) and sums by pixel.
    segments: those, the ones that their cracks run on to, and the ones beside: segment_id, line, ...
    pieces: segment_id, crack_id, geometry of all pieces on these. scale: of each of `segments`.
    """

    own: NDArray[np.int64]
    pavements: NDArray[np.object_]
    seen: pd.DataFrame
    segments: pd.DataFrame
    pieces: pd.DataFrame
    scale: NDArray[np.float64]

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
        runs_on = np.array(connection.execute(_RUNS_ON, asked).scalars().all(), np.int64)
        ids = places.beside(np.union1d(own, runs_on))
        found = pd.DataFrame(
            connection.execute(_PIECES, {"ids": ids.tolist()}).all(),
            columns=["segment_id", "crack_id", "line"],
        )
        lines = object_array(from_ewkb(found["line"].to_numpy(object)))
        pieces = found[["segment_id", "crack_id"]].astype(np.int64).assign(geometry=lines)
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
        return cls(own, places.pavements[some], seen, segments, pieces, scale)

    @property
    def measured(self) -> pd.DataFrame:
        """The pieces that lie on the segments to be measured."""
        return self.pieces[self.pieces["segment_id"].isin(self.own)]


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
    lines = pieces["geometry"].to_numpy(object)
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
            "geom": reproject(lines, grid.crs, WGS84),
            **true_stats(lines, grid=grid),
        },
    )


def true_stats(lines: NDArray[np.object_], *, grid: Grid) -> dict[str, NDArray[np.float64]]:
    """Measure lines of the survey's CRS in true ground metres, each by the scale at its middle."""
    west, south, east, north = shapely.bounds(lines).T
    scale = ground_scales(grid.crs, (west + east) / 2.0, (south + north) / 2.0)
    stats = line_stats(lines, scale=scale)
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
    seen = block.seen
    pavement_m2 = seen["pavement_m2"].to_numpy(np.float64)
    imaged_m2 = within_pavement(
        seen["imaged_m2"].to_numpy(np.float64),
        pavement_m2=pavement_m2,
        pavements=block.pavements,
        gsd_m=grid.gsd_m,
    )
    coverage = seen["coverage"].to_numpy(np.float64)
    lacks = ground.shortfall(block.pavements, coverage)
    polygons = imaged_pavement(connection, survey.id, block.pavements, grid=grid)
    polygons[imaged_m2 <= 0.0] = shapely.MultiPolygon()
    measured = segment_measures(
        block.pieces,
        block.segments,
        dict(zip(block.own.tolist(), polygons, strict=True)),
        params=params,
        scale=block.scale,
    ).loc[block.own]
    own = block.measured
    length = pd.Series(
        true_stats(own["geometry"].to_numpy(object), grid=grid)["length_m"], own.index
    )
    crack_length = length.groupby(own["segment_id"]).sum().reindex(block.own, fill_value=0.0)
    cracks = own.groupby("segment_id")["crack_id"].nunique().reindex(block.own, fill_value=0)
    area = measured["cracked_area_m2"].astype(np.float64).fillna(0.0).to_numpy()
    copy_frame(
        connection,
        Condition,
        {
            "survey_id": survey.id,
            "segment_id": block.own,
            **{name: _column(measured[name]) for name in FIGURES if name not in _OWN},
            "imaged_m2": imaged_m2,
            "pavement_m2": pavement_m2,
            "coverage": coverage,
            **on_imaged_ground(imaged_m2, length_m=crack_length.to_numpy(np.float64), area_m2=area),
            "crack_count": _counts(cracks, where=imaged_m2 > 0.0),
            "reason": lacks.reason,
            "too_coarse": lacks.too_coarse,
            "confident": coverage - lacks.too_coarse >= params.min_coverage - ROUNDING,
        },
    )


ROUNDING = 1e-9


def _counts(counts: pd.Series[Any], *, where: NDArray[np.bool_]) -> NDArray[Any]:
    """Return a column for COPY: whole numbers, null elsewhere."""
    if where.all():
        return counts.to_numpy(np.int64)
    column = np.full(len(counts), None, dtype=object)
    column[where] = [int(count) for count in counts.to_numpy()[where]]
    return column


def _column(figures: pd.Series[Any]) -> NDArray[Any]:
    """Return a column for COPY: numbers with NaN for null, other things as they are."""
    if figures.dtype == object:
        return np.array([None if value is None else value for value in figures], dtype=object)
    return figures.to_numpy(np.float64)


# Where the cracks on these segments are: held_piece_segment finds them, held_piece_crack their pieces.
# Without OFFSET 0 it is a join, for which the planner reads all that is held even for one crack in forty.
_RUNS_ON = text("""
    SELECT DISTINCT piece.segment_id
    FROM (SELECT DISTINCT crack_id FROM held_piece
          WHERE segment_id = ANY(CAST(:ids AS bigint[]))) AS crack
    CROSS JOIN LATERAL (
        SELECT segment_id FROM held_piece WHERE held_piece.crack_id = crack.crack_id OFFSET 0) AS piece
""")

_PIECES = text("""
    SELECT segment_id, crack_id, line
    FROM held_piece WHERE segment_id = ANY(CAST(:ids AS bigint[]))
    ORDER BY segment_id, crack_id, line
""")

_SEGMENTS = text("""
    SELECT id AS segment_id, ST_AsBinary(geom) AS line, ST_AsBinary(pavement) AS pavement, width_m,
        lanes, oneway
    FROM segment WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id
""")

_SEEN = text("""
    SELECT s.id AS segment_id, s.pavement_m2, coalesce(i.imaged_m2, 0) AS imaged_m2,
        CASE WHEN s.pavement_m2 > 0
             THEN least(1, coalesce(i.imaged_m2, 0) / s.pavement_m2) ELSE 0 END AS coverage
    FROM segment s LEFT JOIN (
        SELECT cs.segment_id, sum(cs.imaged_m2) AS imaged_m2
        FROM cell_segment cs JOIN cell USING (survey_id, col, "row")
        WHERE cs.survey_id = :survey_id AND cell.state = 'done'
            AND cs.segment_id = ANY(CAST(:ids AS bigint[]))
        GROUP BY cs.segment_id) AS i ON i.segment_id = s.id
    WHERE s.id = ANY(CAST(:ids AS bigint[]))
""")
