"""Which edges of a network of cracks bound ground: all but loose ends, however long these are."""

from __future__ import annotations

import time

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pavemap.geo.measures.crack_patterns import _bound_something

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
