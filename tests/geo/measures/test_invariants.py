"""What must hold of every measure for any road and any cracks on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import translate

from measured_road import crack, cut, figures, grid, pieces, road
from pavemap.geo.arrays import Floats
from pavemap.geo.measures import SEVERITIES, TYPES, MeasureParams, segment_measures
from pavemap.geo.measures.classified_cracks import ClassifiedCracks
from pavemap.geo.measures.crack_types import ALLIGATOR, BLOCK
from pavemap.geo.measures.sample_units import unit_distresses
from pavemap.geo.measures.segment_measures import Measured

SUMS = (
    "crack_length_m",
    "cracked_area_m2",
    "imaged_m2",
    "pavement_m2",
    "alligator_m2",
    "block_m2",
    "zeb_evaluated",
    *(f"length_{name}_m" for name in (*TYPES, *SEVERITIES, "unknown")),
)
PER_AREA = ("density_m_per_m2", "cracked_area_share", "cracking_percent", "pci_cracking")
Scene = tuple[list[Any], pd.DataFrame, dict[str, shapely.Geometry]]

EXACT = MeasureParams(node_tolerance_m=1e-6)
"""What nearly meets is joined within a tolerance, which a cut nearby can tip; here ends meet truly."""

seeds = st.integers(0, 2**32 - 1)


def scene(seed: int, *, bent: bool = True) -> Scene:
    """Draw two segments of a road, cracks across and beside them, and what was imaged of it."""
    rng = np.random.default_rng(seed)
    x = np.arange(0.0, 61.0, 10.0)
    y = np.cumsum(rng.uniform(-1.5, 1.5, len(x))) if bent else np.zeros(len(x))
    whole = list(zip(x, y, strict=True))
    segments = pd.concat([road(whole[:4]), road(whole[3:], key="b")], ignore_index=True)
    overlap = segments["pavement"][1].difference(segments["pavement"][0])
    segments["pavement"] = [segments["pavement"][0], overlap]
    lines = []
    for _ in range(12):
        start = np.array([rng.uniform(-2, 62), rng.uniform(-5, 5)])
        steps = rng.normal(0, 0.4, (rng.integers(2, 9), 2)) + rng.normal(0, 0.6, 2)
        path = start + np.cumsum(steps, axis=0)
        width = rng.uniform(2, 30, len(path))
        lines.append(shapely.LineString(np.column_stack([path, width])))
    corner = (rng.uniform(10, 45), rng.uniform(-2, 1))
    lines += grid(corner, columns=4, rows=3, size=rng.uniform(0.1, 0.25))
    lines += grid((28.7, -2.9 + y[3]), columns=3, rows=1, size=1.03)
    left = shapely.box(-20, -40, rng.uniform(20, 70), 40)
    imaged = {
        key: shapely.intersection(ground, left)
        for key, ground in zip(segments["segment_id"], segments["pavement"], strict=True)
    }
    return lines, segments, imaged


def measured(scene: Scene) -> pd.DataFrame:
    lines, segments, imaged = scene
    return segment_measures(cut(lines, segments), segments, imaged, params=EXACT)


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    return table.select_dtypes("number").sort_index()


def moved(scene: Scene, move: Callable[[Floats], Floats]) -> Scene:
    def one(shape: Any) -> Any:
        def each(points: Floats) -> Floats:
            return np.column_stack([move(points[:, :2]), points[:, 2:]])

        return shapely.transform(shape, each, include_z=shape.has_z)

    lines, segments, imaged = scene
    ground = segments.assign(
        line=[one(line) for line in segments["line"]],
        pavement=[one(ground) for ground in segments["pavement"]],
    )
    return [one(line) for line in lines], ground, {key: one(shape) for key, shape in imaged.items()}


@settings(max_examples=12, deadline=None)
@given(seeds, st.floats(-180, 180), st.tuples(st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)))
def test_figures_don_t_change_when_the_scene_is_turned_and_shifted(
    seed: int, degrees: float, shift: tuple[float, float]
) -> None:
    here = scene(seed)
    turn = np.radians(degrees)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    there = moved(here, lambda points: points @ matrix + shift)
    pd.testing.assert_frame_equal(
        numbers(measured(here)), numbers(measured(there)), rtol=1e-4, atol=1e-5
    )


@settings(max_examples=8, deadline=None)
@given(seeds)
def test_figures_don_t_depend_on_the_order_of_features(seed: int) -> None:
    lines, segments, imaged = scene(seed)
    rng = np.random.default_rng(seed)
    cracks = cut(lines, segments)
    mixed = cracks.iloc[rng.permutation(len(cracks))]
    pd.testing.assert_frame_equal(
        numbers(segment_measures(cracks, segments, imaged)),
        numbers(segment_measures(mixed, segments.iloc[::-1], imaged)),
        rtol=1e-9,
        atol=1e-9,
    )


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_a_road_split_in_two_has_the_same_figures(seed: int) -> None:
    lines, _, _ = scene(seed, bent=False)
    whole = road([(0, 0), (60, 0)], key="whole")
    halves = pd.concat(
        [road([(0, 0), (30, 0)]), road([(30, 0), (60, 0)], key="b")], ignore_index=True
    )
    one = figures(segment_measures(cut(lines, whole), whole, params=EXACT), "whole")
    two = segment_measures(cut(lines, halves), halves, params=EXACT)
    for name in SUMS:
        assert two[name].sum() == pytest.approx(one[name], abs=1e-6), name
    for name in PER_AREA:
        weighted = (two[name] * two["imaged_m2"]).sum() / two["imaged_m2"].sum()
        assert weighted == pytest.approx(one[name], abs=1e-6), name
    touched = (two["zeb_share"] * two["zeb_evaluated"]).sum()
    assert touched == pytest.approx(one["zeb_share"] * one["zeb_evaluated"])
    for kind, zones in one["r85"].items():
        for zone, whole_zone in zones.items():
            parts = [r85[kind].get(zone, {"length_m": 0.0})["length_m"] for r85 in two["r85"]]
            assert sum(parts) == pytest.approx(whole_zone["length_m"], abs=0.002)


@settings(max_examples=12, deadline=None)
@given(seeds)
def test_pieces_and_classes_add_up_to_the_cracks_on_pavement(seed: int) -> None:
    lines, segments, _ = scene(seed)
    table = segment_measures(cut(lines, segments), segments)
    pavement = shapely.union_all(segments["pavement"].to_numpy(object), grid_size=1e-9)
    on_pavement = shapely.length(shapely.intersection(np.array(lines, object), pavement)).sum()
    total = table["crack_length_m"].sum()
    assert total == pytest.approx(on_pavement, rel=1e-6)
    assert table[[f"length_{name}_m" for name in TYPES]].sum().sum() == pytest.approx(total)
    by_width = [f"length_{name}_m" for name in (*SEVERITIES, "unknown")]
    assert table[by_width].sum().sum() == pytest.approx(total)
    zones = [
        zone["length_m"]
        for r85 in table["r85"]
        for kind in r85.values()
        for zone in kind.values()
        if zone["length_m"] is not None
    ]
    assert sum(zones) == pytest.approx(total, abs=0.03)  # each rounded to a millimetre


@settings(max_examples=20, deadline=None)
@given(seeds, st.floats(-9.0, 9.0), st.floats(0.5, 6.0))
def test_sample_units_have_all_that_their_segment_has(
    seed: int, aside: float, width: float
) -> None:
    """On the road and on a strip beside it, which is seen all along."""
    lines, segments, imaged = scene(seed)
    beside = [
        shapely.buffer(translate(line, yoff=aside), width / 2.0, cap_style="flat")
        for line in segments["line"]
    ]
    halves = (shapely.box(-5, -40, 30, 40), shapely.box(30, -40, 65, 40))
    segments["pavement"], seen = (
        [
            shapely.intersection(shapely.union(ground, strip), half)
            for ground, strip, half in zip(grounds, beside, halves, strict=True)
        ]
        for grounds in (segments["pavement"], imaged.values())
    )
    params = MeasureParams(sample_unit_m2=40.0)
    cracks = ClassifiedCracks.of(cut(lines, segments), segments, params=params)
    found = Measured.of(cracks, dict(zip(imaged, seen, strict=True)))
    units, bits, parts = found.units, found.bits, found.parts
    amount = unit_distresses(units, bits, types=cracks.types, parts=parts, params=params)
    single = ~np.isin(cracks.types.code[bits.piece], (ALLIGATOR, BLOCK))
    length = np.bincount(bits.segment[single], bits.length_m[single], minlength=2)
    had = np.column_stack([parts.area_of(0, 2), parts.area_of(1, 2), length])
    rated = (amount.sum(axis=2) * (units.area_m2[:, None] > 0.0)).cumsum(axis=0)
    rated = np.diff(rated[units.first[1:] - 1], axis=0, prepend=0.0)
    assert rated == pytest.approx(had, abs=1e-9)
    area = np.bincount(units.segment, units.area_m2, minlength=2)
    assert area == pytest.approx(found.imaged_m2)


@settings(max_examples=8, deadline=None)
@given(seeds)
def test_more_cracks_never_make_a_road_better(seed: int) -> None:
    lines, segments, imaged = scene(seed)
    few = segment_measures(cut(lines[:6], segments), segments, imaged)
    many = segment_measures(cut(lines[:12], segments), segments, imaged)
    for name in ("crack_length_m", "zeb_share", "cracking_percent"):
        assert (many[name].dropna() >= few[name].dropna() - 1e-9).all()
    assert (many["pci_cracking"].dropna() <= few["pci_cracking"].dropna() + 2.0).all()


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_shares_stay_within_their_limits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mesh = [crack([(0, y), (30, y)], 5.0) for y in np.arange(-3.45, 3.5, rng.uniform(0.4, 0.9))]
    table = figures(segment_measures(cut(mesh, road()), road()))
    assert 0.0 <= table["zeb_share"] <= 100.0
    assert 0.0 <= table["cracking_percent"] <= 100.0 * 4.0 / 7.0 + 1e-6
    assert 0.0 <= table["pci_cracking"] <= 100.0


def closed_road(*, start: int = 0, radius: float = 15.0) -> pd.DataFrame:
    """Lay a roundabout of 72 edges as one segment that begins and ends at one of its vertices."""
    turns = np.radians(5.0 * (start + np.arange(73) % 72))
    return road(zip(radius * np.cos(turns), radius * np.sin(turns), strict=True))


def round_the_middle(
    radius: float | Floats, degrees: float | Floats, *, count: int = 21
) -> shapely.LineString:
    turns = np.radians(np.broadcast_to(degrees, (count,)))
    return crack(zip(radius * np.cos(turns), radius * np.sin(turns), strict=True), 5.0)


@settings(max_examples=12, deadline=None)
@given(seeds, st.integers(1, 71))
def test_a_closed_road_may_start_anywhere(seed: int, start: int) -> None:
    rng = np.random.default_rng(seed)
    lines = [round_the_middle(15.9, np.linspace(-2.0, 2.0, 21))]
    lines.append(round_the_middle(np.linspace(12.0, 18.0, 60), rng.normal(0, 0.1, 60), count=60))
    here, there = (
        figures(segment_measures(pieces(lines), closed_road(start=first))) for first in (0, start)
    )
    # Rows begin elsewhere. The crack along meets 2 or 3, the one across 1 or 2 in each of 6 strips, of
    # which those in the last row, of 0.2 m, are too short to be evaluated.
    for table in (here, there):
        assert 6 <= round(table["zeb_share"] * table["zeb_evaluated"] / 100) <= 3 + 12
    assert here["cracking_percent"] == pytest.approx(there["cracking_percent"], abs=0.05)
    for name in ("crack_length_m", "length_longitudinal_m", "length_transverse_m"):
        assert here[name] == pytest.approx(there[name], abs=1e-6), name


@pytest.mark.parametrize("degrees", [0.0, 90.0, 180.0])
def test_a_metre_of_crack_marks_a_metre_of_a_closed_road(degrees: float) -> None:
    line = round_the_middle(15.9, degrees + np.linspace(-2.0, 2.0, 21))
    table = figures(segment_measures(pieces([line]), closed_road()))
    assert table["zeb_share"] * table["zeb_evaluated"] / 100 <= 3
    # 4 degrees of 15 m along the centre-line, of a wheel path 1.0 m wide.
    path_m2 = np.radians(4.0) * 15.0 * 1.0
    assert table["cracking_percent"] * table["imaged_m2"] / 100 == pytest.approx(path_m2, abs=0.1)


def test_a_crack_between_the_legs_of_a_hairpin_marks_what_it_meets() -> None:
    turns = np.radians(np.arange(-90.0, 91.0, 10.0))
    apex = list(zip(40 + 3 * np.cos(turns), 3 * np.sin(turns), strict=True))
    hairpin = road([(0, -3), *apex, (0, 3)])
    line = crack([(5, -2.2), (5.3, 2.2)], 5.0)
    table = figures(segment_measures(pieces([line]), hairpin))
    assert table["zeb_share"] * table["zeb_evaluated"] / 100 <= 8
    assert table["cracking_percent"] < 0.1


def corner() -> pd.DataFrame:
    return road([(-30, 0), (0, 0), (0, 30)])


def test_a_crack_on_the_bisector_of_a_corner_marks_no_more_than_its_way() -> None:
    out = np.linspace(0.0, 3.4, 60)
    aside = 0.02 * (-1.0) ** np.arange(60)
    line = crack(zip(-out - aside, out - aside, strict=True), 5.0)
    table = figures(segment_measures(pieces([line]), corner()))
    assert table["zeb_share"] * table["zeb_evaluated"] / 100 <= 14
    assert table["cracking_percent"] < 0.6


@pytest.mark.parametrize("step_m", [0.013, 0.11, 3.0])
def test_a_crack_along_the_inner_wheel_path_of_a_corner_covers_it_all(step_m: float) -> None:
    # 0.875 m inside the line, so 29.125 m on either side of the corner, of a path of 60 m.
    legs = np.append(np.arange(0.0, 29.125, step_m), 29.125)
    turn = [(-30 + x, 0.875) for x in legs] + [(-0.875, 30 - x) for x in legs[::-1]]
    table = figures(segment_measures(pieces([crack(turn, 5.0)]), corner()))
    assert table["cracking_percent"] * table["imaged_m2"] / 100 == pytest.approx(60.0, abs=0.05)


@pytest.mark.parametrize("wander_m", [0.02, 0.05])
def test_a_crack_beside_a_line_whose_vertices_wander_covers_it_all(wander_m: float) -> None:
    x = np.arange(0.0, 100.1, 0.3)
    y = np.random.default_rng(0).normal(0, wander_m, len(x))
    pavement = np.array([shapely.box(0, -3.5, x[-1], 3.5)], object)
    wandering = road(zip(x, y, strict=True)).assign(pavement=pavement)
    table = figures(
        segment_measures(pieces([crack([(0, -0.875), (x[-1], -0.875)], 5.0)]), wandering)
    )
    # A path 1.0 m wide of 7.0 m, and as much longer as the line is.
    share = 100.0 / 7.0 * wandering["line"][0].length / x[-1]
    assert table["cracking_percent"] == pytest.approx(share, rel=0.02)


def test_a_step_back_of_the_line_doubles_no_figure() -> None:
    pavement = np.array([shapely.box(0, -3.5, 100, 3.5)], object)
    stepped = road([(0, 0), (50, 0), (49.8, 0.02), (100, 0)]).assign(pavement=pavement)
    table = figures(segment_measures(pieces([crack([(0, -0.875), (100, -0.875)], 5.0)]), stepped))
    assert table["cracking_percent"] == pytest.approx(100.0 / 7.0, rel=0.02)
    assert table["zeb_share"] == pytest.approx(100.0 / 6.0, rel=0.02)
