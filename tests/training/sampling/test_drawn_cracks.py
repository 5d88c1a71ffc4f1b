"""Cracks drawn into a crop are dark where their labels are, and bend as cracks do."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pavemap.training.sampling.drawn_cracks import with_crack
from pavemap.training.sampling.strokes import CRACK_ROUGHNESS, axes, course
from training.drawing import shares_changed

SIDE = 160
Drawn = tuple[NDArray[np.uint8], NDArray[np.float32]]


def drawn(seed: int, *, channels: int = 3, labels: NDArray[np.float32] | None = None) -> Drawn:
    even = np.full((SIDE, SIDE, channels), 128, np.uint8)
    labels = np.zeros((SIDE, SIDE), np.float32) if labels is None else labels
    return with_crack(np.random.default_rng(seed), even, labels)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_crack_is_dark_where_it_is_labelled_and_nothing_else_changes(channels: int) -> None:
    seen = 0
    for seed in range(20):
        pixels, labels = drawn(seed, channels=channels)
        assert pixels.shape == (SIDE, SIDE, channels)
        assert labels.min() >= 0
        assert labels.max() <= 1
        assert (pixels[labels > 0.6] < 118).all()
        assert (np.abs(pixels[labels < 0.01].astype(int) - 128) <= 2).all()
        seen += int((labels > 0.5).any())
    assert seen >= 15  # of 20: some end before they reach the crop


def test_what_was_labelled_stays_so_and_the_seed_decides() -> None:
    labels = np.zeros((SIDE, SIDE), np.float32)
    labels[20:24] = 1
    first, second = drawn(1, labels=labels), drawn(2, labels=labels)
    assert (first[1][20:24] == 1).all()
    assert np.array_equal(first[0], drawn(1, labels=labels)[0])
    assert not np.array_equal(first[0], second[0])


def test_a_course_bends_at_all_sizes_by_its_roughness() -> None:
    """Of a self-affine line, the spread over a distance grows as the distance to its exponent."""
    _, along = axes(np.random.default_rng(0), 1024, 0.0)
    one_line = along[:, 0]
    near, far = 8, 64
    spreads = []
    for seed in range(40):
        line = course(np.random.default_rng(seed), one_line, finest_px=2, coarsest_px=512)
        assert line.shape == one_line.shape
        spreads.append([np.std(line[step:] - line[:-step]) for step in (near, far)])
    small, large = np.mean(spreads, axis=0)
    exponent = np.log(large / small) / np.log(far / near)
    assert abs(exponent - CRACK_ROUGHNESS) < 0.15


def test_a_course_without_fine_bends_is_smooth() -> None:
    along = np.arange(400, dtype=np.float32)
    smooth = course(np.random.default_rng(0), along, finest_px=50, coarsest_px=200)
    ragged = course(np.random.default_rng(0), along, finest_px=3, coarsest_px=200)
    bends = [np.abs(np.diff(line, 2)).mean() for line in (smooth, ragged)]
    assert bends[1] > 3 * bends[0]


def test_the_share_of_crops_is_as_configured_and_they_are_labelled() -> None:
    differs = shares_changed("drawn_cracks", "labels", side_px=SIDE)
    assert 0.1 < differs[0] < 0.45
    assert differs[1] > 0.7  # some end before they reach the crop
