"""The condition of segments: what was found on them, over the ground that was imaged."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Geometries

Areas = NDArray[np.floating[Any]]

SCALE_DRIFT = 0.005
"""How far areas by the scale of a cell and of its segment may differ: 10 km of road in a Mercator CRS."""

FULL_COVERAGE = 0.98
"""Coverage from which nothing worth a reason is missing; pixels at a border cost about as much."""


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


def conditions(
    segments: pd.DataFrame,
    *,
    pieces: pd.DataFrame,
    imaged_m2: pd.Series[float],
    cracked_m2: pd.Series[float],
    failed: Collection[int] = (),
    with_imagery: Collection[int] = (),
) -> pd.DataFrame:
    """Return the condition of every segment, indexed by segment_id.

    segments: columns segment_id, pavement_m2. pieces: columns segment_id, crack_index, length_m.
    imaged_m2, cracked_m2: indexed by segment_id, a segment that is missing has 0. failed: segments
    that a failed cell meets; with_imagery: segments that imagery meets at all.
    Columns: crack_length_m, cracked_area_m2, density_m_per_m2, crack_count (these null where nothing
    was imaged), imaged_m2, pavement_m2, coverage, reason (why pavement was not imaged: '' when it was,
    'failed', 'no data' when imagery was there but not usable, 'no imagery').
    """
    table = segments.set_index("segment_id")[["pavement_m2"]].astype(float)
    by_segment = pieces.groupby("segment_id")
    table["crack_length_m"] = by_segment["length_m"].sum()
    table["crack_count"] = by_segment["crack_index"].nunique()
    table["imaged_m2"] = imaged_m2
    table["cracked_area_m2"] = cracked_m2
    table = table.fillna(0.0)
    table["crack_count"] = table["crack_count"].astype("Int64")
    share = table["imaged_m2"] / table["pavement_m2"].where(table["pavement_m2"] > 0.0)
    table["coverage"] = share.fillna(0.0).clip(upper=1.0)
    seen = table["imaged_m2"].where(table["imaged_m2"] > 0.0)
    unseen = seen.isna().to_numpy()
    table.loc[unseen, ["crack_length_m", "cracked_area_m2"]] = np.nan
    table.loc[unseen, "crack_count"] = pd.NA
    table["density_m_per_m2"] = table["crack_length_m"] / seen
    reason = np.where(table.index.isin(list(with_imagery)), "no data", "no imagery")
    reason = np.where(table.index.isin(list(failed)), "failed", reason)
    table["reason"] = np.where(table["coverage"] >= FULL_COVERAGE, "", reason)
    return table[
        [
            "crack_length_m",
            "cracked_area_m2",
            "imaged_m2",
            "pavement_m2",
            "coverage",
            "density_m_per_m2",
            "crack_count",
            "reason",
        ]
    ]
