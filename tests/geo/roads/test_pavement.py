"""Pavement: true areas computed by hand, and what holds for any network: nothing shared, nothing lost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS

from drawn_roads import PLANE, Line, drawn_network, in_degrees, in_metres
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput
from pavemap.geo.roads import pavement
from pavemap.geo.roads.pavement import Pavements, lay_pavement, network_plane
from pavemap.geo.roads.segments import segment_network

SHARED_M2 = 1e-6
"""The most that two pavements may overlap."""


def lay(lines: Sequence[Line], widths: Sequence[float]) -> Pavements:
    """Lay drawn lines; those listed first take precedence."""
    return lay_pavement(
        in_degrees(lines),
        width_m=np.array(widths, dtype=np.float64),
        precedence=np.arange(len(lines)),
    )


def greatest_overlap(polygons: NDArray[np.object_]) -> float:
    """Return the greatest area (m2) that two pavements, in the drawing's metres, share."""
    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    apart = one < other
    areas = shapely.area(shapely.intersection(polygons[one[apart]], polygons[other[apart]]))
    return float(areas.max(initial=0.0))


def test_the_drawing_and_the_network_share_one_plane() -> None:
    assert network_plane(in_degrees([[(-50, 0), (50, 0)]])) == PLANE


def test_a_straight_road_is_a_rectangle() -> None:
    laid = lay([[(0, 0), (100, 0)]], [7])

    assert laid.area_m2 == pytest.approx([700.0], rel=1e-5)
    assert in_metres(laid.polygons)[0].bounds == pytest.approx((0, -3.5, 100, 3.5), abs=1e-3)


def test_consecutive_segments_meet_in_a_straight_cut() -> None:
    #     ___________________
    #    |____0____|____1____|   7 m wide
    #    0        100       200
    laid = lay([[(0, 0), (100, 0)], [(100, 0), (200, 0)]], [7, 7])
    first, second = in_metres(laid.polygons)

    assert laid.area_m2 == pytest.approx([700.0, 700.0], rel=1e-5)
    assert first.union(second).area == pytest.approx(1400.0, rel=1e-5)
    assert first.intersection(second).length == pytest.approx(7.0, abs=1e-3)


def test_a_bend_is_mitred_whichever_comes_first() -> None:
    #   | 1                Each strip has 100 x 7 m2. Outside the bend a quarter disc is added, drawn as
    #   |                  8 chords of 11.25 degrees; inside both cover a square of 3.5 x 3.5 m.
    #   o----- 0           The bisector halves both.
    radius, width, length = 3.5, 7.0, 100.0
    quarter = 8 * radius**2 / 2 * math.sin(math.radians(11.25))
    expected = length * width + quarter / 2 - radius**2 / 2
    east: Line = [(0, 0), (100, 0)]
    north: Line = [(0, 100), (0, 0)]

    for lines in ([east, north], [north, east]):
        laid = lay(lines, [width, width])
        assert laid.area_m2 == pytest.approx([expected, expected], rel=1e-5)
        assert greatest_overlap(in_metres(laid.polygons)) < SHARED_M2


def test_a_side_road_ends_at_the_edge_of_the_wider_road() -> None:
    #          | 1: 6 m wide, 100 m to the centre-line, 95 m to the edge
    #   _______|_______
    #   0: 10 m wide, 200 m
    through: Line = [(-100, 0), (100, 0)]
    side: Line = [(0, 0), (0, 100)]

    assert lay([through, side], [10, 6]).area_m2 == pytest.approx([2000.0, 570.0], rel=1e-5)


def test_a_crossing_belongs_to_the_road_that_comes_first() -> None:
    laid = lay([[(-100, 0), (100, 0)], [(0, -50), (0, 50)]], [8, 8])

    assert laid.area_m2 == pytest.approx([1600.0, 800.0 - 64.0], rel=1e-5)
    assert shapely.get_num_geometries(laid.polygons).tolist() == [1, 2]


@pytest.mark.parametrize("turned", [False, True])
def test_parallel_carriageways_part_in_the_middle(turned: bool) -> None:
    # 8 m wide and 6 m apart: the 2 m by 100 m that lie in both are halved.
    other: Line = [(100, 6), (0, 6)] if turned else [(0, 6), (100, 6)]
    laid = lay([[(0, 0), (100, 0)], other], [8, 8])
    south, north = in_metres(laid.polygons)

    assert laid.area_m2 == pytest.approx([700.0, 700.0], rel=1e-4)
    assert south.bounds[3] == pytest.approx(3.0, abs=1e-3)
    assert north.bounds[1] == pytest.approx(3.0, abs=1e-3)


