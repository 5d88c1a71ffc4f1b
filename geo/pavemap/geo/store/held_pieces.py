"""Pieces of cracks put aside while a survey is measured, in a table that goes with the transaction.

What kind of crack a piece is depends on those around it, so all are there before the first is classified.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from pavemap.geo.arrays import object_array
from pavemap.geo.store.bulk import driver, from_ewkb


def hold_pieces(connection: Connection) -> None:
    """Make the table that holds pieces until they are classified."""
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


def segments_run_on_to(connection: Connection, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the segments on which cracks of these have pieces, these included where they have cracks."""
    found = connection.execute(_RUNS_ON, {"ids": ids.tolist()}).scalars().all()
    return np.array(found, np.int64)


def pieces_on(connection: Connection, ids: NDArray[np.int64]) -> pd.DataFrame:
    """Return the pieces on segments: segment_id, crack_id, geometry, in an order of their own."""
    found = pd.DataFrame(
        connection.execute(_PIECES, {"ids": ids.tolist()}).all(),
        columns=["segment_id", "crack_id", "line"],
    )
    lines = object_array(from_ewkb(found["line"].to_numpy(object)))
    return found[["segment_id", "crack_id"]].astype(np.int64).assign(geometry=lines)


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
