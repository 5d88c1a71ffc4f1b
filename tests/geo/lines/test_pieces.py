"""Pieces of lines by pavement, drawn, and what must hold for any lines and pavements."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from pavemap.geo.arrays import Geometries
from pavemap.geo.lines.line_measures import line_stats
from pavemap.geo.lines.pieces import cut_by_segments


def line(*points: tuple[float, ...]) -> shapely.LineString:
    return shapely.LineString(points)


def array(*geometries: shapely.Geometry) -> Geometries:
    return np.array(geometries, object)


def vertices(geometry: shapely.Geometry) -> list[list[float]]:
    points: list[list[float]] = shapely.get_coordinates(geometry, include_z=True).tolist()
    return points


WEST, EAST = shapely.box(0, 0, 10, 10), shapely.box(10, 0, 20, 10)


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
