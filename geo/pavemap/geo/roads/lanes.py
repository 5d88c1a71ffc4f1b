"""Lanes, and the five zones of a lane, as intervals of offset from a road's centre-line.

Offsets are metres across the road, positive to the left of the line's own direction:

        left edge                    centre-line                   right edge
     +3.5 |---------- lane 1 -----------| 0 |---------- lane 0 ----------| -3.5     7 m, two lanes

    one lane:  outside-left | wheel-path-left | between | wheel-path-right | outside-right

AASHTO R 85 (Quantifying Cracks in Asphalt Pavement Surfaces) sums cracks in these five zones. It is sold
and was not read: wheel paths centred 0.875 m from the centre of the lane are what is commonly quoted of
it, 1.0 m (39 in) of width is what 23 CFR 490 and the HPMS Field Manual go by. Both can be set.
Assumed: the width is that of the travelled way, the lanes share it equally, the line runs in its middle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import shapely
from shapely.geometry.base import BaseGeometry

from pavemap.geo.errors import BadInput

LANE_WIDTH_M = 3.5
WHEEL_PATH_M = 1.0
WHEEL_SPACING_M = 1.75
"""Between the centres of the two wheel paths of a lane: twice 0.875 m."""
MAX_LANES = 20

ZONES = ("outside-left", "wheel-path-left", "between", "wheel-path-right", "outside-right")


@dataclass(frozen=True)
class Lane:
    """One lane: its place across the road and its two edges, left_m > right_m."""

    index: int
    """0 at the edge that traffic along the line keeps to, then across the road."""
    left_m: float
    right_m: float

    @property
    def centre_m(self) -> float:
        """The offset of the middle of the lane."""
        return (self.left_m + self.right_m) / 2.0


@dataclass(frozen=True)
class Zone:
    """One of the `ZONES` of a lane and its two edges, left_m >= right_m (equal where nothing is left)."""

    name: str
    left_m: float
    right_m: float


def lanes_of(
    width_m: float,
    *,
    lanes: int | None,
    oneway: bool = False,
    lane_width_m: float = LANE_WIDTH_M,
    drive_on_right: bool = True,
) -> list[Lane]:
    """Divide a road's width into lanes of equal width, in the order of their index.

    Where the number of `lanes` isn't known it is the number of lanes of about `lane_width_m` that fit;
    a two-way road of at least one and a half lanes has two. Raises BadInput for a width or a number
    that is none.
    """
    if not (math.isfinite(width_m) and width_m > 0.0):
        raise BadInput(f"a width of {width_m:g} m has no lanes; give the road's width in metres")
    if lane_width_m <= 0.0:
        raise BadInput(f"a lane of {lane_width_m:g} m is none; give its width in metres")
    count = _likely_lanes(width_m / lane_width_m, oneway=oneway) if lanes is None else lanes
    if not 1 <= count <= MAX_LANES:
        raise BadInput(f"a road has 1 to {MAX_LANES} lanes, not {count}; check its lane count")
    edges = [width_m * (0.5 - place / count) for place in range(count)] + [-width_m / 2.0]
    across = [Lane(0, left, right) for left, right in pairwise(edges)]
    if drive_on_right:
        across.reverse()
    return [Lane(index, lane.left_m, lane.right_m) for index, lane in enumerate(across)]


def zones_of(
    lane: Lane, *, wheel_path_m: float = WHEEL_PATH_M, wheel_spacing_m: float = WHEEL_SPACING_M
) -> list[Zone]:
    """Divide a lane into its five zones, from left to right; together they are the lane exactly.

    `wheel_spacing_m` is the distance between the centres of the wheel paths. In a narrow lane the outer
    zones, then the wheel paths, are cut at its edges; wheel paths wider than their spacing meet in the
    middle. Raises BadInput for a wheel path or spacing that is none.
    """
    if not (wheel_path_m > 0.0 and wheel_spacing_m > 0.0):
        raise BadInput("wheel paths need a width and a spacing above 0 m")
    middle, half = lane.centre_m, (lane.left_m - lane.right_m) / 2.0
    outer = (wheel_spacing_m + wheel_path_m) / 2.0
    inner = max((wheel_spacing_m - wheel_path_m) / 2.0, 0.0)
    left = [lane.left_m if offset >= half else middle + offset for offset in (outer, inner)]
    right = [lane.right_m if offset >= half else middle - offset for offset in (inner, outer)]
    edges = [lane.left_m, *left, *right, lane.right_m]
    return [Zone(name, high, low) for name, high, low in zip(ZONES, edges, edges[1:], strict=False)]


def strip_between(
    line: shapely.LineString, *, left_m: float, right_m: float
) -> shapely.Polygon | shapely.MultiPolygon:
    """Draw the ground between two offsets along a line of a metric plane, with flat ends.

    In a bend tighter than an offset the strip covers what lies at that distance from the line.
    """
    if not left_m >= right_m:
        raise BadInput("a strip's left edge must lie to the left of its right edge")
    strips = [
        _beside(line, sign * far).difference(_beside(line, sign * near))
        for sign, far, near in ((1.0, left_m, right_m), (-1.0, -right_m, -left_m))
        if far > 0.0
    ]
    drawn = shapely.union_all(strips)
    return drawn if isinstance(drawn, shapely.Polygon | shapely.MultiPolygon) else shapely.Polygon()


def _likely_lanes(fitting: float, *, oneway: bool) -> int:
    fewest = 2 if fitting >= 1.5 and not oneway else 1
    return min(max(fewest, math.floor(fitting + 0.5)), MAX_LANES)


def _beside(line: shapely.LineString, offset_m: float) -> BaseGeometry:
    """Return what lies beside a line up to an offset: to the left of it, or (below 0) to the right."""
    if offset_m == 0.0:
        return shapely.Polygon()
    beside: BaseGeometry = shapely.buffer(
        line, offset_m, single_sided=True, join_style="mitre", mitre_limit=2.0
    )
    return beside
