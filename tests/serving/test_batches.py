"""A batch of mixed chips: stacks of one shape, results in order, one bad chip alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pavemap.geo.errors import BadInput
from pavemap.serving.batches import check_chip, predict_batch

Array = NDArray[np.uint8]

POISON = 13


def values(result: Array | Exception) -> list[int]:
    assert isinstance(result, np.ndarray)
    return [int(value) for value in np.unique(result)]


def chip(height: int, width: int, value: int) -> Array:
    return np.full((height, width, 3), value, np.uint8)


class Network:
    """Gives each pixel its red value back; can't stand 13. Remembers the stacks it was given."""

    def __init__(self) -> None:
        self.stacks: list[tuple[int, ...]] = []

    def predict(self, chips: Array) -> Array:
        self.stacks.append(chips.shape)
        if (chips == POISON).any():
            raise ValueError("thirteen")
        return chips[..., 0]


def test_chips_of_one_shape_go_as_one_stack_and_results_keep_their_order() -> None:
    network = Network()
    results = predict_batch(network.predict, [chip(4, 6, 1), chip(5, 5, 2), chip(4, 6, 3)])
    assert [values(result) for result in results] == [[1], [2], [3]]
    assert [result.shape for result in results if isinstance(result, np.ndarray)] == [
        (4, 6),
        (5, 5),
        (4, 6),
    ]
    assert sorted(network.stacks) == [(1, 5, 5, 3), (2, 4, 6, 3)]


def test_a_chip_that_fails_costs_its_neighbours_nothing() -> None:
    results = predict_batch(Network().predict, [chip(4, 4, 1), chip(4, 4, POISON), chip(4, 4, 3)])
    assert isinstance(results[1], ValueError)
    assert [values(results[i]) for i in (0, 2)] == [[1], [3]]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((4, 4, 3), np.uint16),
    ],
)
def test_what_is_no_chip_is_refused(wrong: Array) -> None:
    with pytest.raises(BadInput, match="8-bit RGB"):
        check_chip(wrong)
