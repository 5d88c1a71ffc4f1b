"""Shapes of known length and width come back as lines of that length and width."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from drawn_cracks import clipped, filled, lines_of, mean_width, painted, picture, random_cracks
from pavemap.geo.errors import BadInput
from pavemap.geo.grid import ALIGNMENT_PX
from pavemap.geo.lines.flat_lines import Polylines, clip
from pavemap.geo.vectorizing.vectorize import VectorizeParams, trace_lines, vectorize

LENGTH_ERROR = 0.01
WIDTH_ERROR_PX = 0.5

WIDTHS = [1, 2, 3, 5, 8, 13, 20]
TURNS = [0, 7, 22.5, 45, 61, 90]


def straight(length: float) -> shapely.LineString:
    return shapely.LineString([(0, 0), (length, 0)])


def circle(radius: float) -> shapely.LineString:
    t = np.linspace(0, 2 * np.pi, 2000)
    return shapely.LineString(radius * np.column_stack([np.cos(t), np.sin(t)]))


def spiral(pitch: float) -> shapely.LineString:
    t = np.linspace(0, 6 * np.pi, 4000)
    radius = 40 + pitch * t / (2 * np.pi)
    return shapely.LineString(np.column_stack([radius * np.cos(t), radius * np.sin(t)]))


def comb(teeth: int, gap: float, tooth: float) -> shapely.MultiLineString:
    spine = [(0.0, 0.0), ((teeth + 1) * gap, 0.0)]
    return shapely.MultiLineString(
        [spine, *([(k * gap, 0.0), (k * gap, tooth)] for k in range(1, teeth + 1))]
    )


def line(*points: tuple[float, ...]) -> shapely.LineString:
    return shapely.LineString(points)


def vertices(geometry: shapely.Geometry) -> list[list[float]]:
    points: list[list[float]] = shapely.get_coordinates(geometry, include_z=True).tolist()
    return points


@pytest.mark.parametrize("width", WIDTHS)
@settings(max_examples=12, deadline=None)
@given(turn=st.floats(0, 180), square=st.booleans(), smooth=st.booleans())
def test_a_straight_crack_at_any_angle(width: int, turn: float, square: bool, smooth: bool) -> None:
    crack = straight(600)
    drawn = painted(crack, width=width, turn=turn, cap="flat" if square else "round", smooth=smooth)
    found = lines_of(drawn)
    assert len(found) == 1
    assert found[0].length == pytest.approx(crack.length, rel=LENGTH_ERROR)
    assert mean_width(found) == pytest.approx(width, abs=WIDTH_ERROR_PX)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("radius", [25, 100])
def test_a_circle(width: int, radius: float) -> None:
    found = lines_of(painted(circle(radius), width=width))
    assert len(found) == 1
    assert found[0].is_ring
    assert found[0].length == pytest.approx(2 * np.pi * radius, rel=LENGTH_ERROR)
    assert mean_width(found) == pytest.approx(width, abs=WIDTH_ERROR_PX)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("turn", [0, 33])
def test_a_spiral(width: int, turn: float) -> None:
    crack = spiral(3 * width + 20)
    found = lines_of(painted(crack, width=width, turn=turn))
    assert len(found) == 1
    assert found[0].length == pytest.approx(crack.length, rel=LENGTH_ERROR)
    assert mean_width(found) == pytest.approx(width, abs=WIDTH_ERROR_PX)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("turn", TURNS)
def test_a_comb(width: int, turn: float) -> None:
    crack = comb(7, 3 * width + 30, 6 * width + 90)
    found = lines_of(painted(crack, width=width, turn=turn))
    assert len(found) == 15  # seven teeth, eight pieces of spine
    assert shapely.length(found).sum() == pytest.approx(crack.length, rel=LENGTH_ERROR)
    assert mean_width(found) == pytest.approx(width, abs=WIDTH_ERROR_PX)
    ends, count = np.unique(
        np.array([end for piece in found for end in (piece.coords[0], piece.coords[-1])])[:, :2],
        axis=0,
        return_counts=True,
    )
    assert sorted(count) == [1] * 9 + [3] * 7, "branches meet in the very same point"
    assert len(ends) == 16


@pytest.mark.parametrize("angle", [25, 45, 75, 90])
@pytest.mark.parametrize("width", [3, 8, 20])
def test_a_crossing_counts_both_cracks_whole(angle: float, width: int) -> None:
    a = np.deg2rad(angle)
    other = [(-200 * np.cos(a), -200 * np.sin(a)), (200 * np.cos(a), 200 * np.sin(a))]
    crack = shapely.MultiLineString([[(-200, 0), (200, 0)], other])
    found = lines_of(painted(crack, width=width, turn=12))
    assert shapely.length(found).sum() == pytest.approx(800, rel=LENGTH_ERROR)


@pytest.mark.parametrize("sigma", [0.7, 1.5])
@pytest.mark.parametrize("width", [4, 9])
def test_blur_changes_neither_length_nor_width(width: int, sigma: float) -> None:
    crack = spiral(3 * width + 20)
    drawn = painted(crack, width=width, smooth=True).astype(float)
    found = lines_of(ndimage.gaussian_filter(drawn, sigma).astype(np.uint8))
    assert shapely.length(found).sum() == pytest.approx(crack.length, rel=LENGTH_ERROR)
    assert mean_width(found) == pytest.approx(width, abs=0.3)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_a_drawn_mask_has_its_width_at_any_threshold(threshold: float) -> None:
    found = lines_of(painted(straight(200), width=6), VectorizeParams(threshold=threshold))
    assert mean_width(found) == pytest.approx(6, abs=WIDTH_ERROR_PX)


def test_a_crack_that_tapers_ends_at_its_tip() -> None:
    wedge = shapely.Polygon([(0, 0), (300, 6), (300, -6)])
    found = max(lines_of(filled(wedge, turn=20, smooth=True)), key=shapely.length)
    assert 275 < found.length < 302  # where it is thinner than half a pixel it is not seen
    assert mean_width(np.array([found])) == pytest.approx(6.2, abs=0.5)


def test_z_is_the_width_in_millimetres_and_coordinates_are_the_transform_s() -> None:
    drawn = np.zeros((40, 120), np.uint8)
    drawn[18:22, 10:110] = 255
    north_up = Affine(0.002, 0.0, 500_000.0, 0.0, -0.002, 4_000_000.0)
    found = vectorize(drawn, transform=north_up, params=VectorizeParams(), metres_per_px=0.002)
    (crack,) = found
    points = shapely.get_coordinates(crack, include_z=True)
    assert points[[0, -1], 0].tolist() == pytest.approx([500_000.02, 500_000.22], abs=0.002)
    assert points[:, 1] == pytest.approx(4_000_000.0 - 20 * 0.002, abs=1e-4)
    assert points[:, 2] == pytest.approx(8.0)


def test_a_line_that_leaves_the_picture_ends_at_its_border() -> None:
    drawn = np.zeros((60, 100), np.uint8)
    drawn[25:35] = 255
    (crack,) = lines_of(drawn)
    assert sorted([crack.coords[0][0], crack.coords[-1][0]]) == [0, 100]


def test_nothing_there_gives_no_lines() -> None:
    assert len(lines_of(np.zeros((50, 50), np.uint8))) == 0
    assert len(lines_of(np.full((50, 50), 127, np.uint8))) == 0


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (1, 1), (1, 90), (90, 1)])
def test_pictures_of_any_size_will_do(shape: tuple[int, int]) -> None:
    assert len(lines_of(np.zeros(shape, np.uint8))) == 0
    assert len(lines_of(np.full(shape, 255, np.uint8))) == (max(shape) == 90)


@pytest.mark.parametrize("mask", [np.ones((9, 9), np.bool_), np.ones((9, 9, 1), np.uint8)])
def test_what_is_no_8_bit_picture_is_refused(mask: NDArray[Any]) -> None:
    with pytest.raises(BadInput, match="8 bits"):
        lines_of(mask)


def test_a_picture_that_is_all_crack_gives_at_most_one_line() -> None:
    assert len(lines_of(np.full((300, 500), 255, np.uint8))) <= 1


@pytest.mark.parametrize("seed", range(4))
def test_no_spur_is_shorter_than_the_crack_is_wide(seed: int) -> None:
    found = lines_of(random_cracks(500, cracks=8, seed=seed))
    ends = np.array([[piece.coords[0][:2], piece.coords[-1][:2]] for piece in found])
    _, where, count = np.unique(
        ends.reshape(-1, 2), axis=0, return_inverse=True, return_counts=True
    )
    degrees = count[where.ravel()].reshape(-1, 2)
    hanging = (degrees.min(axis=1) == 1) & (degrees.max(axis=1) > 2)
    assert hanging.any()
    for piece in found[hanging]:
        assert piece.length >= np.median(shapely.get_coordinates(piece, include_z=True)[:, 2])


@pytest.mark.parametrize("seed", range(3))
def test_stored_lines_are_small_and_true(seed: int) -> None:
    traced = trace_lines(random_cracks(600, cracks=8, seed=seed), params=VectorizeParams())
    stored = traced.simplified(0.1, width_tolerance=0.5)
    assert len(stored.points) < 0.5 * len(traced.points)
    assert stored.lengths.sum() == pytest.approx(traced.lengths.sum(), rel=0.002)
    before, after = mean_width(traced.to_shapely()), mean_width(stored.to_shapely())
    assert after == pytest.approx(before, abs=0.1)


def test_short_networks_go_unless_they_touch_the_border() -> None:
    drawn = picture("""
        ........................................
        .###################....................
        ........................................
        ........................................
        .....................................###
        ........................................
        ........####............................
        ........................................
        ........................................
    """)
    params = VectorizeParams(min_length_m=0.010)
    left = lines_of(drawn, params)
    assert sorted(shapely.length(left)) == pytest.approx([2.5, 19], abs=0.6)


def test_a_comb_is_one_network() -> None:
    crack = comb(3, 30, 40)
    kept = lines_of(painted(crack, width=3), VectorizeParams(min_length_m=0.200))
    assert shapely.length(kept).sum() == pytest.approx(240, rel=0.02)
    assert len(lines_of(painted(crack, width=3), VectorizeParams(min_length_m=0.300))) == 0


def test_a_window_knows_what_the_whole_picture_knows() -> None:
    whole = random_cracks(700, cracks=9, seed=5)
    params = VectorizeParams()
    start, stop = 5 * ALIGNMENT_PX, 17 * ALIGNMENT_PX
    wide, _ = clip(trace_lines(whole, params=params), (224, 224, 480, 480))
    window = trace_lines(whole[start:stop, start:stop], params=params)
    narrow, _ = clip(window, (64, 64, 320, 320))
    narrow.points[:, :2] += start
    assert len(wide) > 3
    assert _as_set(wide) == _as_set(narrow)


@pytest.mark.parametrize(
    "values",
    [
        {"threshold": 0.0},
        {"threshold": 1.0},
        {"threshold": float("nan")},
        {"min_length_m": -1.0},
        {"smooth_px": 0.0},
        {"max_hole_px": -1},
    ],
)
def test_params_without_meaning_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(BadInput):
        VectorizeParams.from_dict(values)


def test_params_survive_json_and_refuse_what_they_do_not_know() -> None:
    params = VectorizeParams(threshold=0.4, min_length_m=0.3)
    assert VectorizeParams.from_dict(params.to_dict()) == params
    assert VectorizeParams.from_dict({}) == VectorizeParams()
    with pytest.raises(BadInput, match="treshold"):
        VectorizeParams.from_dict({"treshold": 0.4})


def test_clipping_interpolates_width() -> None:
    (inside,) = clipped(np.array([line((0, 5, 10), (10, 5, 20))]), (2, 0, 6, 10))
    assert vertices(inside) == [[2, 5, 12], [6, 5, 16]]


def test_a_line_that_leaves_and_comes_back_becomes_two() -> None:
    parts = clipped(np.array([line((1, 1, 4), (9, 1, 4), (9, 3, 4), (1, 3, 4))]), (0, 0, 5, 5))
    assert [vertices(part) for part in parts] == [
        [[1, 1, 4], [5, 1, 4]],
        [[5, 3, 4], [1, 3, 4]],
    ]


def test_lines_outside_or_only_touching_leave_nothing() -> None:
    lines = np.array([line((6, 6, 1), (9, 9, 1)), line((4, 6, 1), (6, 4, 1))])
    assert len(clipped(lines, (0, 0, 5, 5))) == 0


def test_a_loop_is_cut_at_the_box_only() -> None:
    loop = line((2, 2, 1), (8, 2, 1), (8, 4, 1), (2, 4, 1), (2, 2, 1))
    (part,) = clipped(np.array([loop]), (0, 0, 5, 5))
    assert vertices(part) == [[5, 4, 1], [2, 4, 1], [2, 2, 1], [5, 2, 1]]


def test_a_loop_that_hangs_on_another_line_keeps_its_node() -> None:
    loop = line((2, 2, 1), (8, 2, 1), (8, 4, 1), (2, 4, 1), (2, 2, 1))
    parts = clipped(np.array([loop, line((2, 2, 1), (1, 1, 1))]), (0, 0, 5, 5))
    assert [vertices(part)[0] for part in parts] == [[2, 2, 1], [5, 4, 1], [2, 2, 1]]


def test_a_line_along_a_common_side_is_in_one_box() -> None:
    along = np.array([line((5, 1, 1), (5, 4, 1))])
    assert len(clipped(along, (0, 0, 5, 5))) + len(clipped(along, (5, 0, 10, 5))) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=2, max_size=9),
        min_size=1,
        max_size=5,
    )
)
def test_boxes_side_by_side_share_out_every_line(paths: list[list[tuple[int, int]]]) -> None:
    lines = np.array([line(*((x, y, 1) for x, y in path)) for path in paths], object)
    boxes = [(x, y, x + 4, y + 4) for x in range(0, 16, 4) for y in range(0, 16, 4)]
    shared = sum(shapely.length(clipped(lines, box)).sum() for box in boxes)
    assert shared == pytest.approx(shapely.length(lines).sum())


def _as_set(lines: Polylines) -> set[tuple[tuple[float, ...], ...]]:
    """Lines without order and direction, to 1e-9 pixel."""
    found = set()
    for k in range(len(lines)):
        points = lines.points[lines.offsets[k] : lines.offsets[k + 1]].round(9)
        way = tuple(map(tuple, points.tolist()))
        found.add(min(way, way[::-1]))
    return found
