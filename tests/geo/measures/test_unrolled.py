"""Cracks of many pieces laid out beside a straight road."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pavemap.geo.measures.bits import Bits
from pavemap.geo.measures.unrolled import unroll


def bits(count: int, *, wide_m: float = 3.0) -> Bits:
    """Scatter pieces of one bit each over 10 m of a straight road, in no order."""
    rng = np.random.default_rng(count)
    middle = rng.uniform(0.0, (10.0, wide_m), (count, 2))
    xy = middle[:, None] + rng.normal(0.0, 0.05, (count, 2, 2))
    piece, pair, one = np.arange(count), np.zeros((count, 2)), np.zeros(count)
    return Bits(piece, 0 * piece, pair, pair, pair, one, xy, pair, one)


@pytest.mark.parametrize("count", [1, 2, 300])
def test_beside_a_straight_road_a_crack_stays_as_it_is(count: int) -> None:
    scattered = bits(count)
    laid = unroll(scattered, np.zeros(count, np.int64))
    assert laid - laid[0, 0] == pytest.approx(scattered.xy - scattered.xy[0, 0], abs=1e-9)


def test_pieces_are_not_each_compared_with_all_others() -> None:
    def seconds(count: int) -> float:
        one_crack, taken = bits(count, wide_m=0.01), []
        for _ in range(3):
            start = time.process_time()
            unroll(one_crack, np.zeros(count, np.int64))
            taken.append(time.process_time() - start)
        return min(taken)

    # Each with all others it takes 256 times as long; with those beside it some 35 times.
    assert seconds(8000) < 128 * seconds(500)
