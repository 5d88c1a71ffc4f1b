"""Change between two surveys: lines compared on drawn ground, differences worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from pavemap.geo.arrays import Geometries, object_array
from pavemap.geo.change import DetectorAccuracy, density_changes
from pavemap.geo.change_lines import compare_lines, default_tolerance_m
from pavemap.geo.errors import BadInput
from pavemap.geo.imagery.imaged import imaged_by_both

TOLERANCE_M = 0.1
GROUND = np.array([shapely.box(0.0, 0.0, 20.0, 10.0)], dtype=object)
STEP_M = TOLERANCE_M / 4
"""The end of a match is found to half a step, so a length to one."""


def lines(*drawn: list[tuple[float, float]], width_mm: float = 5.0) -> Geometries:
    return object_array(
        [shapely.LineString([(x, y, width_mm) for x, y in points]) for points in drawn]
    )


def sums(before: Geometries, after: Geometries, ground: Geometries = GROUND) -> pd.DataFrame:
    compared = compare_lines(before, after, ground=ground, tolerance_m=TOLERANCE_M)
    return compared.by_ground(len(ground))


def test_each_kind_of_change_has_its_length() -> None:
    """
    y = 8   before 1------------11        after 1------------------16    5 m grown
    y = 5   before 2------8                                              6 m gone
    y = 2                                 after 3----7                   4 m new
    """
    before = lines([(1, 8), (11, 8)], [(2, 5), (8, 5)])
    after = lines([(1, 8.05), (16, 8.05)], [(3, 2), (7, 2)])
    (found,) = sums(before, after).to_dict("records")
    assert found["grown_m"] == pytest.approx(5.0, abs=STEP_M)
    assert found["unchanged_m"] == pytest.approx(10.0, abs=STEP_M)
    assert found["grown_m"] + found["unchanged_m"] == pytest.approx(15.0)
    assert found["new_m"] == pytest.approx(4.0)
    assert found["gone_m"] == pytest.approx(6.0)


def test_a_crack_that_crosses_another_is_new_though_they_meet() -> None:
    before = lines([(1, 5), (19, 5)])
    after = lines([(1, 5), (19, 5)], [(10, 1), (10, 9)])
    (found,) = sums(before, after).to_dict("records")
    assert found["new_m"] == pytest.approx(8.0)
    assert found["unchanged_m"] == pytest.approx(18.0)
    assert found["gone_m"] == found["grown_m"] == 0.0


def test_a_gap_within_position_noise_is_none_and_a_longer_one_is_growth() -> None:
    after = lines([(1, 5), (19, 5)])
    for gap_m, grown_m in ((0.3, 0.0), (2.0, 2.0)):
        before = lines([(1, 5), (10, 5)], [(10 + gap_m, 5), (19, 5)])
        (found,) = sums(before, after).to_dict("records")
        assert found["grown_m"] == pytest.approx(grown_m, abs=2 * STEP_M)


def test_a_short_crack_that_grew_is_grown_not_new() -> None:
    """Twenty-five cracks of 0.2 m, half of four tolerances, grow to 1.2 m: 25 m, at one end or at both."""
    short = lines(*[[(4, y / 3 + 1), (4.2, y / 3 + 1)] for y in range(25)])
    for west in (4.0, 3.5):
        long = lines(*[[(west, y / 3 + 1), (west + 1.2, y / 3 + 1)] for y in range(25)])
        (forth,) = sums(short, long).to_dict("records")
        assert forth["grown_m"] == pytest.approx(25.0, abs=25 * STEP_M)
        assert forth["unchanged_m"] == pytest.approx(5.0, abs=25 * STEP_M)
        assert forth["new_m"] == forth["gone_m"] == 0.0
        (back,) = sums(long, short).to_dict("records")
        assert back["gone_m"] == pytest.approx(25.0, abs=25 * STEP_M)
        assert back["unchanged_m"] == pytest.approx(5.0)
        assert back["new_m"] == back["grown_m"] == 0.0


def test_a_short_crack_keeps_no_match_of_one_that_crosses_what_it_has_become() -> None:
    """
    after          |  4 m, new
    after    ------+-------------
    before      --- 0.25 m, part of the line along it
    """
    before = lines([(5.0, 5), (5.25, 5)])
    after = lines([(2, 5), (10, 5)], [(5.2, 3), (5.2, 7)])
    (found,) = sums(before, after).to_dict("records")
    assert found["new_m"] == pytest.approx(4.0)
    assert found["grown_m"] == pytest.approx(7.75, abs=STEP_M)
    assert found["gone_m"] == 0.0


def test_an_end_that_moved_by_less_than_the_tolerance_is_noise() -> None:
    (found,) = sums(lines([(2, 5), (6, 5)]), lines([(2.09, 5), (6.09, 5)])).to_dict("records")
    assert found["unchanged_m"] == pytest.approx(4.0)
    assert found["new_m"] == found["grown_m"] == found["gone_m"] == 0.0


growth = st.sampled_from([0.0, 0.0, 0.2, 0.5, 1.5])


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.floats(0.05, 2.0), growth, growth, st.booleans()), min_size=1, max_size=9
    )
)
def test_new_and_grown_less_gone_is_the_difference_of_lengths(
    rows: list[tuple[float, float, float, bool]],
) -> None:
    """Each crack grows, or heals, by more than the tolerance at either end, or not at all."""
    drawn: tuple[list[list[tuple[float, float]]], ...] = ([], [])
    for y, (length, west, east, heals) in enumerate(rows, start=1):
        short = [(5.0, float(y)), (5.0 + length, float(y))]
        long = [(5.0 - west, y + 0.03), (5.0 + length + east, y + 0.03)]
        drawn[heals].append(short)
        drawn[not heals].append(long)
    before, after = lines(*drawn[0]), lines(*drawn[1])
    difference = float(shapely.length(after).sum() - shapely.length(before).sum())
    for found, more in (
        (sums(before, after), difference),
        (sums(after, before), -difference),
    ):
        (one,) = found.to_dict("records")
        noise = 2 * STEP_M * len(rows)
        assert one["new_m"] + one["grown_m"] - one["gone_m"] == pytest.approx(more, abs=noise)
        assert one["new_m"] == 0.0


def test_how_lines_are_cut_into_features_does_not_matter() -> None:
    before = lines([(1, 5), (19, 6)])
    after = lines([(12, 5 + 11 / 18), (1, 5)], [(12, 5 + 11 / 18), (19, 6)])
    (found,) = sums(before, after).to_dict("records")
    assert found["unchanged_m"] == pytest.approx(math.hypot(18.0, 1.0))
    assert found["new_m"] == found["grown_m"] == found["gone_m"] == 0.0


def test_only_ground_that_both_saw_counts_but_neighbours_are_looked_at() -> None:
    """The crack runs along the border of the ground: before inside it, after just outside, and back."""
    ground = np.array([shapely.box(0, 0, 20, 5), shapely.box(0, 5.03, 20, 10)], dtype=object)
    before, after = lines([(1, 5.06), (19, 5.06)]), lines([(1, 4.99), (19, 4.99)])
    found = sums(before, after, ground)
    assert found["gone_m"].tolist() == [0.0, 0.0]
    assert found["new_m"].tolist() == [0.0, 0.0]
    assert found["unchanged_m"].tolist() == pytest.approx([18.0, 0.0])
    outside = lines([(1, 20), (19, 20)])
    assert sums(outside, lines(), ground).drop(columns="widened_mm").to_numpy().sum() == 0.0


def test_each_segment_is_told_alone_whatever_is_compared_beside_it() -> None:
    """Before 2------10, after 2------10------18: grown by 8 m on one segment, or new on the next one."""
    before, after = lines([(2, 5), (10, 5)]), lines([(2, 5), (18, 5)])
    west, east = shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)
    (whole,) = sums(before, after).to_dict("records")
    assert whole["grown_m"] == pytest.approx(8.0, abs=STEP_M)
    together = sums(before, after, np.array([west, east], dtype=object))
    assert together["grown_m"].tolist() == [0.0, 0.0]
    assert together["new_m"].tolist() == pytest.approx([0.0, 8.0])
    alone = sums(before, after, np.array([east], dtype=object))
    pd.testing.assert_frame_equal(alone, together[1:].reset_index(drop=True))


def test_ground_where_imagery_merely_touches_still_cuts_lines() -> None:
    """
    The road is 100 x 7 m. Before, its middle was seen north of y = 3.5 only; after, south of it
    only, and nothing of x = 30 to 40 and beyond 60: what both saw is x = 0 to 30 and a bare line.
    """
    road = shapely.box(0, 0, 100, 7)
    one = np.array([shapely.difference(road, shapely.box(40, 0, 60, 3.5))], dtype=object)
    other = np.array(
        [shapely.union(shapely.box(0, 0, 30, 7), shapely.box(40, 0, 60, 3.5))], dtype=object
    )
    both = imaged_by_both(one, other)
    assert both[0].equals(shapely.box(0, 0, 30, 7))
    crack = lines([(5, 2), (50, 2)])
    assert sums(crack, crack, both)["unchanged_m"].tolist() == pytest.approx([25.0])


def test_a_crack_that_widened_says_by_how_much() -> None:
    before = lines([(1, 5), (11, 5)], width_mm=4.0)
    after = lines([(1, 5.02), (11, 5.02)], [(1, 1), (3, 1)], width_mm=7.0)
    (found,) = sums(before, after).to_dict("records")
    assert found["widened_mm"] == pytest.approx(3.0)
    (nothing,) = sums(lines(), after).to_dict("records")
    assert math.isnan(nothing["widened_mm"])


def test_a_crack_cut_by_a_border_has_widened_on_neither_side_when_nothing_changed() -> None:
    wedge = object_array([shapely.LineString([(2.0, 5.0, 2.0), (18.0, 5.0, 20.0)])])
    halves = np.array([shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)], object)
    compared = compare_lines(wedge, wedge, ground=halves, tolerance_m=TOLERANCE_M)
    assert compared.before_width_mm == pytest.approx([6.5, 15.5])
    assert compared.by_ground(2)["widened_mm"].to_numpy() == pytest.approx([0.0, 0.0], abs=1e-9)


def test_where_the_width_before_is_unknown_a_crack_is_unchanged_and_nothing_is_said_of_its_width() -> (
    None
):
    """Unknown from 10 m on: between there and a known end no width is made up."""
    before = object_array([shapely.LineString([(2, 5, 4), (10, 5, 4), (10.05, 5, 0), (18, 5, 0)])])
    after = lines([(2, 5), (18, 5)], width_mm=5.0)
    halves = np.array([shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)], object)
    found = sums(before, after, halves)
    assert found["unchanged_m"].to_numpy() == pytest.approx([8.0, 8.0])
    assert found["widened_mm"][0] == pytest.approx(1.0)
    assert math.isnan(found["widened_mm"][1])


def test_the_stretches_are_lines_of_one_kind_with_their_widths() -> None:
    compared = compare_lines(
        lines([(1, 5), (5, 5)]),
        lines([(1, 5), (9, 5)], width_mm=6.0),
        ground=GROUND,
        tolerance_m=TOLERANCE_M,
        scale=2.0,
    )
    assert compared.kind.tolist() == ["unchanged", "grown"]
    assert compared.length_m.sum() == pytest.approx(4.0)  # 8 in the plane, two to a metre
    assert compared.width_mm == pytest.approx([6.0, 6.0])
    assert shapely.get_coordinates(compared.lines[1])[-1].tolist() == [9.0, 5.0]
    assert compared.lines[0].has_z


coordinate = st.tuples(
    st.integers(-40, 440).map(lambda at: at / 20), st.integers(-40, 240).map(lambda at: at / 20)
)
drawn = st.lists(st.lists(coordinate, min_size=2, max_size=4), max_size=4)


def made(points: list[list[tuple[float, float]]]) -> Geometries:
    found = lines(*points)
    return found[(shapely.length(found) > 1e-3) & shapely.is_simple(found)]


@settings(max_examples=25, deadline=None)
@given(one=drawn, other=drawn)
def test_backwards_what_is_new_or_grown_is_gone_and_every_metre_has_one_kind(
    one: list[list[tuple[float, float]]], other: list[list[tuple[float, float]]]
) -> None:
    before, after = made(one), made(other)
    (forth,) = sums(before, after).to_dict("records")
    (back,) = sums(after, before).to_dict("records")
    assert forth["new_m"] + forth["grown_m"] == pytest.approx(back["gone_m"], abs=1e-9)
    assert back["new_m"] + back["grown_m"] == pytest.approx(forth["gone_m"], abs=1e-9)
    seen = [
        float(shapely.length(shapely.intersection(each, GROUND[0])).sum())
        for each in (before, after)
    ]
    assert forth["gone_m"] + back["unchanged_m"] == pytest.approx(seen[0], abs=1e-6)
    assert sum(forth[f"{kind}_m"] for kind in ("new", "grown", "unchanged")) == pytest.approx(
        seen[1], abs=1e-6
    )
    (same,) = sums(before, before).to_dict("records")
    assert same["unchanged_m"] == pytest.approx(seen[0], abs=1e-6)


def test_the_tolerance_is_that_of_both_orthophotos() -> None:
    """0.05 m each: 1.7308 x 0.0707 = 0.1224; and a pixel of each."""
    assert default_tolerance_m((0.002, 0.004)) == pytest.approx(0.1224 + 0.006, abs=1e-4)
    assert default_tolerance_m((0.002, 0.002), (0.03, 0.04)) == pytest.approx(0.08654 + 0.004)
    with pytest.raises(BadInput, match="tolerance"):
        compare_lines(lines(), lines(), ground=GROUND, tolerance_m=0.0)


def figures(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["crack_length_m", "imaged_m2", "coverage"])


PERFECT = DetectorAccuracy(1.0, 1.0)
GOOD = DetectorAccuracy(0.9, 0.9)


def test_the_uncertainty_is_that_of_the_formula() -> None:
    """24 m, then 99 m on 500 m2, all seen; P = R = 0.9, so 1 - P R = 0.19.

    var = (24 + 1) 0.19 / 250000 + (99 + 1) 0.19 / 250000 = 9.5e-5; 1.96 sqrt = 0.0191
    """
    (found,) = density_changes(
        figures((24.0, 500.0, 1.0)), figures((99.0, 500.0, 1.0)), accuracy=(GOOD, GOOD)
    ).to_dict("records")
    assert found["density_change_m_per_m2"] == pytest.approx(0.150)
    assert found["uncertainty_m_per_m2"] == pytest.approx(0.0191, abs=1e-4)
    assert found["significant"] is True


def test_half_the_coverage_makes_it_wider_and_a_biased_detector_too() -> None:
    whole, half = figures((50.0, 400.0, 1.0)), figures((50.0, 400.0, 0.5))
    later = figures((60.0, 400.0, 1.0))
    by = [
        density_changes(before, later, accuracy=(known, known))["uncertainty_m_per_m2"][0]
        for before, known in (
            (whole, PERFECT),
            (half, PERFECT),
            (whole, DetectorAccuracy(1.0, 0.5)),
        )
    ]
    assert by[0] == 0.0  # all seen, nothing missed, nothing false
    # by stretches, and half of the ground may have another rate, by the greater density of 0.15
    assert by[1] == pytest.approx(1.96 * math.sqrt(51 * 0.5 / 160_000 + 0.075**2), rel=1e-3)
    assert by[2] > 1.96 * 0.025  # it sees twice too little: the change may be twice as large


def test_the_part_that_is_surveyed_again_may_be_the_one_with_all_the_cracks() -> None:
    """200 m on 1,000 m2, all of it in the part that the other survey saw, or in that it didn't see."""

    def significant(before: pd.DataFrame, after: pd.DataFrame) -> bool:
        return bool(density_changes(before, after, accuracy=(GOOD, GOOD))["significant"].all())

    whole, grown = figures((200.0, 1000.0, 1.0)), figures((600.0, 1000.0, 1.0))
    for seen in (0.5, 0.8, 0.95):
        part = figures((200.0, 1000.0 * seen, seen))
        assert not significant(whole, part)
        assert not significant(part, whole)
        assert significant(part, grown) is (seen > 0.5)
    for seen, known in ((0.45, False), (0.8, True)):
        sound = figures((0.0, 1000.0 * seen, seen))
        assert significant(whole, sound) is significant(sound, whole) is known


