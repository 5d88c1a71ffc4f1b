"""What nobody spoke of is what lies between the ends of what was spoken of."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import pytest
import shapely
from shapely.ops import substring

from pavemap.geo.lines.line_rests import M_PER_DEG, rests_of, share_ground

Points = list[tuple[float, ...]]


def line(*points: tuple[float, ...]) -> shapely.LineString:
    """A line by metres east and north, and a width, at 0 degrees."""
    return shapely.LineString([(p[0] / M_PER_DEG, p[1] / M_PER_DEG, *p[2:]) for p in points])


def metres(rests: list[shapely.LineString]) -> list[Points]:
    return [
        [(round(x * M_PER_DEG, 3), round(y * M_PER_DEG, 3), *z) for x, y, *z in rest.coords]
        for rest in rests
    ]


BENT = line((0, 0, 2), (10, 0, 4), (10, 10, 6))


@pytest.mark.parametrize(
    ("parts", "rests"),
    [
        ([], [[(0, 0, 2), (10, 0, 4), (10, 10, 6)]]),
        ([line((0, 0), (10, 0), (10, 10))], []),
        ([line((10, 10), (10, 0), (0, 0))], []),
        ([line((0, 0), (5, 0))], [[(5, 0, 3), (10, 0, 4), (10, 10, 6)]]),
        ([line((5, 0), (10, 0), (10, 5))], [[(0, 0, 2), (5, 0, 3)], [(10, 5, 5), (10, 10, 6)]]),
        ([line((0, 0), (5, 0)), line((5, 0), (10, 0), (10, 10))], []),
        ([line((0, 0), (7, 0)), line((3, 0), (10, 0))], [[(10, 0, 4), (10, 10, 6)]]),
    ],
    ids=["nothing", "all", "turned round", "the start", "the middle", "two", "overlapping"],
)
def test_the_rest_of_a_line_in_parts(parts: list[shapely.LineString], rests: list[Points]) -> None:
    assert metres(rests_of(BENT, parts)) == rests


def test_a_moved_part_speaks_of_the_stretch_whose_place_it_takes() -> None:
    moved = line((2, 0.3), (4, 0.6), (6, 0.2))
    found = metres(rests_of(line((0, 0), (10, 0)), [moved]))
    assert found == [[(0, 0), (2, 0)], [(6, 0), (10, 0)]]


def test_a_cut_that_is_a_little_aside_leaves_no_rest() -> None:
    west, east = line((0, 0), (4.98, 0.01)), line((5.01, -0.01), (10, 0.02))
    assert rests_of(line((0, 0), (10, 0)), [west, east]) == []


RING = line((0, 0, 1), (10, 0, 2), (10, 10, 3), (0, 10, 4), (0, 0, 1))
SIX = line((0, 30, 1), (0, 0, 1), (10, 0, 1), (10, 10, 1), (0, 10, 1))
"""Its end lies on its stem."""


@pytest.mark.parametrize("whole", [RING, SIX, line(*reversed([(0, 30), (0, 0), (9, 9), (0, 9)]))])
def test_of_a_line_that_meets_itself_nothing_is_left_of_the_whole(
    whole: shapely.LineString,
) -> None:
    assert rests_of(whole, [whole]) == []
    assert rests_of(whole, [whole.reverse()]) == []
    cuts = [0.0, 0.3 * whole.length, 0.65 * whole.length, whole.length]
    parts = [cast(shapely.LineString, substring(whole, *ends)) for ends in pairwise(cuts)]
    assert rests_of(whole, parts) == []
    for number, part in enumerate(parts):
        others = [each for each in parts if each is not part]
        rests = rests_of(whole, others)
        assert sum(each.length for each in rests) == pytest.approx(part.length, rel=1e-6), number
        assert all(each.hausdorff_distance(part) < 1e-9 for each in rests)


def test_a_ring_that_was_moved_is_moved_whole() -> None:
    assert rests_of(RING, [shapely.affinity.translate(RING, 0.3 / M_PER_DEG)]) == []


def test_a_line_that_was_moved_along_itself_leaves_no_stub() -> None:
    straight = line((0, 0), (10, 0))
    assert rests_of(straight, [line((0.5, 0), (10.5, 0))]) == []
    # Cut, it is not moved: what was cut off is left.
    assert metres(rests_of(straight, [line((0.5, 0), (10, 0))])) == [[(0, 0), (0.5, 0)]]
    # Moved, then cut: all of it is spoken of, unless it was made much shorter too.
    assert rests_of(straight, [line((0.5, 1), (8, 1)), line((8, 1), (10.5, 1))]) == []
    parts = [line((0.5, 1), (6, 1)), line((6, 1), (8, 1))]
    assert metres(rests_of(straight, parts)) == [[(0, 0), (0.5, 0)], [(8, 0), (10, 0)]]


@pytest.mark.parametrize("whole", [RING, SIX, line((0, 0), (3, 0), (3, 0.4), (0, 0.4))])
@pytest.mark.parametrize("north", [-0.15, 0.0, 0.15])
@pytest.mark.parametrize("east", [-0.15, 0.15])
def test_a_line_that_meets_itself_is_moved_whole(
    whole: shapely.LineString, east: float, north: float
) -> None:
    """Though its ends may come nearer to other places of it than to where they were."""
    moved = shapely.affinity.translate(whole, east / M_PER_DEG, north / M_PER_DEG)
    assert rests_of(whole, [moved]) == []
    assert rests_of(whole, [moved], is_part=True) == []


def test_of_a_line_that_was_moved_aside_and_cut_the_end_is_left() -> None:
    eight = line((0, 0), (8, 0))
    assert metres(rests_of(eight, [line((1, 0.15), (8, 0.15))])) == [[(0, 0), (1, 0)]]
    halves = [line((4, 0.15), (7, 0.15)), line((0, 0.15), (4, 0.15))]
    assert metres(rests_of(eight, halves)) == [[(7, 0), (8, 0)]]
    # What a hand's breadth misses was not cut off.
    assert rests_of(eight, [line((0.2, 0.15), (7.9, 0.15))]) == []


@pytest.mark.parametrize("first", [0.5, 1.0, 1.5, 2.0])
def test_of_a_part_that_another_as_long_overlaps_the_rest_is_left(first: float) -> None:
    """Both are of one crack: that the other runs on does not say that it was moved."""
    part, later = line((0, 0), (4, 0)), line((first, 0), (first + 4, 0))
    assert metres(rests_of(part, [later], is_part=True)) == [[(0, 0), (first, 0)]]
    moved = shapely.affinity.translate(later, 0.0, 0.15 / M_PER_DEG)
    assert metres(rests_of(part, [moved], is_part=True)) == [[(0, 0), (first, 0)]]


def test_lines_share_ground_where_they_run_side_by_side() -> None:
    west, east = line((0, 0), (6, 0)), line((6, 0), (10, 0))
    whole = line((0, 0.2), (10, 0.2))
    assert not share_ground(west, east)
    assert not share_ground(east, west)
    for one in (west, east):
        assert share_ground(one, whole)
        assert share_ground(whole, one.reverse())
    assert not share_ground(line((0, 0), (0, 5)), line((1, 0), (1, 5)))  # the legs of a U
    assert share_ground(RING, RING)
