"""Lanes and zones: drawn by hand, and what holds for any width."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from pavemap.geo.errors import BadInput
from pavemap.geo.roads.lanes import ZONES, Lane, lanes_of, strip_between, zones_of


def test_two_lanes_share_seven_metres() -> None:
    #   +3.5 |--- lane 1 ---| 0 |--- lane 0 ---| -3.5   traffic along the line keeps to the right
    assert lanes_of(7.0, lanes=2) == [Lane(0, 0.0, -3.5), Lane(1, 3.5, 0.0)]


def test_where_people_drive_on_the_left_the_first_lane_is_on_the_left() -> None:
    assert lanes_of(7.0, lanes=2, drive_on_right=False) == [Lane(0, 3.5, 0.0), Lane(1, 0.0, -3.5)]


@pytest.mark.parametrize(
    ("width_m", "oneway", "expected"),
    [
        (3.0, False, 1),
        (5.5, False, 2),
        (5.0, True, 1),
        (7.0, True, 2),
        (10.5, True, 3),
        (2, True, 1),
    ],
)
def test_lanes_that_are_not_stated_are_those_that_fit(
    width_m: float, oneway: bool, expected: int
) -> None:
    assert len(lanes_of(width_m, lanes=None, oneway=oneway)) == expected


def test_the_five_zones_of_a_lane_of_three_and_a_half_metres() -> None:
    # Half a lane is 1.75 m; the wheel paths reach from 0.375 to 1.375 m beside its centre.
    zones = zones_of(Lane(0, 1.75, -1.75))
    assert [(zone.name, zone.left_m, zone.right_m) for zone in zones] == [
        ("outside-left", 1.75, 1.375),
        ("wheel-path-left", 1.375, 0.375),
        ("between", 0.375, -0.375),
        ("wheel-path-right", -0.375, -1.375),
        ("outside-right", -1.375, -1.75),
    ]


def test_a_narrow_lane_has_less_of_its_outer_zones() -> None:
    # Half of 2.5 m is 1.25 m: nothing is left outside, and 0.875 m of each wheel path.
    widths = [zone.left_m - zone.right_m for zone in zones_of(Lane(0, 1.25, -1.25))]
    assert widths == pytest.approx([0.0, 0.875, 0.75, 0.875, 0.0])


def test_a_strip_is_drawn_on_the_side_that_its_offsets_say() -> None:
    line = shapely.LineString([(0, 0), (100, 0)])
    assert strip_between(line, left_m=3.0, right_m=1.0).bounds == (0, 1, 100, 3)
    assert strip_between(line, left_m=-1.0, right_m=-3.0).bounds == (0, -3, 100, -1)
    across = strip_between(line, left_m=1.0, right_m=-3.0)
    assert across.bounds == (0, -3, 100, 1)
    assert across.area == pytest.approx(400.0)
    assert strip_between(line, left_m=1.0, right_m=1.0).is_empty
    assert strip_between(line, left_m=0.0, right_m=0.0).is_empty


def test_the_zones_of_a_bent_road_are_its_lane() -> None:
    bend = [(40 * math.cos(a / 50), 40 * math.sin(a / 50)) for a in range(76)]
    line = shapely.LineString(bend)
    lane = lanes_of(7.0, lanes=2)[0]
    strips = [
        strip_between(line, left_m=zone.left_m, right_m=zone.right_m) for zone in zones_of(lane)
    ]
    whole = strip_between(line, left_m=lane.left_m, right_m=lane.right_m)
    assert sum(strip.area for strip in strips) == pytest.approx(whole.area, rel=1e-6)
    # The line runs counter-clockwise, so its right is outside: the ring from 40 to 43.5 m, drawn by chords.
    assert whole.area == pytest.approx(1.5 / 2 * (43.5**2 - 40**2), rel=3e-3)


@given(
    width_m=st.floats(1.0, 100.0),
    lanes=st.none() | st.integers(1, 12),
    oneway=st.booleans(),
    drive_on_right=st.booleans(),
    wheel_path_m=st.floats(0.1, 2.5),
    wheel_spacing_m=st.floats(0.1, 2.5),
)
def test_lanes_are_the_road_and_zones_are_the_lane(
    width_m: float,
    lanes: int | None,
    oneway: bool,
    drive_on_right: bool,
    wheel_path_m: float,
    wheel_spacing_m: float,
) -> None:
    found = lanes_of(width_m, lanes=lanes, oneway=oneway, drive_on_right=drive_on_right)
    assert [lane.index for lane in found] == list(range(len(found)))
    across = sorted(found, key=lambda lane: -lane.left_m)
    assert across == (found[::-1] if drive_on_right else found)
    assert (across[0].left_m, across[-1].right_m) == (width_m / 2, -width_m / 2)
    for one, next_ in pairwise(across):
        assert one.right_m == next_.left_m
    for lane in found:
        zones = zones_of(lane, wheel_path_m=wheel_path_m, wheel_spacing_m=wheel_spacing_m)
        assert tuple(zone.name for zone in zones) == ZONES
        assert (zones[0].left_m, zones[-1].right_m) == (lane.left_m, lane.right_m)
        assert all(zone.left_m >= zone.right_m for zone in zones)
        for left, right in pairwise(zones):
            assert left.right_m == right.left_m


def test_what_is_no_road_is_refused() -> None:
    for width_m in (0.0, -3.0, math.nan, math.inf):
        with pytest.raises(BadInput, match="width in metres"):
            lanes_of(width_m, lanes=2)
    with pytest.raises(BadInput, match="1 to 20 lanes, not 0"):
        lanes_of(7.0, lanes=0)
    with pytest.raises(BadInput, match="a lane of 0 m"):
        lanes_of(7.0, lanes=None, lane_width_m=0.0)
    with pytest.raises(BadInput, match="above 0 m"):
        zones_of(Lane(0, 1.0, -1.0), wheel_path_m=0.0)
    with pytest.raises(BadInput, match="to the left of its right"):
        strip_between(shapely.LineString([(0, 0), (1, 0)]), left_m=0.0, right_m=1.0)
