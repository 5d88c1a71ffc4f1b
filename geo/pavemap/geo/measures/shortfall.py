"""Why pavement was not imaged, or not well enough: the main reason, by the share of pavement it costs.

    no imagery   no orthophoto lies there
    failed       its cells were given up; the survey's cells say why
    no data      an orthophoto lies there but shows nothing: nodata, mask or alpha, also inside its frame
    too coarse   it was surveyed, in imagery coarser than the model is meant for

Too coarse ground is surveyed all the same: wide cracks can be seen there, and they are on the map. It
counts as imaged, but the figures that rest on it are not to be trusted (fine cracks are missing in
silence), so it does not count towards the coverage from which figures are called confident.

Ground off the road is no reason here: pavement is the road, as far as the network knows, and each share of
a segment's figures is one of its pavement. Imagery off all roads is refused when it is sent, and a
segment whose pavement belongs whole to wider roads has no condition at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

NO_IMAGERY, NO_DATA, FAILED, TOO_COARSE = "no imagery", "no data", "failed", "too coarse"

WHOLE = 0.99
"""Coverage from which pavement counts as wholly imaged: its edge is counted by pixel centres."""

COARSER = 1.05
"""How much coarser than a model's range imagery may be: what projections do to a pixel's size."""


@dataclass(frozen=True)
class Shortfall:
    """What figures lack: (N,) the main reason, '' where nothing worth one, and the too coarse share."""

    reason: NDArray[np.object_]
    too_coarse: NDArray[np.float64]


def too_coarse(gsd_m: Sequence[float], *, coarsest_m: float | None) -> NDArray[np.bool_]:
    """Tell which imagery, by its true metres per pixel, is coarser than a model's coarsest (None: any)."""
    if coarsest_m is None:
        return np.zeros(len(gsd_m), np.bool_)
    return np.asarray(gsd_m, np.float64) > COARSER * coarsest_m


def shortfall(
    pavements: NDArray[np.object_],
    *,
    coverage: NDArray[np.float64],
    footprints: NDArray[np.object_],
    coarse: NDArray[np.bool_],
    failed_cells: NDArray[np.object_],
) -> Shortfall:
    """Return what each pavement lacks.

    `pavements` (N,), `footprints` (M,) of the imagery and the squares of `failed_cells` are polygons in
    the survey's CRS; `coverage` (N,) is the share of each pavement that was imaged, 0 to 1; `coarse`
    (M,) tells which imagery is too coarse. Finer imagery is shown before coarser.
    """
    reasons = np.full(len(pavements), "", dtype=object)
    blurred = _seen_coarse(pavements, coverage, footprints, coarse)
    lacking = np.flatnonzero((coverage - blurred < WHOLE) & ~shapely.is_empty(pavements))
    if not len(lacking):
        return Shortfall(reasons, blurred)
    short = pavements[lacking]
    laid = _covered_share(short, footprints)
    failed = np.minimum(_covered_share(short, failed_cells), laid)
    causes = np.array([NO_IMAGERY, FAILED, NO_DATA, TOO_COARSE], dtype=object)
    empty = np.maximum(laid - failed - coverage[lacking], 0.0)
    missing = np.stack([1.0 - laid, failed, empty, blurred[lacking]])
    reasons[lacking] = causes[missing.argmax(axis=0)]
    return Shortfall(reasons, blurred)


def _seen_coarse(
    pavements: NDArray[np.object_],
    coverage: NDArray[np.float64],
    footprints: NDArray[np.object_],
    coarse: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the share of each pavement that was imaged in too coarse imagery only."""
    if not coarse.any():
        return np.zeros(len(pavements))
    some = ~shapely.is_empty(pavements)
    fine = np.zeros(len(pavements))
    fine[some] = _covered_share(pavements[some], footprints[~coarse])
    beyond: NDArray[np.float64] = np.maximum(coverage - fine, 0.0)
    return beyond


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
