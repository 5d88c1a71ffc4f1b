"""Which part of given pavements a survey has imaged, from its cells; asked block by block."""

from __future__ import annotations

import uuid

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from pavemap.geo.arrays import object_array
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.imaged import imaged_ground
from pavemap.geo.store.bulk import from_ewkb


def imaged_pavement(
    connection: Connection, survey_id: uuid.UUID, pavements: NDArray[np.object_], *, grid: Grid
) -> NDArray[np.object_]:
    """Return the imaged part of each pavement (N,) of the grid's CRS; empty where nothing was seen.

    Only cells that were not imaged whole leave the database, so memory goes with the pavements given.
    """
    met = grid.indices_meeting(pavements)
    rows = connection.execute(
        _NOT_WHOLE, {"survey_id": survey_id, "col": met[:, 0].tolist(), "row": met[:, 1].tolist()}
    ).all()
    places = np.array([(row.col, row.row) for row in rows], np.int64).reshape(-1, 2)
    parts = object_array([row.part for row in rows])
    known = np.array([part is not None for part in parts], dtype=bool)
    parts[known] = reproject(from_ewkb(parts[known]), WGS84, grid.crs)
    return imaged_ground(pavements, places=places, parts=parts, grid=grid)


# Of the cells asked for: those that are not done, or not there at all, and those imaged in part.
_NOT_WHOLE = text("""
    SELECT met.col, met."row", ST_AsBinary(c.imaged_part) AS part
    FROM unnest(CAST(:col AS bigint[]), CAST(:row AS bigint[])) AS met(col, "row")
    LEFT JOIN cell c ON c.survey_id = :survey_id AND c.col = met.col AND c."row" = met."row"
        AND c.state = 'done'
    WHERE c.survey_id IS NULL OR c.imaged_part IS NOT NULL
""")
