"""What nobody spoke of is what lies between the ends of what was spoken of."""

from __future__ import annotations

import pytest
import shapely

from pavemap.geo.lines.line_rests import M_PER_DEG, rests_of

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
