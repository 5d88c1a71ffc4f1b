"""A cracking-only Pavement Condition Index by the steps of ASTM D6433, for asphalt.

It is an UPPER ESTIMATE of the PCI: potholes, ruts, patches, ravelling and roughness are not seen
and deduct nothing, and severity by width alone is a lower estimate. Named `pci_cracking` so that
nobody takes it for the whole index.

    1. density     alligator, block: 100 x m2 / m2; longitudinal and transverse: 100 x 0.3048 x m / m2
    2. deducts     one curve for each distress and severity, in x = log10(density in %)
    3. allowed     m = min(10, 1 + 9/98 (100 - HDV)), HDV the highest deduct; the m largest are kept, the
                   next by the fraction of m
    4. corrected   q deducts above 2 and their total T give CDV = f_q(T); the smallest deduct above 2
                   becomes 2; again, until q = 1, where CDV = T
    5. index       100 - the greatest CDV

The standard prints curves, not formulas, and is sold; the steps are those of public summaries (and
of TM 5-623, whose Appendix C has the older curves). The polynomials are the fits to points read
from the charts by the open-source gem `pavement_condition_index` (Brand New Box, MIT licence): its
validity ranges are used too. Against the examples of TM 5-623, Appendix C, read from a chart by
eye: T = 45 at q = 2 is 33 there and 33.10 here, alligator medium at 0.64 % is 17 there and 17.95
here.

Beyond the charts: a density above a curve's range counts as its end; below it the deduct falls to 0
in proportion to density, and none is below 0 (a fit may dip). q above 7 takes the curve of 7, as
the standard's own example does (q = 8, T = 104.7: 51). T above 200 counts as 200.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats

FEET_PER_METRE = 1.0 / 0.3048
DISTRESSES = ("alligator", "block", "longitudinal_transverse")

DEDUCT_CURVES: dict[tuple[str, str], tuple[float, ...]] = {
    ("alligator", "low"): (11.810, 14.717, 5.255),
    ("alligator", "medium"): (21.641, 19.850, 4.129),
    ("alligator", "high"): (30.698, 26.819, 5.654, -2.056),
    ("block", "low"): (-0.245, 3.587, 4.865),
    ("block", "medium"): (2.004, 7.657, 6.197),
    ("block", "high"): (6.055, 14.239, 9.261),
    ("longitudinal_transverse", "low"): (2.183, 8.216, 6.455),
    ("longitudinal_transverse", "medium"): (8.679, 15.315, 6.267),
    ("longitudinal_transverse", "high"): (17.723, 24.494, 19.119, 4.183, -4.545),
}
"""Coefficients of 1, x, x^2, ... for x = log10(density in %)."""

DENSITY_RANGE = {
    "alligator": (0.1, 100.0),
    "block": (0.1, 100.0),
    "longitudinal_transverse": (0.1, 30.0),
}
"""Densities in % that the charts cover."""

CORRECTION_CURVES = {
    2: (-4.768, 0.9204, -0.001752),
    3: (-7.225, 0.8353, -0.001349),
    4: (-12.073, 0.8360, -0.001397),
    5: (-12.826, 0.7673, -0.001158),
    6: (-15.062, 0.7419, -0.001057),
    7: (-18.186, 0.8352, -0.001634),
}
"""Coefficients of 1, T, T^2 for the corrected deduct value at q deducts above 2, asphalt."""
LARGEST_TOTAL = 200.0
NEGLIGIBLE = 2.0
"""Deducts up to this don't count in q."""

RATINGS = (
    (85.0, "good"),
    (70.0, "satisfactory"),
    (55.0, "fair"),
    (40.0, "poor"),
    (25.0, "very poor"),
    (10.0, "serious"),
)
"""Rating of an index above the number (ASTM D6433, figure 1); 'failed' up to the last."""


@dataclass(frozen=True)
class Distress:
    """One distress at one severity on a sample unit: m2 of a pattern, or m of cracks."""

    kind: str
    severity: str
    quantity: float