def test_where_either_saw_nothing_there_is_no_change_to_speak_of() -> None:
    found = density_changes(
        figures((0.0, 0.0, 0.0), (9.0, 10.0, 1.0)),
        figures((9.0, 10.0, 1.0), (0.0, 0.0, 0.0)),
        accuracy=(GOOD, GOOD),
    )
    assert found["density_change_m_per_m2"].isna().all()
    assert found["uncertainty_m_per_m2"].isna().all()
    assert not found["significant"].any()


def test_the_card_says_how_good_the_detector_is() -> None:
    card = {
        "metrics": {
            "validation": [
                {"pooled": {"precision": 0.9, "recall": 0.8}},
                {"pooled": {"precision": 0.7, "recall": 0.6}},
                {"mean": {"precision": 0.1}},
            ]
        }
    }
    known = DetectorAccuracy.from_card(card)
    assert (known.precision, known.recall) == pytest.approx((0.8, 0.7))
    assert known.stated
    silences: list[dict[str, Any]] = [{}, {"metrics": {}}, {"metrics": {"validation": []}}]
    for silent in silences:
        assert DetectorAccuracy.from_card(silent) == DetectorAccuracy(0.8, 0.8, stated=False)
    with pytest.raises(BadInput, match="precision"):
        DetectorAccuracy(0.0, 0.5)
