"""Patches cut on the fly: the right pixels, in the paper's ratio, the same for any worker count."""

from hashlib import sha256

import numpy as np
import pytest

from pavemap.training.data.datasets import LabelledImage
from pavemap.training.errors import BadTrainingData
from pavemap.training.sampling.patches import PatchSampler
from training.drawing import draw_image


def numbered(
    height: int, width: int, cracks: list[tuple[int, int]], base: int = 0
) -> LabelledImage:
    """An image whose pixels say where they are."""
    pixels = (np.arange(height * width).reshape(height, width, 1) + base).astype(np.uint8)
    crack = np.zeros((height, width), dtype=bool)
    for row, column in cracks:
        crack[row, column] = True
    return LabelledImage("numbered", pixels, crack, np.zeros_like(crack))


def test_a_patch_is_centred_on_its_pixel_and_mirrored_beyond_the_image() -> None:
    image = numbered(4, 4, [(0, 0)])
    sampler = PatchSampler(
        [[image]], weights=[1], before_px=2, after_px=2, size=3, negatives_per_positive=0, seed=1
    )
    batch = sampler.batch(0, size=4, first=0, last=1)
    assert batch.pixels[0, :, :, 0].tolist() == [
        [5, 4, 4, 5, 6],
        [1, 0, 0, 1, 2],
        [1, 0, 0, 1, 2],
        [5, 4, 4, 5, 6],
        [9, 8, 8, 9, 10],
    ]
    assert batch.labels[0].tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_images_of_different_sizes_share_a_sampler() -> None:
    small, large = numbered(4, 4, [(1, 2)]), numbered(5, 7, [(3, 3)], base=100)
    sampler = PatchSampler(
        [[small, large]],
        weights=[1],
        before_px=1,
        after_px=1,
        size=1,
        negatives_per_positive=0,
        seed=0,
    )
    batch = sampler.batch(0, size=64, first=0, last=64)
    assert set(batch.pixels[:, 1, 1, 0].tolist()) == {1 * 4 + 2, 100 + 3 * 7 + 3}
    assert batch.labels.min() == 1


def test_one_in_four_patches_has_a_crack_in_its_centre() -> None:
    sampler = PatchSampler(
        [[draw_image(0), draw_image(1)]], weights=[1], before_px=13, after_px=13, size=5
    )
    batch = sampler.batch(3, size=256, first=0, last=256)
    assert batch.pixels.shape == (256, 27, 27, 3)
    assert batch.labels.shape == (256, 5, 5)
    assert batch.labels[:, 2, 2].sum() == 64


def test_ignored_pixels_are_never_centres() -> None:
    image = numbered(8, 8, [(2, 2), (5, 5)])
    image.ignore[:, 4:] = True
    sampler = PatchSampler([[image]], weights=[1], before_px=1, after_px=1, size=1, seed=0)
    batch = sampler.batch(0, size=200, first=0, last=200)
    assert (batch.pixels[:, 1, 1, 0] % 8).max() == 3


def test_a_batch_is_the_same_every_time_and_for_any_number_of_workers() -> None:
    sampler = PatchSampler(
        [[draw_image(0)]], weights=[1], before_px=19, after_px=16, size=5, flips=True, seed=7
    )
    whole = sampler.batch(5, size=32, first=0, last=32)
    parts = [sampler.batch(5, size=32, first=first, last=first + 8) for first in range(0, 32, 8)]
    assert np.array_equal(np.concatenate([part.pixels for part in parts]), whole.pixels)
    assert np.array_equal(np.concatenate([part.labels for part in parts]), whole.labels)
    assert not np.array_equal(sampler.batch(6, size=32, first=0, last=32).pixels, whole.pixels)


def test_a_turned_patch_keeps_its_pixel_and_turns_its_label_along() -> None:
    image = draw_image(2)
    sampler = PatchSampler(
        [[image]], weights=[1], before_px=4, after_px=2, size=5, flips=True, seed=0
    )
    batch = sampler.batch(0, size=256, first=0, last=256)
    dark = batch.pixels[:, 2:7, 2:7].mean(-1) < 105  # the window around the centre at (4, 4)
    assert (dark == (batch.labels > 0)).mean() > 0.98