def test_a_narrow_road_beside_a_wide_one_gives_up_as_much_as_it_takes() -> None:
    # 12 m and 4 m wide, 7 m apart: they overlap by 1 m, from 5 to 6 m beside the wide one's line.
    laid = lay([[(0, 0), (100, 0)], [(0, 7), (100, 7)]], [12, 4])

    assert laid.area_m2 == pytest.approx([1150.0, 350.0], rel=1e-4)


def test_carriageways_cut_at_different_places_part_in_the_middle() -> None:
    #   0 |---- 40 m ----|------ 1: 60 m ------|
    #   2 |--------- 55 m --------|-- 3: 45 m -|      7 m wide, 5 m apart: 1 m for each
    lines: list[Line] = [
        [(0, 0), (40, 0)],
        [(40, 0), (100, 0)],
        [(0, 5), (55, 5)],
        [(55, 5), (100, 5)],
    ]
    laid = lay(lines, [7, 7, 7, 7])

    assert laid.area_m2 == pytest.approx([240.0, 360.0, 330.0, 270.0], rel=1e-3)


def test_three_arms_lose_nothing_between_them() -> None:
    # At 120 degrees neighbours overlap in a kite of r^2 tan 30; there is no open wedge.
    ends = [(100 * math.cos(a), 100 * math.sin(a)) for a in np.radians([90.0, 210.0, 330.0])]
    laid = lay([[(0, 0), end] for end in ends], [6, 6, 6])
    union = shapely.union_all(in_metres(laid.polygons)).area

    assert union == pytest.approx(3 * 600 - 3 * 9 * math.tan(math.radians(30)), rel=1e-5)
    assert laid.area_m2.sum() == pytest.approx(union, rel=1e-6)


def test_a_narrow_road_that_goes_on_from_a_wide_one_fills_only_its_own_corner() -> None:
    #  ========== 0: 10 m wide      The open wedge outside the bend has the radius of the narrower.
    #          || 1: 4 m wide
    laid = lay([[(-100, 0), (0, 0)], [(0, 0), (0, -100)]], [10, 4])
    wedge = 8 * 2**2 / 2 * math.sin(math.radians(11.25))

    assert laid.area_m2[0] == pytest.approx(1000 + wedge / 2, rel=1e-5)
    # The narrow strip starts inside the wide one: 2 m wide by 5 m long of it are the wide road's.
    assert laid.area_m2[1] == pytest.approx(400 + wedge / 2 - 2 * 5, rel=1e-4)


def test_a_second_road_on_the_same_line_gets_nothing() -> None:
    laid = lay([[(0, 0), (100, 0)], [(100, 0), (0, 0)]], [7, 7])

    assert laid.area_m2.tolist() == [pytest.approx(700.0, rel=1e-4), 0.0]
    assert laid.polygons[1].is_empty
    assert laid.polygons[1].geom_type == "MultiPolygon"


def test_a_roundabout_is_a_ring() -> None:
    angles = np.linspace(0.0, 2.0 * np.pi, 73)
    circle = [(20 * math.cos(a), 20 * math.sin(a)) for a in angles[:-1]]
    laid = lay([[*circle, circle[0]]], [8])

    assert laid.area_m2[0] == pytest.approx(np.pi * (24**2 - 16**2), rel=5e-3)
    assert len(in_metres(laid.polygons)[0].geoms[0].interiors) == 1


def test_areas_are_true_all_over_a_continent() -> None:
    # 100 m from west to east at both ends of a 1,600 km network: nine UTM zones apart or none.
    lines = [
        shapely.LineString([(lon, lat), (lon + 100.0 / metres_per_degree(lat), lat)])
        for lon, lat in ((-3.0, 40.0), (17.9995, 50.0), (8.0, 47.0))
    ]
    laid = lay_pavement(
        np.array(lines, dtype=object), width_m=np.full(3, 7.0), precedence=np.arange(3)
    )

    assert laid.area_m2 == pytest.approx([700.0] * 3, rel=1e-4)


def metres_per_degree(lat: float) -> float:
    """Return the length of a degree of longitude on the WGS 84 ellipsoid."""
    flattening = 1 / 298.257223563
    eccentricity2 = flattening * (2 - flattening)
    phi = math.radians(lat)
    normal = 6378137.0 / math.sqrt(1 - eccentricity2 * math.sin(phi) ** 2)
    return math.radians(normal * math.cos(phi))


