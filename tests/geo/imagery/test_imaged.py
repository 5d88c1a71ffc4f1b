"""What was imaged, outlined: exact for boxes, close for slants, small for noise, true for pavements."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely
from affine import Affine
from pyproj import CRS

from pavemap.geo.grid import Grid
from pavemap.geo.imagery.imaged import MAX_VERTICES, imaged_ground, imaged_part

NORTH_UP = Affine(0.5, 0.0, 100.0, 0.0, -0.5, 200.0)
GRID = Grid(CRS.from_epsg(32633), 0.125, cell_px=32)  # cells of 4 m


def test_a_whole_cell_needs_no_outline_and_an_empty_one_has_an_empty_one() -> None:
    assert imaged_part(np.ones((32, 32), np.bool_), transform=NORTH_UP) is None
    nothing = imaged_part(np.zeros((32, 32), np.bool_), transform=NORTH_UP)
    assert nothing is not None
    assert nothing.is_empty
    assert nothing.geom_type == "MultiPolygon"


def test_a_rectangle_of_pixels_is_that_rectangle_on_the_ground() -> None:
    believed = np.zeros((32, 32), np.bool_)
    believed[4:20, 8:32] = True
    part = imaged_part(believed, transform=NORTH_UP)
    assert part is not None
    assert part.equals(shapely.box(104.0, 190.0, 116.0, 198.0))


def test_a_hole_stays_a_hole() -> None:
    believed = np.ones((64, 64), np.bool_)
    believed[20:40, 20:40] = False
    part = imaged_part(believed, transform=Affine.identity())
    assert part is not None
    assert part.area == 64 * 64 - 20 * 20
    assert len(part.geoms[0].interiors) == 1


def test_a_slanted_edge_has_few_corners_and_keeps_its_area() -> None:
    rows, cols = np.mgrid[:2048, :2048]
    believed = rows * 0.31 + 300 > cols
    part = imaged_part(believed, transform=Affine.identity())
    assert part is not None
    assert shapely.get_num_coordinates(part) < 20
    assert part.area == pytest.approx(believed.sum(), rel=0.002)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_noise_is_outlined_in_blocks(share: float) -> None:
    random = np.random.default_rng(5)
    noise = cv2.resize(random.random((1024, 1024)).astype(np.float32), (2048, 2048))
    part = imaged_part(noise < share, transform=NORTH_UP)
    assert part is not None
    assert part.is_valid
    assert shapely.get_num_coordinates(part) <= MAX_VERTICES
    cell = shapely.box(100.0, 200.0 - 1024.0, 100.0 + 1024.0, 200.0)
    assert shapely.difference(part, cell.buffer(1e-6)).is_empty


def test_a_pavement_loses_what_its_cells_did_not_see() -> None:
    """Cells of 4 m: 0,0 whole, 1,0 failed, 2,0 half seen; a pavement over all, one over the first."""
    pavements = np.array([shapely.box(1.0, 1.0, 11.0, 3.0), shapely.box(1.0, 0.0, 3.0, 1.0)])
    half = shapely.MultiPolygon([shapely.box(8.0, 0.0, 10.0, 4.0)])
    parts = np.array([None, half], dtype=object)
    seen = imaged_ground(pavements, places=np.array([[1, 0], [2, 0]]), parts=parts, grid=GRID)
    assert seen[0].equals(
        shapely.union_all([shapely.box(1.0, 1.0, 4.0, 3.0), shapely.box(8.0, 1.0, 10.0, 3.0)])
    )
    assert seen[1] is pavements[1]


def test_missing_cells_in_rows_and_columns_are_all_taken_away() -> None:
    pavement = np.array([shapely.box(0.0, 0.0, 16.0, 16.0)])
    places = np.array([[3, 0], [0, 0], [1, 0], [1, 1], [3, 3]])
    nothing = np.full(len(places), None, dtype=object)
    (seen,) = imaged_ground(pavement, places=places, parts=nothing, grid=GRID)
    assert seen.area == 16.0 * (16 - 5)
    none_missing = imaged_ground(
        pavement, places=np.empty((0, 2), np.int64), parts=np.empty(0, object), grid=GRID
    )
    assert none_missing[0] is pavement[0]
