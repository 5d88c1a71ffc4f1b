"""Thresholds that keep crack lengths true."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from pavemap.geo.vectorizing.vectorize import VectorizeParams
from pavemap.training.scoring.lengths import (
    LABELLED,
    crack_lines,
    found_m,
    found_ratios,
    labelled_m,
    length_and_area,
    sizes_by_threshold,
    truest,
)


def length_px(picture: NDArray[np.uint8]) -> float:
    return float(shapely.length(crack_lines(picture, LABELLED, gsd_m=0.002)).sum())


def test_a_drawn_line_in_metres() -> None:
    picture = np.zeros((120, 300), np.uint8)
    picture[58:63, 20:270] = 255
    length_m, area_m2 = length_and_area(crack_lines(picture, LABELLED, gsd_m=0.002), gsd_m=0.002)
    assert length_m == pytest.approx(0.5, abs=0.01)
    assert area_m2 == pytest.approx(0.5 * 0.01, rel=0.02)
    assert not length_and_area(np.empty(0, object), gsd_m=0.002).any()


def test_a_drawn_lines_length() -> None:
    picture = np.zeros((120, 300), np.uint8)
    picture[58:63, 20:270] = 255
    # An end of a thick line is where a disc of its width still fits: within half a width.
    assert length_px(picture) == pytest.approx(250, abs=3)


def test_the_ratio_of_found_to_labelled() -> None:
    label = np.zeros((120, 300), bool)
    label[58:63, 20:270] = True
    found = np.where(label, 204, 0).astype(np.uint8)
    found[:, 150:] //= 2  # the right half is found with 0.4 only
    thresholds = [0.3, 0.6, 0.9]
    sizes = sizes_by_threshold(found, label, thresholds=thresholds, vectorize={}, gsd_m=0.002)
    ratios, areas = found_ratios([sizes], thresholds=thresholds)
    assert ratios[0.3] == pytest.approx(1.0, abs=0.02)
    assert ratios[0.6] == pytest.approx(0.52, abs=0.03)
    assert ratios[0.9] == 0.0
    assert 0.3 < areas[0.6] < ratios[0.6] < areas[0.3] < 1.2  # grey by the threshold is narrow
    assert areas[0.9] == 0.0
    nothing = np.zeros_like(sizes)
    nothing[0] = sizes[0]  # another image, in which nothing is found
    both, _ = found_ratios([sizes, nothing], thresholds=thresholds)
    assert both[0.3] == pytest.approx(ratios[0.3] / 2)


def test_an_image_is_measured_as_a_survey_of_its_own() -> None:
    picture = np.zeros((200, 300), np.uint8)
    picture[50:55, 0:20] = 255  # short, and cut by the image's side
    picture[120:125, 0:300] = 128  # long, and sure nowhere
    picture[160:165, 100:300] = 230
    params = VectorizeParams(threshold=0.4, min_length_m=0.1, sure_threshold=0.7)
    (line,) = crack_lines(picture, params, gsd_m=0.002)
    assert line.bounds == pytest.approx((100, 162.5, 300, 162.5), abs=2)


def test_the_truest_length_wins_among_nearly_the_best() -> None:
    f1 = {0.3: 0.800, 0.4: 0.898, 0.5: 0.900, 0.6: 0.896}
    ratios = [{0.3: 1.0, 0.4: 1.3, 0.5: 1.1, 0.6: 0.96}, {0.3: 1.0, 0.4: 1.2, 0.5: 1.1, 0.6: 1.02}]
    assert truest(f1, ratios) == 0.6
    assert truest(f1, [{**ratios[0], 0.4: 1.0}, {**ratios[1], 0.4: 1.0}]) == 0.4


def test_without_any_ratio_the_best_f1_wins() -> None:
    assert truest({0.3: 0.898, 0.4: 0.9, 0.5: 0.899}, []) == 0.4


def test_metres_of_a_set_that_is_sound_are_told_and_no_ratio() -> None:
    sizes = [np.array([[0.0, 0.0], [3.0, 0.01], [0.0, 0.0]])] * 2
    assert labelled_m(sizes) == 0.0
    assert found_m(sizes, thresholds=[0.5, 0.9]) == {0.5: 6.0, 0.9: 0.0}


def test_a_curved_crack_keeps_its_length_at_its_threshold() -> None:
    picture = np.zeros((300, 300), np.uint8)
    cv2.circle(picture, (150, 150), 100, 255, 4, cv2.LINE_AA)
    assert length_px(picture) == pytest.approx(2 * np.pi * 100, rel=0.01)
