"""Joints, paint and stains drawn into a crop are no cracks, and hide those under them."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pavemap.training.sampling.distractors import FAINT, KINDS, draw, with_distractors
from pavemap.training.sampling.drawn_cracks import with_crack
from training.drawing import draw_image, shares_changed

SIDE = 96
Drawn = tuple[NDArray[np.uint8], NDArray[np.float32]]


def labelled(channels: int = 3) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    image = draw_image(0, height=SIDE, width=SIDE, channels=channels)
    return image.pixels, image.crack.astype(np.float32)


def drawn(seed: int, *, channels: int = 3, weights: NDArray[np.float32] | None = None) -> Drawn:
    pixels, labels = labelled(channels)
    weights = np.ones_like(labels) if weights is None else weights
    return with_distractors(np.random.default_rng(seed), pixels, labels, weights)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_seed_draws_the_same_and_another_something_else(channels: int) -> None:
    before, _ = labelled(channels)
    first, second = drawn(1, channels=channels), drawn(2, channels=channels)
    assert first[0].shape == before.shape
    assert np.array_equal(first[0], drawn(1, channels=channels)[0])
    assert not np.array_equal(first[0], before)
    assert not np.array_equal(first[0], second[0])


def test_only_cracks_that_are_covered_teach_nothing() -> None:
    pixels, labels = labelled()
    near = np.zeros_like(labels, bool)
    for row, column in np.argwhere(labels > 0):
        near[max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = True
    hidden = 0
    for seed in range(40):
        changed, weights = drawn(seed)
        unsure = weights == 0
        assert set(np.unique(weights)) <= {0, 1}
        assert not (unsure & ~near).any()
        assert (changed[unsure] != pixels[unsure]).any() or not unsure.any()
        hidden += int(unsure.any())
    assert hidden > 10  # of 40


def test_ground_beyond_a_drawn_crack_teaches_what_a_distractor_is() -> None:
    """The soft edge of a drawn crack has no end; where next to nothing is left of it, it is none."""
    even = np.full((SIDE, SIDE, 3), 150, np.uint8)
    unsure, beyond = 0, 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        pixels, labels = with_crack(rng, even, np.zeros((SIDE, SIDE), np.float32))
        near = np.asarray(cv2.dilate((labels > FAINT).astype(np.uint8), np.ones((5, 5))) > 0)
        _, weights = with_distractors(rng, pixels, labels, np.ones_like(labels))
        unsure += int((weights == 0).sum())
        beyond += int(((weights == 0) & ~near).sum())
    assert unsure > 0
    assert beyond == 0


def test_what_was_to_be_ignored_stays_so() -> None:
    weights = np.ones((SIDE, SIDE), np.float32)
    weights[:20] = 0
    for seed in range(10):
        assert not drawn(seed, weights=weights)[1][:20].any()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_seen(kind: str) -> None:
    before, _ = labelled()
    found = [draw(np.random.default_rng(seed), before, [kind])[0] for seed in range(10)]
    assert np.median([np.abs(pixels.astype(int) - before).max() for pixels in found]) > 10  # of 255


def test_a_joint_is_a_line_across_the_crop() -> None:
    even = np.full((SIDE, SIDE, 3), 128, np.uint8)
    long = 0
    for seed in range(20):
        pixels, covered = draw(np.random.default_rng(seed), even, ["joint"])
        differs = np.abs(pixels[:, :, 0].astype(int) - 128) > 8
        assert covered[differs].mean() > 0.3  # the rest is broken edges beside it
        long += int(max(np.ptp(places) for places in np.nonzero(differs)) > SIDE // 2)
    assert long >= 15


def test_the_share_of_crops_is_as_configured() -> None:
    differs = shares_changed("distractors", "pixels", side_px=SIDE)
    assert 0.15 < differs[0] < 0.45
    assert differs[1] > 0.95
