"""Why pavement was not imaged: no imagery laid there, its cell failed, or the imagery holds no data."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

NO_IMAGERY, NO_DATA, FAILED = "no imagery", "no data", "failed"

WHOLE = 0.99
"""Coverage from which pavement counts as wholly imaged: its edge is counted by pixel centres."""


def main_reasons(
    pavements: NDArray[np.object_],
    *,
    coverage: NDArray[np.float64],
    footprints: NDArray[np.object_],
    failed_cells: NDArray[np.object_],
) -> NDArray[np.object_]:
    """Return for each pavement why most of its unseen part was not seen; '' where all of it was.

    `pavements` (N,), `footprints` of the imagery and the squares of `failed_cells` are polygons in
    the survey's CRS; `coverage` (N,) is the share of each pavement that was imaged, 0 to 1.
    """
    reasons = np.full(len(pavements), "", dtype=object)
    lacking = np.flatnonzero((coverage < WHOLE) & ~shapely.is_empty(pavements))
    if not len(lacking):
        return reasons
    short = pavements[lacking]
    laid = _covered_share(short, footprints)
    failed = np.minimum(_covered_share(short, failed_cells), laid)
    causes = np.array([NO_IMAGERY, FAILED, NO_DATA], dtype=object)
    missing = np.stack([1.0 - laid, failed, laid - failed - coverage[lacking]])
    reasons[lacking] = causes[missing.argmax(axis=0)]
    return reasons


def _covered_share(
    polygons: NDArray[np.object_], covers: NDArray[np.object_]
) -> NDArray[np.float64]:
    """Return the share of each polygon that lies in the union of `covers`, which may overlap."""
    shapely.prepare(covers)
    cover, polygon = shapely.STRtree(polygons).query(covers, predicate="intersects")
    share = np.zeros(len(polygons))
    whole = np.unique(polygon[shapely.covers(covers[cover], polygons[polygon])])
    share[whole] = 1.0
    partly = ~np.isin(polygon, whole)
    cover, polygon = cover[partly], polygon[partly]
    cuts = shapely.intersection(covers[cover], polygons[polygon])
    order = np.argsort(polygon, kind="stable")
    members, starts = np.unique(polygon[order], return_index=True)
    for member, group in zip(members, np.split(cuts[order], starts[1:]), strict=False):
        seen = shapely.union_all(group) if len(group) > 1 else group[0]
        share[member] = shapely.area(seen) / shapely.area(polygons[member])
    return share
