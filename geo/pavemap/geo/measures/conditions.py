"""The condition of segments: what was found on them, over the ground that was imaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Geometries
from pavemap.geo.measures.shortfall import SurveyedGround, shortfall

Areas = NDArray[np.floating[Any]]

SCALE_DRIFT = 0.005
"""How far areas by the scale of a cell and of its segment may differ: 10 km of road in a Mercator CRS."""

ROUNDING = 1e-9
"""What a sum of shares may be short of the coverage that it stands for."""


def condition_figures(
    *,
    pavements: Geometries,
    pavement_m2: Areas,
    counted_m2: Areas,
    coarse_m2: Areas,
    gsd_m: float,
    crack_length_m: Areas,
    crack_count: NDArray[np.integer[Any]],
    cracked_area_m2: Areas,
    ground: SurveyedGround,
    min_coverage: float,
) -> dict[str, NDArray[Any]]:
    """Return the figures of segments (N,), all but what its cracks are like, by their columns.

    `pavements`, the pixel `gsd_m` and `ground` are in the survey's CRS; lengths and areas are true
    metres. counted_m2: pavement as its imaged pixels add up; coarse_m2: how much of that only imagery
    shows that is too coarse for the model. Length, area, density, share and count of cracks are null
    (None for the count) where nothing was imaged. confident: coverage less what is too coarse reaches
    `min_coverage`.
    """
    imaged_m2 = within_pavement(
        counted_m2, pavement_m2=pavement_m2, pavements=pavements, gsd_m=gsd_m
    )
    coverage = np.minimum(share_of(imaged_m2, pavement_m2), 1.0)
    too_coarse = coverage * share_of(coarse_m2, counted_m2)
    return {
        "imaged_m2": imaged_m2,
        "pavement_m2": pavement_m2,
        "coverage": coverage,
        **on_imaged_ground(imaged_m2, length_m=crack_length_m, area_m2=cracked_area_m2),
        "crack_count": _counts(crack_count, where=imaged_m2 > 0.0),
        "reason": shortfall(pavements, coverage=coverage, too_coarse=too_coarse, ground=ground),
        "too_coarse": too_coarse,
        "confident": coverage - too_coarse >= min_coverage - ROUNDING,
    }


def share_of(part: Areas, whole: Areas) -> NDArray[np.float64]:
    """Return part by whole, 0 where there is no whole."""
    share: NDArray[np.float64] = np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0.0)
    return share


def within_pavement(
    imaged_m2: Areas,
    *,
    pavement_m2: Areas,
    pavements: Geometries,
    gsd_m: float,
) -> NDArray[np.float64]:
    """Return what was imaged of segments (N,) as at most their pavement, all in true m2.

    `pavements` and the pixel `gsd_m` are in the survey's CRS. Pixels are counted by their centres, so a
    border may add up to half of one all along it. More than that is a fault, as ground counted twice,
    and is left to be seen.
    """
    rounding = gsd_m * shapely.length(pavements) + SCALE_DRIFT * pavement_m2
    known: NDArray[np.float64] = np.where(
        imaged_m2 <= pavement_m2 + rounding, np.minimum(imaged_m2, pavement_m2), imaged_m2
    )
    return known


def on_imaged_ground(
    imaged_m2: Areas, *, length_m: NDArray[np.floating[Any]], area_m2: Areas
) -> dict[str, NDArray[np.float64]]:
    """Return crack length and cracked area of segments (N,), and what they are of the imaged ground.

    crack_length_m, density_m_per_m2, cracked_area_m2 and cracked_area_share (%); nan where nothing was
    imaged.
    """
    seen = np.where(imaged_m2 > 0.0, imaged_m2, np.nan)
    return {
        "crack_length_m": np.where(imaged_m2 > 0.0, length_m, np.nan),
        "density_m_per_m2": length_m / seen,
        "cracked_area_m2": np.where(imaged_m2 > 0.0, area_m2, np.nan),
        "cracked_area_share": 100.0 * area_m2 / seen,
    }


def _counts(counts: NDArray[np.integer[Any]], *, where: NDArray[np.bool_]) -> NDArray[Any]:
    """Return whole numbers, None elsewhere."""
    if where.all():
        return counts
    column = counts.astype(object)
    column[~where] = None
    return column
