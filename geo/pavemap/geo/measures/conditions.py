"""The condition of segments: what was found on them, over the ground that was imaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Geometries, Integers
from pavemap.geo.measures.shortfall import SurveyedGround, shortfall

SCALE_DRIFT = 0.005
"""How far areas by the scale of a cell and of its segment may differ: 10 km of road in a Mercator CRS."""

ROUNDING = 1e-9
"""What a sum of shares may be short of the coverage that it stands for."""


@dataclass(frozen=True)
class CountedGround:
    """Segments (N,) as cells counted them, pixel by pixel.

    pavement: polygons in the survey's CRS; areas are true m2. pavement_m2: of the pavement; imaged_m2: of
    it, as its imaged pixels add up; coarse_m2: how much of that only imagery shows that is too coarse for
    the model.
    """

    segment_id: Integers
    pavement: Geometries
    pavement_m2: Floats
    imaged_m2: Floats
    coarse_m2: Floats


def condition_figures(
    counted: CountedGround,
    *,
    pieces: pd.DataFrame,
    measured: pd.DataFrame,
    ground: SurveyedGround,
    gsd_m: float,
    min_coverage: float,
) -> dict[str, NDArray[Any]]:
    """Return the figures of segments (N,) by their columns.

    pieces: segment_id, crack_id and length_m (true metres) of the pieces of cracks on them. measured: what
    is known of `Measured.table`, by segment_id. `ground` and the pixel `gsd_m` are in the survey's CRS.
    Columns are those of `ground_figures`; crack_count (None where nothing was imaged); reason; and what
    was measured.
    """
    imaged_m2 = within_pavement(counted, gsd_m=gsd_m)
    of_segment = pieces.groupby("segment_id")
    measured = measured.reindex(counted.segment_id)
    # Densities rest on counted pixels, and lengths on each piece's own scale.
    figures: dict[str, NDArray[Any]] = ground_figures(
        imaged_m2,
        pavement_m2=counted.pavement_m2,
        coarse_share=share_of(counted.coarse_m2, counted.imaged_m2),
        crack_length_m=_by_id(of_segment["length_m"].sum(), counted).astype(np.float64),
        cracked_area_m2=measured.pop("cracked_area_m2").fillna(0.0).to_numpy(np.float64),
        min_coverage=min_coverage,
    )
    count = _by_id(of_segment["crack_id"].nunique(), counted).astype(np.int64)
    figures["crack_count"] = _counts(count, where=imaged_m2 > 0.0)
    figures["reason"] = shortfall(
        counted.pavement,
        coverage=figures["coverage"],
        too_coarse=figures["too_coarse"],
        ground=ground,
    )
    return figures | {str(name): measured[name].to_numpy() for name in measured}


def ground_figures(
    imaged_m2: Floats,
    *,
    pavement_m2: Floats,
    coarse_share: Floats,
    crack_length_m: Floats,
    cracked_area_m2: Floats,
    min_coverage: float,
) -> dict[str, NDArray[Any]]:
    """Return the figures of segments (N,) that rest on how much of their pavement was imaged, by column.

    Lengths and areas are true metres. coarse_share: how much of what was imaged is too coarse, 0 to 1.
    confident: coverage less what is too coarse reaches `min_coverage`. cracked_area_share is in %; what is
    said of cracks is nan where nothing was imaged.
    """
    coverage = np.minimum(share_of(imaged_m2, pavement_m2), 1.0)
    too_coarse = coverage * coarse_share
    seen = np.where(imaged_m2 > 0.0, imaged_m2, np.nan)
    return {
        "imaged_m2": imaged_m2,
        "pavement_m2": pavement_m2,
        "coverage": coverage,
        "too_coarse": too_coarse,
        "confident": coverage - too_coarse >= min_coverage - ROUNDING,
        "crack_length_m": np.where(imaged_m2 > 0.0, crack_length_m, np.nan),
        "density_m_per_m2": crack_length_m / seen,
        "cracked_area_m2": np.where(imaged_m2 > 0.0, cracked_area_m2, np.nan),
        "cracked_area_share": 100.0 * cracked_area_m2 / seen,
    }


def share_of(part: Floats, whole: Floats) -> Floats:
    """Return part by whole, 0 where there is no whole."""
    share: Floats = np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0.0)
    return share


def within_pavement(counted: CountedGround, *, gsd_m: float) -> Floats:
    """Return what was imaged of segments (N,) as at most their pavement, in true m2; gsd_m: in the CRS.

    Pixels are counted by their centres, so a border may add up to half of one all along it. More than that
    is a fault, as ground counted twice, and is left to be seen.
    """
    imaged_m2, pavement_m2 = counted.imaged_m2, counted.pavement_m2
    rounding = gsd_m * shapely.length(counted.pavement) + SCALE_DRIFT * pavement_m2
    known: Floats = np.where(
        imaged_m2 <= pavement_m2 + rounding, np.minimum(imaged_m2, pavement_m2), imaged_m2
    )
    return known


def _by_id(figures: pd.Series[Any], counted: CountedGround) -> NDArray[Any]:
    """Return figures of segments in their order, 0 where there is none."""
    return figures.reindex(counted.segment_id, fill_value=0).to_numpy()


def _counts(counts: NDArray[np.integer[Any]], *, where: NDArray[np.bool_]) -> NDArray[Any]:
    """Return whole numbers, None elsewhere."""
    if where.all():
        return counts
    column = counts.astype(object)
    column[~where] = None
    return column
