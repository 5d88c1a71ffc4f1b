"""Large polygons in small parts: the same ground, the same masks."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from pavemap.geo.grid import Window
from pavemap.geo.labels.ground_labels import SOUND, GroundLabels, Layer
from pavemap.geo.labels.small_parts import LEAST_SIDE_M, MOST_CORNERS, in_small_parts
from rasters import UTM


def town() -> shapely.Geometry:
    """The pavement of 8 x 8 streets, one polygon with 64 holes and more."""
    along = np.arange(9) * 80.0 + 500_000.0
    streets = [[(x, along[0]), (x + 3.3, along[4]), (x, along[-1])] for x in along]
    across = [[(y, x) for x, y in street] for street in streets]
    return shapely.union_all(shapely.buffer(shapely.linestrings([*streets, *across]), 3.0))


def test_parts_are_small_and_cover_the_same_ground() -> None:
    whole = np.array([town(), shapely.box(0, 0, 1, 1)], object)

    parts = in_small_parts(whole)

    assert shapely.get_num_coordinates(whole).max() > 2 * MOST_CORNERS
    assert shapely.get_num_coordinates(parts).max() <= MOST_CORNERS
    assert shapely.area(parts).sum() == pytest.approx(shapely.area(whole).sum(), rel=1e-12)
    assert shapely.area(shapely.union_all(parts)) == pytest.approx(shapely.area(whole).sum())


def test_masks_are_the_same() -> None:
    whole, parts = (
        GroundLabels(Layer(areas))
        for areas in (np.array([town()], object), in_small_parts(np.array([town()], object)))
    )
    known = 0
    for column in range(0, 640, 49):
        window = Window(UTM, 500_000.0 + column, 500_640.0 - column, 0.1, 300, 300)
        mask = whole.mask(window)
        known += int((mask == SOUND).sum())
        np.testing.assert_array_equal(parts.mask(window), mask)
    assert known > 100_000


def test_corners_in_one_place_are_cut_no_further() -> None:
    angles = np.linspace(0.0, 2 * np.pi, 4 * MOST_CORNERS, endpoint=False)
    radius = np.where(np.arange(len(angles)) % 2, 100.0, 1e-2)
    star = shapely.Polygon(np.column_stack([np.cos(angles), np.sin(angles)]) * radius[:, None])

    parts = in_small_parts(np.array([star], object))

    assert shapely.area(parts).sum() == pytest.approx(star.area, rel=1e-6)
    many = parts[shapely.get_num_coordinates(parts) > MOST_CORNERS]
    assert np.diff(shapely.bounds(many).reshape(-1, 2, 2), axis=1).max() <= LEAST_SIDE_M


def test_nothing_stays_nothing() -> None:
    assert in_small_parts(np.empty(0, object)).tolist() == []
