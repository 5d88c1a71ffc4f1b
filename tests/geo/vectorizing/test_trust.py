"""How far lines can be trusted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavemap.geo.errors import BadInput
from pavemap.geo.lines.flat_lines import Polylines, clip
from pavemap.geo.vectorizing.trust import Trust, sure_lengths
from pavemap.geo.vectorizing.vectorize import VectorizeParams, trace_lines

HALF = np.repeat(np.array([[100, 200]], np.uint8), 5, axis=1).repeat(10, axis=0)  # 5 columns each


def one(*points: tuple[float, float]) -> Polylines:
    return Polylines(np.array([(x, y, 1.0) for x, y in points]), np.array([0, len(points)]))


@pytest.mark.parametrize(
    ("line", "length"),
    [
        (one((1.0, 3.5), (9.0, 3.5)), 4.0),
        (one((9.0, 3.5), (1.0, 3.5)), 4.0),
        (one((5.0, 1.0), (5.0, 7.0)), 6.0),  # on a side: in the pixels right of it
        (one((4.0, 2.0), (6.0, 4.0)), np.sqrt(2.0)),
        (one((1.0, 1.0), (1.0, 1.0), (7.5, 1.0), (7.5, 3.25)), 2.5 + 2.25),
        (one((8.0, 9.0), (12.0, 9.0)), 4.0),  # beyond the picture counts as its last pixels
    ],
)
def test_length_within_sure_pixels(line: Polylines, length: float) -> None:
    assert sure_lengths(line, HALF, threshold=0.5) == pytest.approx([length])
    assert sure_lengths(line, HALF, threshold=None) == pytest.approx(line.lengths)
    assert sure_lengths(line, HALF, threshold=0.9) == pytest.approx([0.0])


def test_the_mean_probability_along_a_line() -> None:
    line = one((1.0, 3.5), (9.0, 3.5))
    trust = Trust.of(line, HALF, sure_threshold=0.5)
    assert trust.confidence == pytest.approx([150 / 255])
    assert trust.sure == pytest.approx([0.5])
    assert Trust.of(line, HALF, sure_threshold=None).sure == pytest.approx([1.0])


def test_of_no_lines_there_is_nothing_to_say() -> None:
    nothing = Polylines(np.empty((0, 3)), np.zeros(1, np.int64))
    assert len(sure_lengths(nothing, HALF, threshold=0.5)) == 0
    assert len(Trust.of(nothing, HALF, sure_threshold=0.5).confidence) == 0


@given(
    path=st.lists(st.tuples(st.integers(0, 4096), st.integers(0, 4096)), min_size=2, max_size=9),
    side=st.integers(1, 15),
    seed=st.integers(0, 9),
)
def test_parts_of_a_line_cut_along_pixels_sum_to_the_line(
    path: list[tuple[int, int]], side: int, seed: int
) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (16, 16)).astype(np.uint8)
    line = one(*((x / 256, y / 256) for x, y in path))
    whole = sure_lengths(line, picture, threshold=0.5).sum()
    parts = sum(
        float(sure_lengths(clip(line, box)[0], picture, threshold=0.5).sum())
        for box in ((-1, -1, side, 99), (side, -1, 99, 99))
    )
    assert parts == pytest.approx(whole, abs=1e-9)


def test_a_faint_line_is_dropped_whole_and_a_sure_one_kept_whole() -> None:
    picture = np.zeros((128, 256), np.uint8)
    picture[30:34, 20:230] = 100
    picture[90:94, 20:230] = 100
    picture[90:94, 40:100] = 220
    params = VectorizeParams(threshold=0.3, min_length_m=50.0, sure_threshold=0.7)
    (line,) = [trace_lines(picture, params=params, min_length_px=50.0)]
    assert len(line) == 1
    assert line.lengths[0] == pytest.approx(210, abs=3)
    assert line.points[:, 1].mean() == pytest.approx(92, abs=0.5)
    plain = VectorizeParams(threshold=0.3, min_length_m=50.0)
    assert len(trace_lines(picture, params=plain, min_length_px=50.0)) == 2


def test_a_sure_threshold_without_meaning_is_refused() -> None:
    with pytest.raises(BadInput, match="sure_threshold must be within 0 and 1"):
        VectorizeParams(sure_threshold=1.5)