def density_percent(kind: str, quantity: Floats, area_m2: Floats) -> Floats:
    """Return densities in % as the standard has them, in US units: m2/m2, or feet per square foot."""
    per_area = quantity / area_m2
    density: Floats = 100.0 * per_area / (FEET_PER_METRE if kind == DISTRESSES[2] else 1.0)
    return density


def deduct_value(kind: str, severity: str, density: Floats) -> Floats:
    """Return deduct values, 0 to 100, of densities in %."""
    least, most = DENSITY_RANGE[kind]
    inside = np.log10(np.clip(density, least, most))
    curve = np.polynomial.polynomial.polyval(inside, DEDUCT_CURVES[kind, severity])
    below = np.clip(np.asarray(density) / least, 0.0, 1.0)
    value: Floats = np.clip(curve, 0.0, 100.0) * below
    return value


def corrected_deduct(total: Floats, q: NDArray[np.int64]) -> Floats:
    """Return corrected deduct values of totals at q deducts above 2; never above the total or 100."""
    capped = np.minimum(total, LARGEST_TOTAL)
    corrected = capped.copy()
    for count, curve in CORRECTION_CURVES.items():
        at = np.minimum(q, max(CORRECTION_CURVES)) == count
        corrected[at] = np.polynomial.polynomial.polyval(capped[at], curve)
    return np.asarray(np.clip(corrected, 0.0, np.minimum(total, 100.0)), np.float64)


def pci(deducts: Floats) -> Floats:
    """Return (U,) indices, 0 to 100, of (U, D) deduct values of sample units."""
    if deducts.shape[1] == 0:
        return np.full(len(deducts), 100.0)
    largest_first = -np.sort(-deducts, axis=1)
    allowed = np.minimum(10.0, 1.0 + 9.0 / 98.0 * (100.0 - largest_first[:, 0]))
    share = np.clip(allowed[:, None] - np.arange(deducts.shape[1]), 0.0, 1.0)
    left = largest_first * share
    left = -np.sort(-left, axis=1)
    worst = np.zeros(len(left))
    for _ in range(left.shape[1]):
        q = (left > NEGLIGIBLE).sum(axis=1)
        worst = np.maximum(worst, corrected_deduct(left.sum(axis=1), q))
        several = np.flatnonzero(q > 1)
        if not len(several):
            break
        left[several, q[several] - 1] = NEGLIGIBLE
    index: Floats = 100.0 - worst
    return index


def unit_pci(distresses: list[Distress], area_m2: float) -> float:
    """Return the cracking-only PCI of one sample unit of `area_m2` that was imaged."""
    deducts = [
        deduct_value(
            one.kind,
            one.severity,
            density_percent(one.kind, np.array([one.quantity]), np.array([area_m2])),
        )
        for one in distresses
    ]
    return float(pci(np.array(deducts).reshape(1, -1))[0])


def section_pci(units: Floats, area_m2: Floats, section: NDArray[np.int64], count: int) -> Floats:
    """Return (count,) indices of sections: the mean of their units' by area (ASTM D6433, section PCI).

    nan for a section without units.
    """
    area = np.bincount(section, area_m2, minlength=count)
    total = np.bincount(section, units * area_m2, minlength=count)
    index: Floats = np.full(count, np.nan)
    np.divide(total, area, out=index, where=area > 0.0)
    return np.clip(index, 0.0, 100.0)  # a mean of hundreds may be rounded to more


def pci_rating(index: Floats) -> NDArray[np.object_]:
    """Return the ratings of indices: 'good', 'satisfactory', 'fair', 'poor', 'very poor', 'serious',
    'failed' (ASTM D6433, figure 1); None for nan."""
    index = np.asarray(index, np.float64)
    rating = np.full(index.shape, None, object)
    rating[~np.isnan(index)] = "failed"
    for above, name in RATINGS[::-1]:
        rating[index > above] = name
    return rating
