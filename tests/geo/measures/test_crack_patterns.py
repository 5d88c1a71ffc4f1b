"""Networks of cracks: which edges bound ground, and ground in tiles, both at a cost by the length alone."""

from __future__ import annotations

import time

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pavemap.geo.arrays import object_array
from pavemap.geo.measures.crack_patterns import _bound_something, _tiled

Nodes = NDArray[np.int64]


def bounding(nodes: Nodes) -> NDArray[np.bool_]:
    return _bound_something(nodes, np.bincount(nodes.ravel()))


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=25))
def test_what_is_left_is_what_rounds_of_taking_off_leave(edges: list[tuple[int, int]]) -> None:
    nodes = np.array(edges, np.int64).reshape(-1, 2)
    keep = np.ones(len(nodes), np.bool_)
    while True:
        degree = np.bincount(nodes[keep].ravel(), minlength=13)
        loose = keep & (degree[nodes] == 1).any(axis=1)
        if not loose.any():
            break
        keep &= ~loose
    assert bounding(nodes).tolist() == keep.tolist()


def comb(teeth: int) -> Nodes:
    """A spine with a loose branch at each of its nodes, and a loop at its end."""
    spine = np.arange(teeth)
    along = np.column_stack([spine[:-1], spine[1:]])
    branches = np.column_stack([spine, teeth + spine])
    return np.concatenate([along, branches, [[teeth - 1, teeth - 1]]])


def cpu_s(teeth: int) -> float:
    nodes, spent = comb(teeth), []
    for _ in range(3):
        began = time.process_time()
        assert bounding(nodes).sum() == 1
        spent.append(time.process_time() - began)
    return min(spent)


def test_a_long_crack_with_branches_costs_by_its_length() -> None:
    assert cpu_s(40_000) < 24 * cpu_s(5_000)  # 8 by length, 64 by its square


boxes = st.builds(
    lambda x, y, width, height: shapely.box(x, y, x + width, y + height),
    st.floats(-5, 5),
    st.floats(-5, 5),
    st.floats(0.01, 4),
    st.floats(0.01, 4),
)


@given(st.lists(boxes, max_size=8))
def test_tiles_are_the_same_ground_without_overlap(drawn: list[shapely.Polygon]) -> None:
    tiles = _tiled(object_array(drawn), 2.0)
    whole = shapely.union_all(drawn)
    assert shapely.area(tiles).sum() == pytest.approx(whole.area)
    assert shapely.union_all(tiles).symmetric_difference(whole).area == pytest.approx(0, abs=1e-9)
    west, south, east, north = shapely.bounds(tiles).reshape(-1, 4).T
    assert max([*(east - west), *(north - south)], default=0.0) <= 2.0 + 1e-9


def test_a_long_net_is_no_more_work_for_each_of_its_lines_than_a_short_one() -> None:
    vertices = []
    for metres in (10, 100):
        cells = [
            shapely.box(x / 5, y / 5, (x + 1) / 5, (y + 1) / 5)
            for x in range(5 * metres)
            for y in range(15)
        ]
        around = shapely.buffer(object_array(cells), 0.02, quad_segs=2)
        vertices.append(shapely.get_num_coordinates(_tiled(around, 2.0)).max())
    assert vertices[1] <= vertices[0] + 8 < 200


def test_a_crack_along_a_round_number_is_counted_once() -> None:
    """36 % of it lies in the ground of a pattern: most of it does not."""
    ground = object_array([shapely.box(0, 0, 4, 0.36)])
    for x in (0.0, 1.0, 2.0, 3.0):
        line = shapely.LineString([(x, 0), (x, 1)])
        assert shapely.length(shapely.intersection(_tiled(ground, 2.0), line)).sum() < 0.37
