"""Cracks that fade or break are followed as far as is stated, and no farther."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from drawn_cracks import Picture, drawing, lines_of, random_cracks
from pavemap.geo.lines.flat_lines import clip
from pavemap.geo.vectorizing.hysteresis import REACH_PX, crack_mask
from pavemap.geo.vectorizing.vectorize import VectorizeParams, trace_lines

CLOSING = VectorizeParams(gap_px=8.0, gap_angle_deg=30.0)


def dashed(gap: int, *, aside: int = 0) -> Picture:
    """Two level cracks of 40 pixels, 5 wide, `gap` pixels apart and `aside` beside each other."""
    drawn = np.zeros((60, 120), np.uint8)
    drawn[20:25, 10:50] = 255
    drawn[20 + aside : 25 + aside, 50 + gap : 90 + gap] = 255
    return drawn


def test_ends_that_face_each_other_are_joined() -> None:
    (crack,) = lines_of(dashed(6), CLOSING)
    assert crack.length == pytest.approx(86, abs=1)
    assert len(lines_of(dashed(6))) == 2


@pytest.mark.parametrize(("gap", "aside"), [(11, 0), (3, 7)])
def test_too_far_or_too_much_aside_stays_two(gap: int, aside: int) -> None:
    assert len(lines_of(dashed(gap, aside=aside), CLOSING)) == 2


def test_the_end_of_one_and_the_side_of_another_are_not_joined() -> None:
    drawn = dashed(80)
    drawn[5:50, 54:59] = 255
    assert len(lines_of(drawn, CLOSING)) == 2


def test_a_broken_ring_is_closed_and_a_short_line_is_not_bent_round() -> None:
    t = np.linspace(0, 2 * np.pi, 900)
    x, y = (60 + 40 * wave for wave in (np.cos(t), np.sin(t)))
    body = shapely.LineString(np.column_stack([x, y])[12:-12]).buffer(2.5)
    rows, cols = np.mgrid[0:120, 0:120]
    drawn = np.where(shapely.contains_xy(body, cols + 0.5, rows + 0.5), 255, 0).astype(np.uint8)
    (ring,) = lines_of(drawn, VectorizeParams(gap_px=8.0))
    assert ring.is_ring
    assert ring.length == pytest.approx(2 * np.pi * 40, rel=0.02)


def test_joined_lines_count_as_one_network() -> None:
    params = VectorizeParams(gap_px=8.0, min_length_m=0.070)  # pixels of 1 mm
    assert len(lines_of(dashed(6), params)) == 1
    assert len(lines_of(dashed(6), VectorizeParams(min_length_m=0.070))) == 0


def test_weak_pixels_count_near_strong_ones() -> None:
    probability = np.zeros((3, 30), np.uint8)
    probability[1, 2:25] = 100
    probability[1, 4] = 200
    mask = crack_mask(probability, threshold=0.6, low_threshold=0.3)
    assert drawing(mask)[1] == "..###########" + 17 * "."  # 4 is strong, and 8 steps on
    assert REACH_PX == 8
    assert crack_mask(probability, threshold=0.6, low_threshold=None).sum() == 1
    assert crack_mask(probability, threshold=0.3, low_threshold=0.6).sum() == 23


@pytest.mark.parametrize("seed", range(3))
def test_windows_agree_on_gaps_and_weak_pixels(seed: int) -> None:
    whole = random_cracks(700, cracks=9, seed=seed)
    params = VectorizeParams(threshold=0.6, low_threshold=0.35, gap_px=8.0, gap_angle_deg=40.0)
    start = 160
    wide, _ = clip(trace_lines(whole, params=params), (224, 224, 480, 480))
    window = trace_lines(whole[start:544, start:544], params=params)
    narrow, _ = clip(window, (64, 64, 320, 320))
    plain, _ = clip(trace_lines(whole, params=VectorizeParams(threshold=0.6)), (224, 224, 480, 480))
    assert narrow.lengths.sum() == pytest.approx(wide.lengths.sum(), rel=1e-9)
    assert len(narrow) == len(wide)
    assert wide.lengths.sum() > 1.02 * plain.lengths.sum()
