"""Extents by zone: crack lengths and widths as AASHTO R 85 sums them.

Source: AASHTO R 85-18, Quantifying Cracks in Asphalt Pavement Surfaces from Collected Pavement
Images Utilizing Automated Methods. Read were its public excerpt of section 7 (extent: the sum of
the lengths of the cracks of a kind in each zone of the summary section, of transverse cracks in the
section; severity: their average width in mm) and the summary in NCHRP "Standard Definitions for
Common Types of Pavement Cracking" (2020), Appendix A, Table 2 (longitudinal: at least 0.3 m long,
within 20 degrees of the lane's centre-line, inclusive). The whole standard is sold and was not
read. Here:

    longitudinal   cracks of at least 0.3 m within 20 degrees of the centre-line
    transverse     cracks at 70 to 110 degrees (given by zone as well; their sum is the standard's figure)
    pattern        the rest: alligator and block cracking, diagonal cracks, and shorter longitudinal ones

A crack is judged whole, then its length is shared out to the zones it runs through. Average width
is by length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pavemap.geo.arrays import Floats, Integers
from pavemap.geo.measures.bits import Bits
from pavemap.geo.measures.crack_types import LONGITUDINAL, TRANSVERSE, CrackTypes
from pavemap.geo.measures.layout import ZONES_RIGHT_TO_LEFT, Layout
from pavemap.geo.measures.params import MeasureParams

KINDS = ("longitudinal", "transverse", "pattern")
OFF_LANES = "off-lanes"
"""Pavement beside all lanes."""


def r85_kind(types: CrackTypes, params: MeasureParams) -> Integers:
    """Return (P,) the index in `KINDS` of each piece."""
    kind = np.full(len(types.code), 2, np.int64)
    long_enough = types.crack_length_m >= params.r85_min_length_m
    kind[(types.code == LONGITUDINAL) & long_enough] = 0
    kind[types.code == TRANSVERSE] = 1
    return kind


def r85_extents(
    bits: Bits, *, kind: Integers, zone: Integers, zones: Layout, imaged_m2: Floats
) -> pd.DataFrame:
    """Return lengths by segment, lane, zone and kind; a row for each zone of each lane, and 'off-lanes'.

    kind: (N,) index in `KINDS` of each bit; zone: (N,) index in `zones`, -1 beside all lanes;
    imaged_m2: (Z,). Columns: segment (index), lane (-1 off the lanes), zone (name), kind, length_m,
    width_mm (average by length, nan where unknown), imaged_m2. length_m is nan where nothing of the zone
    was imaged (and no crack seen).
    """
    segments, strips = len(zones.borders.starts) - 1, len(zones.segment)
    place = np.where(zone >= 0, zone, strips + bits.segment)
    key = place * len(KINDS) + kind
    size = (strips + segments) * len(KINDS)
    length = bits.sum_by(key, size)
    known = bits.width_mm[:, 0] > 0.0
    weight = bits.length_m * known
    measured = np.bincount(key, weight, minlength=size)
    total = np.bincount(key, weight * bits.width_mm.mean(axis=1), minlength=size)
    width = np.full(size, np.nan)
    np.divide(total, measured, out=width, where=measured > 0.0)
    names = np.array([*ZONES_RIGHT_TO_LEFT, OFF_LANES], object)
    off = np.arange(segments)
    ground = np.concatenate([imaged_m2, np.zeros(segments)])
    row = np.repeat(np.arange(strips + segments), len(KINDS))
    seen = (ground[row] > 0.0) | (length > 0.0) | (row >= strips)
    room = np.concatenate([zones.left > zones.right, np.ones(segments, np.bool_)])[row]
    table = pd.DataFrame(
        {
            "segment": np.concatenate([zones.segment, off])[row],
            "lane": np.concatenate([zones.lane, np.full(segments, -1)])[row],
            "zone": names[np.concatenate([zones.kind, np.full(segments, len(names) - 1)])[row]],
            "kind": np.tile(np.array(KINDS, object), strips + segments),
            "length_m": np.where(seen, length, np.nan),
            "width_mm": width,
            "imaged_m2": ground[row],
        }
    )
    return table[room]


def r85_by_segment(extents: pd.DataFrame, imaged: Floats) -> list[dict[str, Any] | None]:
    """Nest extents as {kind: {zone: {length_m, width_mm}}}, the lanes of a segment together.

    imaged: (S,) imaged m2; None where it is 0. A zone that wasn't imaged has None for its figures, a zone
    that the road's lanes leave no room for is left out, and 'off-lanes' stands only where a crack is.
    """
    table = extents[(extents["lane"] >= 0) | (extents["length_m"] > 0.0)]
    weighted = table.assign(
        known=table["length_m"].where(table["width_mm"].notna()),
        product=table["length_m"] * table["width_mm"],
    )
    keys = ["segment", "kind", "zone"]
    sums = weighted.groupby(keys, sort=False)[["length_m", "known", "product"]].sum(min_count=1)
    width = sums["product"] / sums["known"]
    nested: list[dict[str, Any] | None] = [
        {kind: {} for kind in KINDS} if area > 0.0 else None for area in imaged.tolist()
    ]
    for (segment, kind, zone), length, mean in zip(
        sums.index, sums["length_m"].tolist(), width.tolist(), strict=True
    ):
        if (found := nested[segment]) is not None:
            found[kind][zone] = {"length_m": _rounded(length, 3), "width_mm": _rounded(mean, 2)}
    return nested


def _rounded(value: float, digits: int) -> float | None:
    return None if np.isnan(value) else round(value, digits)
