"""Which segments lie beside which: what is measured together, and what must be read with it.

The cells of a pattern astride a border close with pieces on both sides of it, so a block of segments is
read with what is on those beside.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import in_blocks
from pavemap.geo.crs import ground_scales
from pavemap.geo.grid import Grid, in_bands
from pavemap.geo.measures.params import MeasureParams

BAND_M = 2_000.0
"""Blocks run along bands of this height, from west to east."""

SEGMENTS_AT_A_TIME = 500
"""Some 50 km of road: tens of megabytes of pieces, of cells of the grid measures, and of pavement."""


def pattern_reach_m(params: MeasureParams) -> float:
    """Return how far the fewest cells that make a pattern reach in a row, if they are squares, in m."""
    return params.pattern_min_cells * math.sqrt(params.block_cell_m2)


@dataclass(frozen=True)
class Neighbours:
    """Where the segments of a survey (N,) lie.

    ids: ascending; pavements: in the survey's CRS, with their tree; reach: how far cells of a pattern
    go, in units of that CRS; order: indices along bands, so that those that follow each other are near.
    """

    ids: NDArray[np.int64]
    pavements: NDArray[np.object_]
    tree: shapely.STRtree
    reach: NDArray[np.float64]
    order: NDArray[np.int64]

    @classmethod
    def of(
        cls, ids: NDArray[np.int64], pavements: NDArray[np.object_], *, reach_m: float, grid: Grid
    ) -> Neighbours:
        x, y = shapely.bounds(pavements).reshape(-1, 2, 2).mean(axis=1).T
        order = in_bands(x, y, height=BAND_M)
        reach = reach_m * ground_scales(grid.crs, x, y)
        return cls(ids, pavements, shapely.STRtree(pavements), reach, order)

    def blocks(self) -> Iterator[NDArray[np.int64]]:
        """Yield the indices of the segments, block by block of some that are near each other."""
        yield from in_blocks(self.order, SEGMENTS_AT_A_TIME)

    def beside(self, segment_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the ids of some of the segments and of those within reach of them."""
        some = np.searchsorted(self.ids, segment_ids)
        _, near = self.tree.query(
            self.pavements[some], predicate="dwithin", distance=self.reach[some]
        )
        return np.union1d(segment_ids, self.ids[near])
