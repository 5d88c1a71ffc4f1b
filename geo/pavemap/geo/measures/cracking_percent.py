"""US Cracking Percent: how much of a section's area lies in wheel paths where cracks are seen.

Sources: 23 CFR 490.305 (Cracking Percent of asphalt pavements: the percentage of the area of the
section that exhibits visible cracking), 490.309 and 490.311(b)(2)(i) (by the HPMS Field Manual, to
the nearest whole percent), 490.313(b)(2)(i) (good below 5, fair 5 to 20, poor above 20); the HPMS
Field Manual, item 52, looks in the wheel paths, each 1.0 m (39 in) wide. The text of the regulation
was read; of the manual only public summaries.

    cracking_percent = 100 x sum over wheel paths of (cracked length x wheel_path_m) / imaged lane area

The cracked length of a wheel path is the part of its length beside which there is a crack inside
it: every crack is projected on the path's direction and overlaps count once. So an alligator patch
counts over its whole length, a longitudinal crack over its length, and a transverse crack, which
has next to no length along the path, next to nothing: what the manual rates is fatigue cracking.
The path counts with its whole width wherever it is cracked, as raters do it, so the figure can't
pass 2 x 1.0 / 3.5 m = 57 % in lanes of 3.5 m. All lanes are measured; the regulation asks for one
(490.309(b)(1)(i)(B)).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Integers
from pavemap.geo.measures.bits import Bits, sums_by
from pavemap.geo.measures.layout import WHEEL_PATHS, Layout
from pavemap.geo.measures.road_frame import RoadFrames

GOOD_BELOW, POOR_ABOVE = 5.0, 20.0
"""Percent, asphalt pavements (23 CFR 490.313(b)(2)(i))."""


def cracking_percent(
    bits: Bits, *, zone: Integers, zones: Layout, imaged_m2: Floats, frames: RoadFrames
) -> Floats:
    """Return (S,) Cracking Percent, nan where no lane was imaged.

    bits must be cut at the zones' borders; zone: (N,) index of each in `zones`, -1 beside all lanes;
    imaged_m2: (Z,) imaged area of each zone in true m2.
    """
    count = len(frames)
    cracked_m = cracked_length_m(bits, zone=zone, zones=zones, frames=frames)
    width_m = zones.left - zones.right
    cracked_m2 = sums_by(zones.segment, cracked_m * width_m, count)
    lanes_m2 = sums_by(zones.segment, imaged_m2, count)
    percent: Floats = np.full(count, np.nan)
    np.divide(100.0 * cracked_m2, lanes_m2, out=percent, where=lanes_m2 > 0.0)
    return np.minimum(percent, 100.0)


def cracked_length_m(bits: Bits, *, zone: Integers, zones: Layout, frames: RoadFrames) -> Floats:
    """Return (Z,) for each wheel path the part of its length that has a crack, in m; 0 for other zones."""
    path = np.isin(zones.kind, WHEEL_PATHS)
    wanted = np.flatnonzero((zone >= 0) & path[zone])
    zone = zone[wanted]
    longest = frames.lengths[zones.segment[zone]]
    start = np.clip(bits.station[wanted].min(axis=1), 0.0, longest)
    stop = np.clip(bits.station[wanted].max(axis=1), 0.0, longest)
    return _covered(zone, start, stop, frames.lengths[zones.segment])


def cracking_rating(percent: Floats) -> NDArray[np.object_]:
    """Return 'good', 'fair' or 'poor' for asphalt (23 CFR 490.313(b)(2)(i)), None for nan.

    The percentage is rounded to the nearest whole one first, as 490.311(b)(2)(i) has the metric.
    """
    whole = np.floor(np.asarray(percent, np.float64) + 0.5)
    rating = np.full(whole.shape, None, object)
    rating[whole < GOOD_BELOW] = "good"
    rating[(whole >= GOOD_BELOW) & (whole <= POOR_ABOVE)] = "fair"
    rating[whole > POOR_ABOVE] = "poor"
    return rating


def _covered(group: Integers, start: Floats, stop: Floats, lengths: Floats) -> Floats:
    """Return how much of each group's length its intervals cover together."""
    before = np.concatenate([[0.0], np.cumsum(lengths + 1.0)])
    start, stop = start + before[group], stop + before[group]
    order = np.argsort(start, kind="stable")
    start, stop, group = start[order], stop[order], group[order]
    # Groups lie one after the other on one long axis, so one running maximum serves all.
    reached = np.concatenate([[-np.inf], np.maximum.accumulate(stop)[:-1]]) if len(stop) else stop
    new = np.maximum(stop - np.maximum(start, reached), 0.0)
    return sums_by(group, new, len(lengths))
