"""What a survey of some imagery images, as a survey of files knows it or told from its pixels alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import shapely

from pavemap.geo.arrays import Objects, object_array
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.imaged import imaged_ground
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.survey_cell import EDGE_PX, imaged_mask, own_part

Place = tuple[int, int]

_NOTHING = shapely.MultiPolygon()


@dataclass(frozen=True, kw_only=True)
class SeenGround:
    """What was imaged of the cells (column, row) that were surveyed: a polygon, or None for all of it."""

    grid: Grid
    parts: Mapping[Place, shapely.MultiPolygon | None]

    def of(self, pavements: Objects) -> Objects:
        """Return the imaged part of each pavement (N,), in the grid's CRS."""
        places = [(int(col), int(row)) for col, row in self.grid.indices_meeting(pavements)]
        short = [at for at in places if self.parts.get(at, _NOTHING) is not None]
        parts = object_array([self.parts.get(at) for at in short])  # None: not surveyed
        return imaged_ground(
            pavements,
            places=np.array(short, np.int64).reshape(-1, 2),
            parts=parts,
            grid=self.grid,
        )


def seen_ground(mosaic: Mosaic, grid: Grid, *, edge_px: int = EDGE_PX) -> SeenGround:
    """Return what `survey_cell` believes of a mosaic, cell by cell, for maps of surveys made elsewhere.

    All its pixels are read.
    """
    parts = {}
    for cell in grid.cells_meeting(mosaic.footprints):
        window = grid.window(cell)
        believed = imaged_mask(mosaic.read(window).valid, edge_px=edge_px)
        parts[cell.col, cell.row] = own_part(believed, window, grid)
    return SeenGround(grid=grid, parts=parts)