def test_the_wider_road_keeps_the_junction_then_the_longer_one() -> None:
    # a: 200 m long, 6 m wide; b: 100 m long, 6 m wide; c: 20 m long, 9 m wide; all cross at (0, 0).
    cut = segment_network(
        drawn_network(
            {
                "a": ([(-100, 0), (100, 0)], 6.0),
                "b": ([(0, -50), (0, 50)], 6.0),
                "c": ([(-10, -10), (10, 10)], 9.0),
            }
        ),
        length_m=None,
    )
    area = dict(zip(cut["road_key"], cut["pavement_m2"], strict=True))

    assert area["c"] == pytest.approx(20 * math.sqrt(2) * 9, rel=1e-4)
    centre = shapely.Point(0, 5.5)
    owners = [
        key
        for key, polygon in zip(cut["road_key"], in_metres(cut.geometry), strict=True)
        if polygon.contains(centre)
    ]
    assert owners == ["c"]


def areas_by_road(roads: dict[str, tuple[Line, float]], levels: dict[str, int]) -> dict[str, float]:
    cut = segment_network(drawn_network(roads, levels=levels), length_m=None)
    assert greatest_overlap(in_metres(cut.geometry)) < SHARED_M2
    return dict(zip(cut["road_key"], cut["pavement_m2"], strict=True))


@pytest.mark.parametrize("levels", [{"bridge": 1}, {"motorway": -1}])
def test_a_narrow_bridge_keeps_its_deck_over_a_motorway(levels: dict[str, int]) -> None:
    area = areas_by_road(
        {
            "motorway": ([(-200, 0), (200, 0)], 24.0),
            "bridge": ([(0, -60), (0, 60)], 8.0),
        },
        levels,
    )

    assert area["bridge"] == pytest.approx(120 * 8, rel=1e-4)
    assert area["motorway"] == pytest.approx(400 * 24 - 24 * 8, rel=1e-4)


@pytest.mark.parametrize("aside_m", [0.0, 0.01, 3.0])
def test_a_street_keeps_its_ground_over_a_wider_tunnel_along_it(aside_m: float) -> None:
    area = areas_by_road(
        {"street": ([(0, 0), (400, 0)], 10.0), "tunnel": ([(0, -aside_m), (400, -aside_m)], 14.0)},
        {"tunnel": -1},
    )

    assert area["street"] == pytest.approx(400 * 10, rel=1e-3)
    left = 400 * (4 if aside_m < 1 else 5)  # on both sides, or 5 m on one
    assert area["tunnel"] == pytest.approx(left, rel=1e-2)


def test_decks_side_by_side_part_in_the_middle_over_whatever_is_below() -> None:
    #     ====|==== 8 m each, 6 m apart, over a street of 24 m
    area = areas_by_road(
        {
            "west": ([(-3, -60), (-3, 60)], 8.0),
            "east": ([(3, 60), (3, -60)], 8.0),
            "street": ([(-100, 0), (100, 0)], 24.0),
        },
        {"west": 1, "east": 1},
    )

    assert area["west"] == pytest.approx(120 * 7, rel=1e-3)
    assert area["east"] == pytest.approx(120 * 7, rel=1e-3)
    assert area["street"] == pytest.approx(200 * 24 - 24 * 14, rel=1e-3)


def test_lines_without_end_upon_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pavement, "MAX_PAIRS_AT_ONCE", 50)
    monkeypatch.setattr(pavement, "MAX_PAIRS_EACH", 2)
    stack = [[(0.0, 0.01 * i), (100.0, 0.01 * i)] for i in range(30)]

    with pytest.raises(BadInput, match="upon each other"):
        lay(stack, [7.0] * 30)


coordinate = st.floats(-150, 150, allow_nan=False).map(lambda value: round(value, 2))
drawn_line = st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=5, unique=True)
drawn_roads = st.lists(
    st.tuples(drawn_line, st.sampled_from([3.0, 5.5, 7.0, 7.0, 12.0])), min_size=1, max_size=6
)
grid_point = st.tuples(st.integers(-3, 3), st.integers(-3, 3)).map(
    lambda point: (25.0 * point[0], 25.0 * point[1])
)
grid_line = st.lists(grid_point, min_size=2, max_size=4, unique=True)
grid_roads = st.lists(
    st.tuples(grid_line, st.sampled_from([6.0, 6.0, 10.0])), min_size=2, max_size=7
)


