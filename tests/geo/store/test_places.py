"""Places near the 180th meridian."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import CRS

from pavemap.geo.errors import BadInput
from pavemap.geo.store.places import Bbox, box_area, search_area, search_boxes


@pytest.mark.parametrize("lon", [179.95, -179.95, 180.05])
def test_a_box_over_the_meridian_finds_what_is_written_either_way(lon: float) -> None:
    place = shapely.Point(lon, -17.0)
    assert box_area((179.9, -18.0, -179.9, -16.0)).intersects(place)
    assert not box_area((-179.9, -18.0, -179.96, -16.0)).is_empty
    assert not box_area((170.0, -18.0, 179.9, -16.0)).intersects(place)


def test_an_area_that_jumps_at_the_meridian_is_brought_together() -> None:
    """Four corners of a small window, two of them east of 180: not the whole belt of the Earth."""
    torn = shapely.Polygon([(179.99, 0), (-179.99, 0), (-179.99, 0.01), (179.99, 0.01)])
    area = search_area(torn)
    assert area.intersects(shapely.Point(-179.995, 0.005))
    assert area.intersects(shapely.Point(180.005, 0.005))
    assert not area.intersects(shapely.Point(0.0, 0.005))


def test_elsewhere_an_area_stays_as_it_is() -> None:
    window = shapely.box(13.0, 52.0, 13.1, 52.1)
    assert search_area(window) is window
    assert box_area((13.0, 52.0, 13.1, 52.1)).equals(window)


def test_a_box_round_the_earth_holds_everything() -> None:
    whole = box_area((-180.0, -90.0, 180.0, 90.0))
    assert all(whole.covers(shapely.Point(lon, 0.0)) for lon in (-180.0, 0.0, 180.0, 181.0))


@pytest.mark.parametrize(
    ("bbox", "inside", "outside"),
    [
        ((-179.0, -60.0, 179.0, 60.0), [-178.0, 0.0, 13.0, 178.0], [179.5, -179.5, 180.0]),
        ((-171.0, 20.0, 20.0, 70.0), [-170.0, -75.0, 13.0, 190.0], [30.0, 179.0, -175.0]),
        ((0.5, 0.0, 359.5, 50.0), [1.0, 180.0, -180.0, -1.0], [0.0, 360.0]),
    ],
)
def test_a_box_wider_than_half_the_earth_is_not_its_complement(
    bbox: Bbox, inside: list[float], outside: list[float]
) -> None:
    area = box_area(bbox)
    assert all(area.covers(shapely.Point(lon, 45.0)) for lon in inside)
    assert not any(area.intersects(shapely.Point(lon, 45.0)) for lon in outside)


@pytest.mark.parametrize("west", [-160.0, 200.0])
@pytest.mark.parametrize("east", [160.0, -200.0])
def test_edges_beyond_180_are_the_same_box(west: float, east: float) -> None:
    area = box_area((west, -90.0, east, 90.0))
    assert all(area.covers(shapely.Point(lon, 45.0)) for lon in (-159.0, 0.0, 159.0))
    assert not any(area.intersects(shapely.Point(lon, 45.0)) for lon in (-161.0, 161.0, 180.0))


@pytest.mark.parametrize("bad", [(0, 1, 2, 0.5), (0, 0, 1, 91), (0, 0, 1e9, 1), (0, 0, np.inf, 1)])
def test_a_box_off_the_earth_is_refused(bad: tuple[float, float, float, float]) -> None:
    with pytest.raises(BadInput):
        box_area(bad)


def test_search_boxes_hold_what_they_are_for() -> None:
    utm = CRS.from_epsg(32633)
    corners = [(4e5, 5.8e6), (5e5, 5.9e6)]
    squares = np.array([shapely.box(x, y, x + 160.0, y + 160.0) for x, y in corners], dtype=object)
    boxes = search_boxes(squares, utm)
    assert boxes.shape == (2, 4)
    assert (boxes[:, 0] < boxes[:, 2]).all()
    assert search_boxes(np.empty(0, dtype=object), utm).shape == (0, 4)
