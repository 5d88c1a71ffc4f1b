"""What training data is made of: of reviewed ground, what is near imagery."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely

from pavemap.geo.arrays import Objects, object_array
from pavemap.platform.training_data import BESIDE_DEG, near_imagery

TILE = shapely.box(15.0, 50.0, 15.0001, 50.0001)


@pytest.mark.parametrize(
    "area", [shapely.box(-180.0, -90.0, 180.0, 90.0), shapely.box(14.9, 49.9, 15.1, 50.1)]
)
def test_an_area_of_any_size_is_no_more_than_what_is_near_the_imagery(
    area: shapely.Polygon,
) -> None:
    (found,) = near_imagery(object_array([area]), object_array([TILE]))
    assert found.covers(TILE)
    assert found.area < 10.0 * TILE.area


def test_an_area_on_imagery_stays_as_it_was_drawn_and_one_beside_it_goes() -> None:
    inside = shapely.MultiPolygon([shapely.box(15.00001, 50.00001, 15.00005, 50.00005)])
    elsewhere = shapely.box(16.0, 50.0, 16.1, 50.1)
    (found,) = near_imagery(object_array([elsewhere, inside]), object_array([TILE]))
    assert found is inside
    assert not len(near_imagery(object_array([inside]), object_array([])))


@pytest.fixture
def overlaid(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the vertices of imagery that are united, or that areas are cut by."""
    counts: list[int] = []
    union_all, intersection = shapely.union_all, shapely.intersection

    def united(shapes: Any) -> Any:
        counts.append(int(shapely.get_num_coordinates(shapes).sum()))
        return union_all(shapes)

    def cut(areas: Any, by: Any) -> Any:
        _, each = np.broadcast_arrays(areas, by)
        counts.append(int(shapely.get_num_coordinates(each).sum()))
        return intersection(areas, by)

    monkeypatch.setattr(shapely, "union_all", united)
    monkeypatch.setattr(shapely, "intersection", cut)
    return counts


def row_of(count: int, *, step_deg: float) -> Objects:
    edges = [15.0 + step_deg * number for number in range(count)]
    return object_array([shapely.box(west, 50.0, west + 1e-4, 50.0001) for west in edges])


@pytest.mark.parametrize("step_deg", [1e-4, 1e-3], ids=["abutting", "isolated"])
def test_each_area_is_cut_by_the_imagery_it_meets_alone(
    overlaid: list[int], step_deg: float
) -> None:
    tiles = row_of(200, step_deg=step_deg)
    areas = shapely.buffer(tiles, 2.0 * BESIDE_DEG, join_style="mitre")
    around = shapely.buffer(tiles, BESIDE_DEG, join_style="mitre")
    found = near_imagery(areas, tiles)
    assert sum(overlaid) < 20 * shapely.get_num_coordinates(tiles).sum()
    whole = shapely.union_all(around)
    expected = [shapely.intersection(area, whole).area for area in areas]
    assert shapely.area(found) == pytest.approx(expected, rel=1e-9)


def test_areas_that_meet_all_imagery_unite_it_once(overlaid: list[int]) -> None:
    tiles = row_of(50, step_deg=1e-3)
    areas = object_array([shapely.box(14.0, 49.0, 16.0 + n, 51.0) for n in range(20)])
    found = near_imagery(areas, tiles)
    assert len(found) == 20 * 50
    assert sum(overlaid) == (1 + 20) * shapely.get_num_coordinates(tiles).sum()


def test_imagery_across_the_180th_meridian_is_on_both_its_sides() -> None:
    across = shapely.box(179.9999, -17.0, 180.0001, -16.9999)
    earth = shapely.box(-180.0, -90.0, 180.0, 90.0)
    found = near_imagery(object_array([earth]), object_array([across]))
    edges = shapely.bounds(found)
    assert sorted(edges[:, 0]) == pytest.approx([-180.0, 179.9998])
    assert sorted(edges[:, 2]) == pytest.approx([-179.9998, 180.0])