parallel_roads = st.lists(
    st.tuples(
        st.floats(0.5, 9.0), st.sampled_from([3.0, 7.0, 7.0]), st.booleans(), st.floats(0, 20)
    ),
    min_size=2,
    max_size=5,
).map(
    lambda drawn: [
        ([(shift, y), (shift + 80.0, y + 2.0)][:: -1 if turned else 1], width)
        for y, (_, width, turned, shift) in zip(
            np.cumsum([each[0] for each in drawn]).round(2).tolist(), drawn, strict=True
        )
    ]
)


@settings(max_examples=60, deadline=None)
@given(roads=st.one_of(drawn_roads, grid_roads, parallel_roads))
def test_no_ground_is_shared_and_none_is_lost(roads: list[tuple[Line, float]]) -> None:
    lines, widths = [each for each, _ in roads], [width for _, width in roads]
    laid = lay(lines, widths)
    polygons = in_metres(laid.polygons)

    assert greatest_overlap(polygons) < SHARED_M2
    assert bool(shapely.is_valid(laid.polygons).all())
    assert bool(shapely.is_valid(reproject(laid.polygons, WGS84, CRS.from_epsg(32631))).all())
    covered = shapely.coverage_union_all(polygons)
    for each, width in roads:
        strip = shapely.LineString(each).buffer(width / 2, cap_style="flat", quad_segs=4)
        assert strip.difference(covered.buffer(1e-3)).area < 1e-6
    for polygon, (each, width) in zip(polygons, roads, strict=True):
        assert (
            polygon.difference(shapely.LineString(each).buffer(width / 2 + 0.01, quad_segs=64)).area
            < 1e-6
        )
    assert laid.area_m2.sum() == pytest.approx(covered.area, abs=1e-2)


@settings(max_examples=25, deadline=None)
@given(roads=st.one_of(drawn_roads, grid_roads, parallel_roads))
def test_the_blocks_that_bound_memory_leave_no_trace(roads: list[tuple[Line, float]]) -> None:
    lines, widths = [each for each, _ in roads], [width for _, width in roads]
    whole = lay(lines, widths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pavement, "BLOCK", 1)
        single = lay(lines, widths)

    assert shapely.equals(
        shapely.normalize(single.polygons), shapely.normalize(whole.polygons)
    ).all()
    assert single.area_m2 == pytest.approx(whole.area_m2, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(roads=drawn_roads, data=st.data())
def test_the_order_of_the_features_does_not_matter(
    roads: list[tuple[Line, float]], data: st.DataObject
) -> None:
    named = {f"r{i}": road for i, road in enumerate(roads)}
    shuffled = data.draw(st.permutations(list(named)))
    one = segment_network(drawn_network(named), length_m=50.0)
    other = segment_network(drawn_network({key: named[key] for key in shuffled}), length_m=50.0)

    assert one.equals(other)


def turned(roads: list[tuple[Line, float]], angle: float, shift: tuple[float, float]) -> list[Line]:
    """Turn and move drawn roads."""
    cos, sin = math.cos(angle), math.sin(angle)
    return [
        [(x * cos - y * sin + shift[0], x * sin + y * cos + shift[1]) for x, y in each]
        for each, _ in roads
    ]


@settings(max_examples=25, deadline=None)
@given(
    roads=st.one_of(drawn_roads, parallel_roads),
    angle=st.floats(0, 360),
    shift=st.tuples(coordinate, coordinate),
)
def test_turning_and_moving_the_scene_changes_no_figure(
    roads: list[tuple[Line, float]], angle: float, shift: tuple[float, float]
) -> None:
    widths = [width for _, width in roads]
    before = lay([each for each, _ in roads], widths)
    after = lay(turned(roads, angle, shift), widths)

    # A rounded bend is drawn by chords that start at a compass point: r^2 / 2 (22.5 deg - sin) at most.
    assert after.area_m2.sum() == pytest.approx(before.area_m2.sum(), rel=5e-3, abs=1.5)


@settings(max_examples=25, deadline=None)
@given(roads=parallel_roads, angle=st.floats(0, 360), shift=st.tuples(coordinate, coordinate))
def test_roads_side_by_side_part_alike_whichever_way_they_run(
    roads: list[tuple[Line, float]], angle: float, shift: tuple[float, float]
) -> None:
    # Drawn at random, roads may also run upon each other, where a hair decides which keeps the ground.
    widths = [width for _, width in roads]
    before = lay([each for each, _ in roads], widths)
    after = lay(turned(roads, angle, shift), widths)

    assert after.area_m2 == pytest.approx(before.area_m2, rel=5e-3, abs=1.5)
