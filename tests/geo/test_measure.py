"""Measures worked out by hand, and what must hold for any lines and pavements."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from pavemap.geo.line_widths import width_quantile
from pavemap.geo.lines import Geometries, Polylines
from pavemap.geo.measure import (
    conditions,
    cut_by_segments,
    line_stats,
    on_imaged_ground,
    within_pavement,
)
from pavemap.geo.resolution import smallest_width_mm


def line(*points: tuple[float, ...]) -> shapely.LineString:
    return shapely.LineString(points)


def array(*geometries: shapely.Geometry) -> Geometries:
    return np.array(geometries, object)


def vertices(geometry: shapely.Geometry) -> list[list[float]]:
    points: list[list[float]] = shapely.get_coordinates(geometry, include_z=True).tolist()
    return points


WEST, EAST = shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)


def test_length_width_and_area_by_hand() -> None:
    # 3 m at a width of 2 to 4 mm, then 4 m at 4 to 8 mm: (3 x 3 + 4 x 6) / 7 = 33 / 7 mm on average.
    stats = line_stats(array(line((0, 0, 2), (3, 0, 4), (3, 4, 8))))
    assert stats["length_m"].tolist() == [7]
    assert stats["width_mean_mm"].tolist() == pytest.approx([33 / 7])
    # 95 % of 7 m are 6.65 m: all of the first step and 3.65 of the second's 4 m.
    assert stats["width_p95_mm"].tolist() == pytest.approx([4 + 4 * 3.65 / 4])
    assert stats["width_max_mm"].tolist() == [8]
    assert stats["area_m2"].tolist() == pytest.approx([0.033])


def test_true_metres_are_projected_ones_by_the_scale() -> None:
    lines = array(line((0, 0, 5), (10, 0, 5)), line((0, 0, 5), (10, 0, 5)))
    assert line_stats(lines, scale=2.0)["length_m"].tolist() == [5, 5]
    assert line_stats(lines, scale=np.array([1.0, 2.0]))["area_m2"].tolist() == [0.05, 0.025]


def test_an_unknown_width_is_not_a_width_of_zero() -> None:
    stats = line_stats(array(line((0, 0, 0), (1, 0, 4), (3, 0, 4)), line((0, 0), (1, 0))))
    assert stats["length_m"].tolist() == [3, 1]
    assert stats["width_mean_mm"].tolist() == [4, 0]
    assert stats["width_p95_mm"].tolist() == [4, 0]
    assert stats["area_m2"].tolist() == [0.008, 0]


@settings(deadline=None)
@given(
    widths=st.lists(st.floats(0.1, 40), min_size=2, max_size=8),
    steps=st.lists(st.floats(0.01, 3), min_size=7, max_size=7),
    part=st.floats(0.01, 1),
)
def test_a_width_quantile_is_that_of_many_even_samples(
    widths: list[float], steps: list[float], part: float
) -> None:
    x = np.cumsum([0.0, *steps])[: len(widths)]
    lines = Polylines(np.column_stack([x, np.zeros(len(x)), widths]), np.array([0, len(x)]))
    sampled = np.interp((np.arange(20_000) + 0.5) / 20_000 * x[-1], x, widths)
    (found,) = width_quantile(lines, part)
    assert (sampled <= found + 1e-9).mean() >= part - 2e-4
    assert (sampled < found - 1e-9).mean() <= part + 2e-4


def test_a_pixel_is_the_narrowest_width_it_shows() -> None:
    assert smallest_width_mm(0.002) == pytest.approx(2.0)


def test_no_lines_have_no_figures() -> None:
    assert len(line_stats(np.empty(0, object))) == 0


def test_a_crack_over_two_pavements_is_two_pieces() -> None:
    crack, segment, pieces = cut_by_segments(array(line((8, 5, 2), (12, 5, 6))), array(WEST, EAST))
    assert crack.tolist() == [0, 0]
    assert segment.tolist() == [0, 1]
    assert [vertices(piece) for piece in pieces] == [
        [[8, 5, 2], [10, 5, 4]],
        [[10, 5, 4], [12, 5, 6]],
    ]


def test_what_lies_within_is_passed_on_as_it_is_and_what_lies_outside_left_out() -> None:
    inside, outside = line((1, 1, 1), (2, 2, 1)), line((30, 30, 1), (40, 40, 1))
    crack, segment, pieces = cut_by_segments(array(outside, inside), array(WEST, EAST))
    assert crack.tolist() == [1]
    assert segment.tolist() == [0]
    assert pieces[0].equals(inside)


def test_a_crack_that_leaves_and_comes_back_is_two_pieces_of_one_crack() -> None:
    crack, segment, pieces = cut_by_segments(
        array(line((2, 8, 3), (2, 12, 3), (6, 12, 3), (6, 8, 3))), array(WEST, EAST)
    )
    assert crack.tolist() == segment.tolist() == [0, 0]
    assert shapely.length(pieces).tolist() == [2, 2]


def test_a_crack_along_a_common_border_counts_once() -> None:
    crack, segment, pieces = cut_by_segments(
        array(line((10, -2, 3), (10, 4, 3), (10, 12, 3))), array(WEST, EAST)
    )
    assert crack.tolist() == [0]
    assert segment.tolist() == [0]
    assert vertices(pieces[0]) == [[10, 0, 3], [10, 4, 3], [10, 10, 3]]


def test_a_crack_that_touches_a_border_and_stays_is_one_piece() -> None:
    crack, segment, pieces = cut_by_segments(
        array(line((8, 2, 3), (10, 4, 3), (8, 6, 3))), array(WEST, EAST)
    )
    assert (crack.tolist(), segment.tolist()) == ([0], [0])
    assert shapely.length(pieces)[0] == pytest.approx(2 * np.sqrt(8))


def test_an_island_in_the_pavement_is_not_pavement() -> None:
    holed = shapely.Polygon(WEST.exterior.coords, [shapely.box(4, 4, 6, 6).exterior.coords])
    _, _, pieces = cut_by_segments(array(line((1, 5, 3), (9, 5, 3))), array(holed))
    assert shapely.length(pieces).tolist() == [3, 3]


def test_pavement_may_be_in_parts() -> None:
    parts = shapely.MultiPolygon([shapely.box(0, 0, 2, 10), shapely.box(4, 0, 6, 10)])
    _, segment, pieces = cut_by_segments(array(line((-1, 5, 3), (9, 5, 3))), array(parts))
    assert segment.tolist() == [0, 0]
    assert shapely.length(pieces).tolist() == [2, 2]


def test_no_lines_or_no_pavement_give_no_pieces() -> None:
    nothing = np.empty(0, object)
    for lines, pavements in ((nothing, array(WEST)), (array(line((1, 1), (2, 2))), nothing)):
        crack, segment, pieces = cut_by_segments(lines, pavements)
        assert len(crack) == len(segment) == len(pieces) == 0


def test_lines_may_come_in_blocks_over_one_tree_of_the_pavements() -> None:
    pavements = array(WEST, EAST)
    tree = shapely.STRtree(pavements)
    for way in (line((8, 5, 2), (12, 5, 6)), line((18, 5, 2), (22, 5, 6))):
        _, segment, pieces = cut_by_segments(array(way), pavements, tree=tree)
        _, expected, alone = cut_by_segments(array(way), pavements)
        assert segment.tolist() == expected.tolist()
        assert shapely.equals_exact(pieces, alone).all()


whole = st.integers(-4, 24)
paths = st.lists(st.tuples(whole, whole), min_size=2, max_size=7)
slanted = st.lists(
    st.tuples(st.floats(-4, 24, width=16), st.floats(-4, 24, width=16)), min_size=2, max_size=7
)


def lines_of(drawn: list[list[tuple[float, float]]]) -> Geometries:
    ways = [line(*((x, y, 1 + abs(x)) for x, y in path)) for path in drawn]
    return array(*(way for way in ways if way.length > 0))


@settings(max_examples=150, deadline=None)
@given(drawn=st.lists(st.one_of(paths, slanted), min_size=1, max_size=5))
def test_pieces_sum_up_to_the_length_on_pavement(drawn: list[list[tuple[float, float]]]) -> None:
    lines = lines_of(drawn)
    pavements = array(*(shapely.box(x, y, x + 5, y + 5) for x in (0, 5, 15) for y in (0, 5, 12)))
    crack, segment, pieces = cut_by_segments(lines, pavements)
    union = shapely.union_all(pavements)
    for k, way in enumerate(lines):
        steps = shapely.linestrings(list(zip(way.coords[:-1], way.coords[1:], strict=True)))
        on_pavement = shapely.length(shapely.intersection(steps, union)).sum()
        assert shapely.length(pieces[crack == k]).sum() == pytest.approx(on_pavement, abs=1e-9)
    for piece, pavement in zip(pieces, pavements[segment], strict=True):
        assert piece.difference(pavement.buffer(1e-9)).is_empty


@settings(max_examples=40, deadline=None)
@given(drawn=st.lists(slanted, min_size=1, max_size=5), seed=st.integers(0, 100))
def test_the_order_of_lines_and_pavements_changes_no_figure(
    drawn: list[list[tuple[float, float]]], seed: int
) -> None:
    lines = lines_of(drawn)
    pavements = array(*(shapely.box(x, 0, x + 3.9, 20) for x in (0, 4, 8, 12)))  # no common border
    random = np.random.default_rng(seed)
    by_line, by_pavement = random.permutation(len(lines)), random.permutation(4)

    def figures(lines: Geometries, pavements: Geometries) -> list[tuple[float, ...]]:
        _, segment, pieces = cut_by_segments(lines, pavements)
        rows = np.column_stack(
            [shapely.bounds(pavements[segment])[:, 0], line_stats(pieces).to_numpy()]
        )
        return sorted(map(tuple, rows.round(9).tolist()))

    assert figures(lines, pavements) == figures(lines[by_line], pavements[by_pavement])


def test_conditions_by_hand() -> None:
    segments = pd.DataFrame({"segment_id": [7, 8, 9, 10], "pavement_m2": [200.0, 100, 100, 50]})
    pieces = pd.DataFrame(
        {"segment_id": [7, 7, 7, 8], "crack_index": [0, 0, 1, 1], "length_m": [3.0, 1, 6, 2]}
    )
    table = conditions(
        segments,
        pieces=pieces,
        imaged_m2=pd.Series({7: 200.0, 8: 50.0}),
        cracked_m2=pd.Series({7: 0.05}),
        failed=[8],
        with_imagery=[7, 8, 9],
    )
    assert table.loc[7].to_dict() == {
        "crack_length_m": 10,
        "cracked_area_m2": 0.05,
        "imaged_m2": 200,
        "pavement_m2": 200,
        "coverage": 1,
        "density_m_per_m2": 0.05,
        "crack_count": 2,
        "reason": "",
    }
    assert table.loc[8, "density_m_per_m2"] == 2 / 50
    assert table["coverage"].tolist() == [1, 0.5, 0, 0]
    assert table["reason"].tolist() == ["", "failed", "no data", "no imagery"]
    assert table["density_m_per_m2"].isna().tolist() == [False, False, True, True]
    assert table["crack_count"].dropna().tolist() == [2, 1]
    for found in ("crack_count", "crack_length_m", "cracked_area_m2"):
        assert table[found].isna().tolist() == [False, False, True, True]


def test_imaged_ground_is_within_the_pavement_but_for_faults() -> None:
    """A pavement of 100 m2 with a border of 40 m: pixels of 1 cm may add 0.4 m2, and its scale 0.5 m2."""
    found = within_pavement(
        np.array([0.0, 60.0, 100.0, 100.4, 102.0]),
        pavement_m2=np.full(5, 100.0),
        pavements=array(*[WEST] * 5),
        gsd_m=0.01,
    )
    assert found.tolist() == [0.0, 60.0, 100.0, 100.0, 102.0]


def test_figures_on_imaged_ground_by_hand() -> None:
    figures = on_imaged_ground(
        np.array([50.0, 0.0]), length_m=np.array([10.0, 0.0]), area_m2=np.array([0.05, 0.0])
    )
    assert {name: values[0] for name, values in figures.items()} == pytest.approx(
        {
            "crack_length_m": 10.0,
            "density_m_per_m2": 0.2,
            "cracked_area_m2": 0.05,
            "cracked_area_share": 0.1,
        }
    )
    assert all(np.isnan(values[1]) for values in figures.values())
