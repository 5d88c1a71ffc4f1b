"""Directions against bent roads, and patterns drawn by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from measured_road import crack, figures, grid, pieces, road
from pavemap.geo.errors import BadInput
from pavemap.geo.measures import MeasureParams, SegmentGeometry, classify_cracks, segment_measures

Point = tuple[float, float]


def types(lines: list[shapely.LineString], segment: pd.DataFrame | None = None) -> list[str]:
    found = classify_cracks(pieces(lines), road() if segment is None else segment)["type"].tolist()
    return [str(name) for name in found]


def at(degrees: float, *, length: float = 2.0) -> shapely.LineString:
    half = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))]) * length / 2
    return crack([(15 - half[0], 1 - half[1]), (15 + half[0], 1 + half[1])], 5.0)


@pytest.mark.parametrize(
    ("degrees", "name"),
    [
        (0, "longitudinal"),
        (20, "longitudinal"),
        (-20, "longitudinal"),
        (21, "diagonal"),
        (69, "diagonal"),
        (70, "transverse"),
        (110, "transverse"),
        (-70, "transverse"),
        (111, "diagonal"),
        (-45, "diagonal"),
        (160, "longitudinal"),
    ],
)
def test_directions_of_r85(degrees: float, name: str) -> None:
    assert types([at(degrees)]) == [name]


def test_a_ring_has_no_direction_wherever_it_lies() -> None:
    turn = np.radians(np.arange(0.0, 361.0, 10.0))
    rings = [
        crack(list(zip(x + 0.35 * np.cos(turn), 1 + 0.35 * np.sin(turn), strict=True)), 5.0)
        for x in 5.0 + 0.137 * np.arange(40)
    ]
    assert {name for ring in rings for name in types([ring])} == {"diagonal"}


def test_a_crack_that_meanders_along_the_road_is_longitudinal() -> None:
    steps = [(5 + 0.2 * k, 1 + 0.1 * (k % 2)) for k in range(30)]
    assert types([crack(steps, 3.0)]) == ["longitudinal"]


def test_direction_is_told_by_the_road_beside_the_crack() -> None:
    turns = np.radians(np.arange(0.0, 91.0, 5.0))
    bend = road(list(zip(40 * np.sin(turns), 40 * (1 - np.cos(turns)), strict=True)))
    along, across = [], []
    for start in np.radians([10.0, 40.0, 70.0]):
        angles = start + np.linspace(0, 0.1, 9)
        along.append(crack([(38 * np.sin(a), 40 - 38 * np.cos(a)) for a in angles], 5.0))
        across.append(crack([(r * np.sin(start), 40 - r * np.cos(start)) for r in (38, 42)], 5.0))
    assert types(along + across, bend) == ["longitudinal"] * 3 + ["transverse"] * 3
    table = figures(segment_measures(pieces(along), bend))
    # 2 m left of the middle is in the between-paths zone of the left lane.
    assert table["r85"]["longitudinal"]["between"]["length_m"] == pytest.approx(
        table["crack_length_m"], abs=1e-3
    )


def ramp(degrees: float, *, radius: float = 40.0, start: float = 0.0) -> list[Point]:
    turns = np.radians(np.linspace(start, degrees, int(degrees - start) // 2 + 1))
    return list(zip(radius * np.cos(turns), radius * np.sin(turns), strict=True))


@pytest.mark.parametrize("degrees", [90, 200, 270, 330])
def test_a_crack_along_a_ramp_is_longitudinal_however_far_it_turns(degrees: float) -> None:
    found = classify_cracks(
        pieces([crack(ramp(degrees, radius=41), 5.0)]), road(ramp(degrees))
    ).iloc[0]
    assert (found["type"], found["angle_deg"]) == ("longitudinal", pytest.approx(0.0, abs=0.1))


@pytest.mark.parametrize("degrees", [60, 90, 120, 180])
def test_a_crack_along_straights_and_their_bend_is_longitudinal(degrees: float) -> None:
    turns = np.radians(np.arange(0.0, degrees + 1.0, 3.0))
    end = np.array([12 * np.sin(turns[-1]), 12 - 12 * np.cos(turns[-1])])
    last = end + 40 * np.array([np.cos(turns[-1]), np.sin(turns[-1])])
    bend = list(zip(12 * np.sin(turns), 12 - 12 * np.cos(turns), strict=True))
    segment = road([(-60, 0), *bend, (last[0], last[1])])
    beside = shapely.get_coordinates(shapely.offset_curve(segment["line"][0], 1.0))
    found = classify_cracks(pieces([crack(beside.tolist(), 5.0)]), segment)
    assert found["angle_deg"].abs().max() < 1.0


@pytest.mark.parametrize("turned", [False, True])
def test_a_crack_along_a_ramp_of_several_segments_is_one_longitudinal_crack(turned: bool) -> None:
    middle = ramp(200, start=100)
    roads = [
        road(ramp(100)),
        road(middle[::-1] if turned else middle, key="b"),
        road(ramp(270, start=200), key="c"),
    ]
    parts = [
        crack(ramp(100, radius=41), 5.0),
        crack(ramp(200, radius=41, start=100), 5.0),
        crack(ramp(270, radius=41, start=200)[::-1], 5.0),
    ]
    table = pd.DataFrame({"segment_id": list("abc"), "crack_id": 1, "geometry": parts})
    for order in ([0, 1, 2], [1, 0, 2], [2, 0, 1]):
        found = classify_cracks(table.iloc[order], pd.concat(roads, ignore_index=True))
        assert found["type"].tolist() == ["longitudinal"] * 3
        assert found["angle_deg"].abs().max() < 0.5


@pytest.mark.parametrize("seed", range(8))
def test_beside_a_straight_road_the_axis_is_that_of_the_crack_itself(seed: int) -> None:
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.normal(0, 1.0, (12, 2)) + rng.normal(0, 0.8, 2), axis=0)
    path += (15, 0) - path.mean(axis=0)
    cuts = [0, 3, 4, 9, 11]
    parts = [crack(path[a : b + 1], 5.0) for a, b in pairwise(cuts)]
    parts = [part if rng.random() < 0.5 else part.reverse() for part in parts]
    whole = classify_cracks(pieces([crack(path, 5.0)]), road()).iloc[0]
    roads = pd.concat([road(), road([(60, 0), (-30, 0)], key="b")], ignore_index=True)
    table = pd.DataFrame({"segment_id": list("abab"), "crack_id": 1, "geometry": parts})
    found = classify_cracks(table.iloc[rng.permutation(4)], roads)
    dense = shapely.get_coordinates(shapely.segmentize(shapely.LineString(path), 0.01))
    centred = (dense[1:] + dense[:-1]) / 2
    weight = np.hypot(*np.diff(dense, axis=0).T)
    x, y = (centred - np.average(centred, axis=0, weights=weight)).T
    axis = np.degrees(np.arctan2(2 * (weight * x * y).sum(), (weight * (x * x - y * y)).sum()) / 2)
    assert whole["angle_deg"] == pytest.approx(axis, abs=0.01)
    assert found["angle_deg"].tolist() == pytest.approx([whole["angle_deg"]] * 4, abs=1e-6)


def test_a_short_longitudinal_crack_is_pattern_to_r85() -> None:
    table = figures(segment_measures(pieces([crack([(5, 1.75), (5.29, 1.75)], 4.0)]), road()))
    assert table["length_longitudinal_m"] == pytest.approx(0.29)
    assert table["r85"]["longitudinal"]["between"]["length_m"] == 0.0
    assert table["r85"]["pattern"]["between"]["length_m"] == pytest.approx(0.29)


def test_small_cells_are_alligator_and_large_ones_block() -> None:
    assert set(types(grid((5, 1), columns=3, rows=1, size=0.3))) == {"alligator"}
    assert set(types(grid((5, -2), columns=3, rows=2, size=1.0))) == {"block"}
    table = figures(segment_measures(pieces(grid((5, -2), columns=3, rows=2, size=1.0)), road()))
    assert (table["block_m2"], table["alligator_m2"]) == (pytest.approx(6), 0)


def test_one_or_two_cells_are_no_pattern() -> None:
    assert "alligator" not in types(grid((5, 1), columns=2, rows=1, size=0.2))
    assert "alligator" in types(grid((5, 1), columns=3, rows=1, size=0.2))


def test_cells_that_are_not_rectangular_or_too_large_are_no_blocks() -> None:
    assert set(types(grid((5, -3), columns=4, rows=1, size=3.3))) == {"longitudinal", "transverse"}
    star = [
        crack([(x, 1), (x + 1, 1), (x, 2.0)], 4.0) for x in (5, 6, 7)
    ]  # triangles fill half of a rectangle
    side = [crack([(x, 1), (x, 2.0)], 4.0) for x in (5, 6, 7)]
    assert "block" not in types(star + side)


def test_lines_that_cross_or_end_on_each_other_make_cells_too() -> None:
    rows = [crack([(5, 1 + 0.25 * k), (6, 1 + 0.25 * k)], 4.0) for k in range(3)]
    crossing = [crack([(5.1 + 0.25 * k, 0.95), (5.1 + 0.25 * k, 1.55)], 4.0) for k in range(4)]
    ending = [crack([(5.1 + 0.25 * k, 1.0), (5.1 + 0.25 * k, 1.49)], 4.0) for k in range(4)]
    for columns in (crossing, ending):
        table = figures(segment_measures(pieces(rows + columns), road()))
        assert table["alligator_m2"] == pytest.approx(6 * 0.25**2, rel=0.03)


def test_ends_that_miss_by_a_hair_meet() -> None:
    lines = grid((5, 1), columns=3, rows=2, size=0.25)
    rng = np.random.default_rng(2)
    apart = [
        shapely.transform(
            one, lambda xyz: xyz + rng.uniform(-0.004, 0.004, xyz.shape), include_z=True
        )
        for one in lines
    ]
    table = figures(segment_measures(pieces(apart), road()))
    assert table["alligator_m2"] == pytest.approx(6 * 0.25**2, rel=0.05)
    assert set(types(apart)) == {"alligator"}


def straight(start: Point, stop: Point, *, vertices: int = 6) -> shapely.LineString:
    return crack(np.linspace(start, stop, vertices).tolist(), 4.0)


def test_a_fleck_shorter_than_the_tolerance_is_no_loop() -> None:
    lines = [
        straight((-0.201, -0.100), (0.059, 0.020)),
        straight((-0.201, -0.100), (-0.223, -0.042)),
        straight((-0.223, -0.042), (0.059, 0.026)),
        straight((0.059, 0.020), (0.059, 0.026)),
        straight((0.060, 0.037), (0.059, 0.026)),
        straight((0.066, 0.049), (0.429, 0.082)),
    ]
    lines = [shapely.transform(one, lambda xyz: xyz + (5, 1, 0), include_z=True) for one in lines]
    table = figures(segment_measures(pieces(lines), road()))
    assert table["alligator_m2"] == 0.0
    assert table["crack_length_m"] == pytest.approx(shapely.length(lines).sum())


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_tangle_of_lines_can_be_measured(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 0.3, (rng.integers(3, 12), 2)) + (5, 1)
    lines = []
    for _ in range(rng.integers(2, 40)):
        ends = places[rng.integers(len(places), size=2)] + rng.normal(0, 0.004, (2, 2))
        path = np.linspace(ends[0], ends[1], int(rng.integers(2, 8)))
        path[1:-1] += rng.normal(0, rng.choice([0.0, 0.02]), path[1:-1].shape)
        lines.append(crack(path, 4.0))
    table = figures(segment_measures(pieces(lines), road()))
    assert 0.0 <= table["alligator_m2"] < 1.0


def test_a_step_back_by_rounding_leaves_a_cell_whole() -> None:
    lines = grid((5, 1), columns=3, rows=1, size=0.25)
    lines[0] = crack([(5, 1), (5.1 + 4e-15, 1), (5.1, 1), (5.25, 1)], 4.0)
    table = figures(segment_measures(pieces(lines), road()))
    assert table["alligator_m2"] == pytest.approx(3 * 0.25**2)


def test_branching_without_closed_cells_is_alligator() -> None:
    # A spine of five joints 0.2 m apart, of which three branch, then all; no branch closes a cell.
    spine = [
        crack([(5 + 0.2 * k, 1), (5.2 + 0.2 * k, 1.05 * (k % 2) + 1.0 * (1 - k % 2))], 4.0)
        for k in range(0)
    ]
    joints = [(5 + 0.2 * k, 1 + 0.05 * (k % 2)) for k in range(5)]
    spine = [crack([a, b], 4.0) for a, b in pairwise(joints)]
    branches = [crack([joint, (joint[0] + 0.05, joint[1] + 0.15)], 4.0) for joint in joints[1:-1]]
    few = types(spine + branches)
    more = [crack([joint, (joint[0], joint[1] - 0.15)], 4.0) for joint in (joints[0], joints[-1])]
    both = [
        crack([joint, (joint[0] - 0.1, joint[1] + 0.1)], 4.0) for joint in (joints[0], joints[-1])
    ]
    assert "alligator" not in few
    enough = types(spine + branches + more + both)
    assert enough[:4] == ["alligator"] * 4
    table = figures(segment_measures(pieces(spine + branches + more + both), road()))
    # The hull of five points that zigzag by 0.05 m over 0.8 m: (0.8 + 0.4) / 2 x 0.05.
    assert table["alligator_m2"] == pytest.approx(0.03)


def test_a_crack_over_two_segments_is_one_kind() -> None:
    both = pd.concat([road([(0, 0), (10, 0)]), road([(10, 0), (20, 0)], key="b")])
    parts = [crack([(6, 1), (10, 1)], 4.0), crack([(10, 1), (10.2, 1.2)], 4.0)]
    table = pd.DataFrame({"segment_id": ["a", "b"], "crack_id": [7, 7], "geometry": parts})
    assert classify_cracks(table, both)["type"].tolist() == ["longitudinal"] * 2
    extents = figures(segment_measures(table, both), "b")["r85"]["longitudinal"]
    assert sum(zone["length_m"] for zone in extents.values()) == pytest.approx(0.283)


def test_severity_limits_can_be_set() -> None:
    params = MeasureParams(severity_mm=(3.0, 6.0))
    named = classify_cracks(
        pieces([crack([(1, k), (4, k)], 2.0 + 2 * k) for k in range(3)]), road(), params=params
    )
    assert named["severity"].tolist() == ["low", "medium", "medium"]
    assert MeasureParams.from_dict(params.to_dict()) == params
    assert MeasureParams.from_dict({}) == MeasureParams()


@pytest.mark.parametrize(
    "wrong",
    [
        {"severity_mm": (10.0, 5.0)},
        {"wheel_path_m": 0.0},
        {"transverse_deg": (10.0, 110.0)},
        {"alligator_cell_m2": 20.0},
        {"colour": "red"},
        {"min_coverage": "0.9"},
        {"min_coverage": 90},
        {"zeb_strips": 2.5},
        {"zeb_strips": True},
        {"zeb_min_imaged": "half"},
        {"node_tolerance_m": "x"},
        {"node_tolerance_m": -1},
        {"r85_min_length_m": None},
        {"severity_mm": 5},
        {"severity_mm": [5.0, 10.0, 20.0]},
        {"wheel_path_m": float("nan")},
        {"drive_on_right": "false"},
        {"pattern_min_cells": 0},
        {"pattern_min_cells": 10**30},
        {"pattern_min_cells": 10**5000},
        {"sample_unit_m2": 10**400},
        {"severity_mm": [10**5000, 1]},
        {"wheel_path_m": [10**5000]},
        {"sample_unit_m2": 1e-300},
        {"node_tolerance_m": 1e9},
        {"lane_width_m": 1e-9},
    ],
)
def test_parameters_that_contradict_themselves_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        MeasureParams.from_dict(wrong)


@pytest.mark.parametrize("fine", [{"zeb_cell_m": 0.049}, {"zeb_cell_m": 1e-9}, {"zeb_strips": 21}])
def test_a_grid_without_end_is_refused(fine: dict[str, object]) -> None:
    with pytest.raises(
        BadInput, match=r"zeb_cell_m must be from 0\.05|zeb_strips must be from 1 to 20"
    ):
        MeasureParams.from_dict(fine)
    assert MeasureParams.from_dict({"zeb_cell_m": 0.05, "zeb_strips": 20}).zeb_strips == 20


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(BadInput, match="not among the segments"):
        segment_measures(pieces([at(0)], key="elsewhere"), road())
    with pytest.raises(BadInput, match="twice"):
        segment_measures(pieces([]), pd.concat([road(), road()]))
    with pytest.raises(BadInput, match="crack_id"):
        segment_measures(pieces([at(0)]).drop(columns="crack_id"), road())
    with pytest.raises(BadInput, match="lack"):
        SegmentGeometry.from_frame(road().drop(columns="width_m"))
    with pytest.raises(BadInput, match="without length"):
        segment_measures(pieces([]), road([(1, 1), (1, 1)]))
    with pytest.raises(BadInput, match="one polygon for each"):
        segment_measures(pieces([]), road(), [])


def test_no_segments_have_no_figures() -> None:
    assert len(segment_measures(pieces([]), road().iloc[:0])) == 0
