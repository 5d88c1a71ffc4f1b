"""All lines of a survey stitched at once, for tests that look at where each of them went."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.arrays import Geometries
from pavemap.geo.grid import Grid
from pavemap.geo.stitching.stitch import Stitcher
from pavemap.geo.vectorizing.trust import Trust


def stitch(
    lines: Geometries,
    cells: NDArray[np.int64],
    *,
    grid: Grid,
    min_length_m: float = 0.0,
    trust: Trust | None = None,
) -> tuple[Geometries, NDArray[np.int64]]:
    """Join lines over cell sides; drop networks of joined lines shorter than `min_length_m`.

    lines: (N,) LineString Z in the grid's CRS, each within its cell. cells: (N, 2) column and row.
    trust: what of each line counts towards `min_length_m`, by default all of it.
    Returns the cracks and, for each line given, the index of its crack, or -1 where that was dropped.
    Where three or more ends meet on a side there is a junction, and all of them stay ends.
    """
    sweep = Stitcher(grid, min_length_m=min_length_m)
    found, index = sweep.take(lines, cells, trust or Trust.unknown(len(lines)), last=None)
    return found.lines, index
