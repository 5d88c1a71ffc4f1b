"""Severity by crack width.

Source: ASTM D6433, distresses 3 (block) and 10 (longitudinal and transverse cracking), unfilled
cracks: low below 10 mm, medium 10 to 75 mm, high above 75 mm (as in TM 5-623, Appendix B, and
public summaries of the standard, which is sold). Both limits can be set. The standard's other
signs, spalling, filling and cracks beside a crack, are not seen, so severity is a lower estimate. A
crack whose severity changes along it is recorded by portions (TM 5-623): lengths by severity follow
the local width, and add up to the crack's length; a piece as a whole has the severity of its mean.
"""

from __future__ import annotations

import numpy as np

from pavemap.geo.arrays import Floats, Integers
from pavemap.geo.measures.params import MeasureParams

SEVERITIES = ("low", "medium", "high")
LOW, MEDIUM, HIGH = range(3)
UNKNOWN = 3
"""A crack without a width, as lines drawn by hand may be."""


def severity_of(width_mm: Floats, params: MeasureParams) -> Integers:
    """Return (N,) indices in `SEVERITIES` of widths in mm; `UNKNOWN` for 0 and nan."""
    low, high = params.severity_mm
    severity = np.full(len(width_mm), UNKNOWN, np.int64)
    severity[width_mm > 0.0] = LOW
    severity[width_mm >= low] = MEDIUM
    severity[width_mm > high] = HIGH
    return severity
