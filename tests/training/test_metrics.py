"""The paper's metric on masks drawn by hand, the answers counted by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavemap.training.metrics import (
    Counts,
    Score,
    count,
    figures,
    image_counts,
    mean_score,
    pooled_score,
)
from training.drawing import mask_of

TRUTH = mask_of(
    "..........",
    "..........",
    "..........",
    "...####...",
    "..........",
    "..........",
    "..........",
    "..........",
    "..........",
    "..........",
)


def shifted(rows: int, columns: int) -> np.ndarray:
    return np.roll(TRUTH, (rows, columns), (0, 1))


def test_the_same_mask_scores_one() -> None:
    assert count(TRUTH, TRUTH).score.f1 == 1.0


@pytest.mark.parametrize(("rows", "columns"), [(2, 0), (0, 1), (2, 1), (-1, -1)])
def test_two_pixels_off_in_each_axis_is_still_right(rows: int, columns: int) -> None:
    """The window is a 5x5 square, so a diagonal of (2, 2) counts as well as (2, 0)."""
    score = count(shifted(rows, columns), TRUTH).score
    assert (score.precision, score.recall) == (1.0, 1.0)


def test_three_pixels_off_is_wrong() -> None:
    score = count(shifted(3, 0), TRUTH).score
    assert (score.precision, score.recall, score.f1) == (0.0, 0.0, 0.0)


def test_a_tolerance_of_zero_is_plain_overlap() -> None:
    counts = count(shifted(0, 1), TRUTH, tolerance_px=0)
    assert counts == Counts(detected=4, right=3, true=4, found=3)


def test_half_found_and_one_false_pixel() -> None:
    detected = mask_of(
        "..........",
        "..........",
        "..........",
        "...#......",
        "..........",
        "..........",
        "..........",
        ".......#..",
        "..........",
        "..........",
    )
    # The pixel at column 3 stands by columns 1 to 5, so it finds 3 of the true columns 3 to 6.
    counts = count(detected, TRUTH)
    assert counts == Counts(detected=2, right=1, true=4, found=3)
    assert counts.score.f1 == pytest.approx(2 * 0.5 * 0.75 / 1.25)


def test_the_frame_is_not_counted_but_stands_by_pixels_inside() -> None:
    truth = np.zeros((10, 10), dtype=bool)
    truth[1, 5] = True  # in the frame
    detected = np.zeros((10, 10), dtype=bool)
    detected[2, 5] = True  # just inside
    assert count(detected, truth) == Counts(detected=1, right=1, true=0, found=0)
    assert count(truth, detected) == Counts(detected=0, right=0, true=1, found=1)


def test_ignored_pixels_are_not_counted() -> None:
    ignore = np.zeros_like(TRUTH)
    ignore[:, :5] = True
    assert count(TRUTH, TRUTH, ignore=ignore).true == 2


def test_an_empty_map_of_a_sound_road_is_perfect_and_of_a_cracked_one_worthless() -> None:
    empty = np.zeros_like(TRUTH)
    assert count(empty, empty).score.f1 == 1.0
    assert count(empty, TRUTH).score.f1 == 0.0
    assert count(TRUTH, empty).score.f1 == 0.0


def test_the_mean_over_images_is_not_the_pooled_figure() -> None:
    small = Counts(detected=1, right=1, true=1, found=1)
    large = Counts(detected=99, right=0, true=99, found=0)
    assert mean_score([small, large]).f1 == 0.5
    assert pooled_score([small, large]).f1 == pytest.approx(0.01)


def test_three_pixels_off_by_tolerance() -> None:
    """A line 3 pixels too low: nothing is right at 0 and 2 pixels, all of it at 5."""
    found = figures([image_counts(shifted(3, 0), TRUTH)])
    assert {px: score.f1 for px, score in found.mean.items()} == {0: 0.0, 2: 0.0, 5: 1.0}
    assert (found.ods, found.ods_pooled, found.ois) == (
        None,
        None,
        None,
    )  # a mask has no thresholds


def graded(line: float, speck: float) -> np.ndarray:
    """The true line (4 pixels) at one probability, and a false row of 4 far from it at another."""
    found = np.zeros(TRUTH.shape, np.uint8)
    found[TRUTH] = round(line * 255)
    found[7, 3:7] = round(speck * 255)
    return found


def test_one_threshold_for_the_set_and_one_for_each_image() -> None:
    """The first image wants a threshold over 0.30, the second one of at most 0.20.

    Above 0.30 the first scores 1 and the second finds nothing: 0.5. At 0.20 or below the second
    scores 1 and the first has precision 1/2, recall 1, F1 2/3: 5/6 for one threshold, 1 for two.
    Pooled at 0.20: 12 detected, 8 right, 8 true, all found: P 2/3, R 1, F1 4/5.
    """
    found = figures([image_counts(graded(0.9, 0.3), TRUTH), image_counts(graded(0.2, 0.0), TRUTH)])
    assert found.ods is not None
    assert found.ods_pooled is not None
    assert found.ods.f1 == pytest.approx(5 / 6)
    assert found.ods.threshold == 0.05
    assert found.ods_pooled.f1 == pytest.approx(0.8)
    assert found.ois == 1.0
    assert found.mean[2] == Score(0.5, 0.5, 0.5)  # at 0.5
    assert found.to_dict()["ods"] == {"f1": 0.8333, "threshold": 0.05}


def test_ignored_pixels_are_in_no_figure() -> None:
    everywhere = np.ones_like(TRUTH)
    ignore = ~TRUTH
    assert figures([image_counts(everywhere, TRUTH, ignore=ignore)]).pooled[0].f1 == 1.0


@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_precision_and_recall_swap_with_their_masks(seed: int, tolerance: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.random((2, 20, 20)) < 0.1
    forward = count(one, other, tolerance_px=tolerance)
    backward = count(other, one, tolerance_px=tolerance)
    assert (forward.detected, forward.right) == (backward.true, backward.found)
    assert (forward.true, forward.found) == (backward.detected, backward.right)
