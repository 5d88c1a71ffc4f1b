"""Thresholds that keep crack lengths true."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from pavemap.geo.vectorize import VectorizeParams
from pavemap.training.lengths import best_threshold, crack_length_px, length_ratios


def test_a_drawn_lines_length() -> None:
    picture = np.zeros((120, 300), np.uint8)
    picture[58:63, 20:270] = 255
    # An end of a thick line is where a disc of its width still fits: within half a width.
    assert crack_length_px(picture, VectorizeParams()) == pytest.approx(250, abs=3)


def test_the_ratio_of_found_to_labelled() -> None:
    label = np.zeros((120, 300), bool)
    label[58:63, 20:270] = True
    found = np.where(label, 204, 0).astype(np.uint8)
    found[:, 150:] //= 2  # the right half is found with 0.4 only
    ratios = length_ratios([found], [label], thresholds=[0.3, 0.6, 0.9], vectorize={})
    assert ratios[0.3] == pytest.approx(1.0, abs=0.02)
    assert ratios[0.6] == pytest.approx(0.52, abs=0.03)
    assert ratios[0.9] == 0.0


def test_the_truest_length_wins_among_nearly_the_best() -> None:
    f1 = {0.3: 0.800, 0.4: 0.898, 0.5: 0.900, 0.6: 0.896}
    ratios = [{0.3: 1.0, 0.4: 1.3, 0.5: 1.1, 0.6: 0.96}, {0.3: 1.0, 0.4: 1.2, 0.5: 1.1, 0.6: 1.02}]
    assert best_threshold(f1, ratios) == 0.6
    assert best_threshold(f1, [{**ratios[0], 0.4: 1.0}, {**ratios[1], 0.4: 1.0}]) == 0.4


def test_a_curved_crack_keeps_its_length_at_its_threshold() -> None:
    picture = np.zeros((300, 300), np.uint8)
    cv2.circle(picture, (150, 150), 100, 255, 4, cv2.LINE_AA)
    assert crack_length_px(picture, VectorizeParams()) == pytest.approx(2 * np.pi * 100, rel=0.01)