def test_images_without_any_crack_are_refused() -> None:
    with pytest.raises(BadTrainingData, match="no training image"):
        PatchSampler([[numbered(8, 8, [])]], weights=[1], before_px=1, after_px=1, size=1)


def test_a_set_is_drawn_from_as_often_as_its_weight_says() -> None:
    small = [numbered(8, 8, [(2, 2)])]
    large = [numbered(8, 8, [(3, 3), (4, 4), (5, 5)], base=100) for _ in range(3)]
    sampler = PatchSampler(
        [small, large, []], weights=[3, 1, 5], before_px=1, after_px=1, size=1, seed=0
    )
    batch = sampler.batch(0, size=2000, first=0, last=2000)
    crack = batch.labels[:, 0, 0] > 0
    for of_kind in (crack, ~crack):
        assert abs((batch.pixels[of_kind, 1, 1, 0] < 100).mean() - 0.75) < 0.06


def test_a_set_that_is_mostly_ignored_is_drawn_from_by_its_weight_too() -> None:
    known = numbered(40, 40, [(20, column) for column in range(40)])
    known.pixels[:] = 50
    reviewed = numbered(40, 40, [(20, column) for column in range(40)])
    reviewed.pixels[:] = 200
    reviewed.ignore[:18] = reviewed.ignore[23:] = True  # 4 of 40 rows are known to be sound
    unknown = numbered(40, 40, [])
    unknown.ignore[:] = True
    sampler = PatchSampler(
        [[known], [reviewed], [unknown]],
        weights=[3, 1, 5],
        before_px=1,
        after_px=1,
        size=1,
        seed=0,
    )
    batch = sampler.batch(0, size=4000, first=0, last=4000)
    crack = batch.labels[:, 0, 0] > 0
    for of_kind in (crack, ~crack):
        assert abs((batch.pixels[of_kind, 1, 1, 0] == 50).mean() - 0.75) < 0.04


@pytest.mark.parametrize(
    ("sets", "weights", "drawn"),
    [
        ([[0, 1]], [1.0], "e62afca44a9d480d"),
        ([[0, 1], [2]], [3.0, 1.0], "9fc922d336ad0aee"),
    ],
)
def test_what_is_drawn_stays_as_it_was_when_figures_were_measured(
    sets: list[list[int]], weights: list[float], drawn: str
) -> None:
    images = [[draw_image(seed) for seed in some] for some in sets]
    sampler = PatchSampler(
        images, weights=weights, before_px=4, after_px=2, size=5, flips=True, seed=7
    )
    digest = sha256()
    for iteration in range(3):
        batch = sampler.batch(iteration, size=64, first=0, last=64)
        digest.update(batch.pixels.tobytes())
        digest.update(batch.labels.tobytes())
    assert digest.hexdigest()[:16] == drawn


def test_ignored_pixels_in_a_window_teach_nothing() -> None:
    image = numbered(8, 8, [(2, 2), (5, 2)])
    image.ignore[:, 4:] = True
    sampler = PatchSampler(
        [[image]], weights=[1], before_px=1, after_px=1, size=3, flips=True, seed=0
    )
    batch = sampler.batch(0, size=200, first=0, last=200)
    assert batch.weights is not None
    unknown = batch.pixels[:, :, :, 0] % 8 >= 4
    at_the_edge = (batch.pixels[:, 1, 1, 0] % 8 == 7) | (batch.pixels[:, 1, 1, 0] % 8 == 0)
    assert unknown[~at_the_edge].any()
    assert np.array_equal(batch.weights[~at_the_edge] == 0, unknown[~at_the_edge])


def test_images_without_any_sound_pixel_are_refused() -> None:
    image = numbered(8, 8, [(row, column) for row in range(8) for column in range(8)])
    with pytest.raises(BadTrainingData, match="sound pixel"):
        PatchSampler([[image]], weights=[1], before_px=1, after_px=1, size=1)
