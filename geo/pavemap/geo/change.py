"""Change of crack density between two surveys of a segment, with the uncertainty that both leave.

A survey says: D metres of crack on A square metres of imaged pavement, a density d = D / A, coverage c.
Its detector finds a share R (recall) of what is there, and a share P (precision) of what it finds is
there. Cracks are found or missed by stretches of about u metres (UNIT_M), so that

- of n = P D / (R u) true stretches each is found with probability R, which adds n R (1 - R) u^2 to the
  variance of D; false ones come as they like (Poisson) and add (1 - P) D u; together u D (1 - P R);
- the unseen part of the pavement, (1 - c) of it, has cracks by the same stretches (Poisson), which for
  the whole pavement adds u D (1 - c) / A^2, but at a rate of its own: cracks gather, so that it may have
  none, or most of them. That rate is off d by a standard deviation r, the greater of both densities.

    var(d) = u (D + u) (2 - P R - c) / A^2 + ((1 - c) r)^2

The u beside D says that where no crack was found one stretch may still have been missed. A detector
that finds more (or less) than there is does so in both surveys: with b = P/R - 1 its part in the
difference is b d, and the standard error of the difference is

    se^2 = var(d_before) + var(d_after) + (b_after d_after - b_before d_before)^2

`uncertainty` is 1.96 se, and a change is significant when it is larger than that. Two surveys by one
detector of the same ground share more of their errors than is assumed here: the uncertainty is an
upper estimate. What neither precision nor coverage knows (wet ground, low sun, leaves) is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pavemap.geo.arrays import Floats
from pavemap.geo.errors import BadInput
from pavemap.geo.limits import ASSUMED_ACCURACY

UNIT_M = 1.0
"""Length over which a crack is found or missed as one: that of typical detected pieces."""

Z_95 = 1.959964
"""Of the normal distribution: 95 % lie within so many standard errors."""


@dataclass(frozen=True)
class DetectorAccuracy:
    """How much of what a detector finds is there (precision), and of what is there it finds (recall)."""

    precision: float
    recall: float
    stated: bool = True
    """Whether the model's card says so; otherwise both are assumed."""

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not (0.0 < self.precision <= 1.0 and 0.0 < self.recall <= 1.0):
            raise BadInput(
                f"precision {self.precision:g} and recall {self.recall:g} must lie above 0, at most 1"
            )

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> DetectorAccuracy:
        """Read a model card: the mean over its validation sets of pooled precision and recall."""
        metrics = card.get("metrics") or {}
        sets = metrics.get("validation") if isinstance(metrics, Mapping) else None
        pooled = [each.get("pooled") or {} for each in sets or [] if isinstance(each, Mapping)]
        known = [
            (float(each["precision"]), float(each["recall"]))
            for each in pooled
            if each.get("precision") and each.get("recall")
        ]
        if not known:
            return cls(ASSUMED_ACCURACY, ASSUMED_ACCURACY, stated=False)
        precision, recall = np.mean(known, axis=0)
        return cls(float(precision), float(recall))

    @property
    def bias(self) -> float:
        """Found over true length, less one."""
        return self.precision / self.recall - 1.0


_OF_A_SURVEY = ("crack_length_m", "imaged_m2", "coverage")


def density_variance(
    *,
    crack_length_m: Floats,
    imaged_m2: Floats,
    coverage: Floats,
    rate_m_per_m2: Floats,
    accuracy: DetectorAccuracy,
) -> Floats:
    """Return var(d) in (m/m2)^2 of densities (N,), NaN where imaged_m2 is; see the module.

    rate_m_per_m2: the standard deviation of the density of what was not seen.
    """
    left_open = 2.0 - accuracy.precision * accuracy.recall - coverage
    by_stretches = UNIT_M * (crack_length_m + UNIT_M) * left_open / imaged_m2**2
    variance: Floats = by_stretches + ((1.0 - coverage) * rate_m_per_m2) ** 2
    return variance


def density_changes(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    accuracy: tuple[DetectorAccuracy, DetectorAccuracy],
) -> pd.DataFrame:
    """Return for each row density_change and uncertainty (m/m2, 95 %), and significant.

    before, after: columns crack_length_m, imaged_m2, coverage, row by row the same ground; accuracy:
    of the detector before and after. Null, and not significant, where either survey saw nothing.
    """
    found = [
        {name: survey[name].to_numpy(np.float64) for name in _OF_A_SURVEY}
        for survey in (before, after)
    ]
    for each in found:
        each["imaged_m2"] = np.where(each["imaged_m2"] > 0.0, each["imaged_m2"], np.nan)
    densities = [each["crack_length_m"] / each["imaged_m2"] for each in found]
    rate = np.maximum(*densities)
    variances = [
        density_variance(**each, rate_m_per_m2=rate, accuracy=known)
        for each, known in zip(found, accuracy, strict=True)
    ]
    change = densities[1] - densities[0]
    bias = accuracy[1].bias * densities[1] - accuracy[0].bias * densities[0]
    uncertainty = Z_95 * np.sqrt(variances[0] + variances[1] + bias**2)
    return pd.DataFrame(
        {
            "density_change_m_per_m2": change,
            "uncertainty_m_per_m2": uncertainty,
            "significant": np.abs(change) > uncertainty,
        },
        index=after.index,
    )
