"""Why pavement was not imaged, or not well enough: the main reason, by the share of pavement it costs.

    no imagery   no orthophoto lies there
    failed       its cells were given up; the survey's cells say why
    no data      an orthophoto lies there but shows nothing: nodata, mask or alpha, also inside its frame
    too coarse   it was surveyed, in imagery coarser than the model is meant for

Too coarse ground is surveyed all the same: wide cracks can be seen there, and they are on the map. It
counts as imaged, but the figures that rest on it are not to be trusted (fine cracks are missing in
silence), so it does not count towards the coverage from which figures are called confident. Cells
count it pixel by pixel, so what the frames of tiles cover makes no difference.

Ground off the road is no reason here: pavement is the road, as far as the network knows, and each share of
a segment's figures is one of its pavement. Imagery off all roads is refused when it is sent, and a
segment whose pavement belongs whole to wider roads has no condition at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

NO_IMAGERY, NO_DATA, FAILED, TOO_COARSE = "no imagery", "no data", "failed", "too coarse"

WHOLE = 0.99
"""Coverage from which pavement counts as wholly imaged: its edge is counted by pixel centres."""


@dataclass(frozen=True)
class SurveyedGround:
    """What a survey looked at, in its CRS: outlines (M,) of its imagery, squares (K,) of failed cells."""

    footprints: NDArray[np.object_]
    failed_cells: NDArray[np.object_]


def coarsest_m(card: Mapping[str, Any]) -> float | None:
    """Return the coarsest imagery, in true metres per pixel, that a model card allows; None: any."""
    known = card.get("gsd_range_m")
    return float(known[1]) if known else None


def shortfall(
    pavements: NDArray[np.object_],
    *,
    coverage: NDArray[np.float64],
    too_coarse: NDArray[np.float64],
    ground: SurveyedGround,
) -> NDArray[np.object_]:
    """Return the main reason why each pavement (N,) lacks something, '' where nothing worth one does.

    `pavements` are polygons in the survey's CRS; `coverage` is the share of each that was imaged, 0 to
    1, `too_coarse` the part of that share which only too coarse imagery shows.
    """
    reasons = np.full(len(pavements), "", dtype=object)
    lacking = np.flatnonzero((coverage - too_coarse < WHOLE) & ~shapely.is_empty(pavements))
    if not len(lacking):
        return reasons
    short = pavements[lacking]
    laid = covered_share(short, ground.footprints)
    failed = np.minimum(covered_share(short, ground.failed_cells), laid)
    causes = np.array([NO_IMAGERY, FAILED, NO_DATA, TOO_COARSE], dtype=object)
    empty = np.maximum(laid - failed - coverage[lacking], 0.0)
    missing = np.stack([1.0 - laid, failed, empty, too_coarse[lacking]])
    reasons[lacking] = causes[missing.argmax(axis=0)]
    return reasons


def covered_share(
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
