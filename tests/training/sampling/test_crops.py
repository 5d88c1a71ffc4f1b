"""Training crops: labels move with their pixels, and no worker count or restart changes them."""

import numpy as np
import pytest

from pavemap.training.augmentation import Augmentation
from pavemap.training.errors import BadTrainingData
from pavemap.training.sampling.crops import CropSampler
from training.drawing import draw_image

STRONG = Augmentation(flips=True, scale_min=0.5, scale_max=2.0, light=0.6, blur=0.3, noise=0.5)


def test_an_unchanged_crop_is_a_part_of_its_image() -> None:
    image = draw_image(0)
    sampler = CropSampler([[image]], weights=[1], crop_px=64, augmentation=Augmentation(), seed=1)
    batch = sampler.batch(0, size=1, first=0, last=1)
    windows = np.lib.stride_tricks.sliding_window_view(image.crack, (64, 64))
    assert batch.pixels.shape == (1, 64, 64, 3)
    # Whole-pixel shifts are not promised, so compare after rounding the labels.
    assert any(
        np.mean((batch.labels[0] > 0.5) != windows[row, column]) < 0.02
        for row in range(windows.shape[0])
        for column in range(windows.shape[1])
    )


def test_labels_follow_their_pixels_through_scale_and_turn() -> None:
    turning = Augmentation(flips=True, scale_min=0.5, scale_max=2.0)
    images = [draw_image(seed) for seed in range(3)]
    sampler = CropSampler([images], weights=[1], crop_px=64, augmentation=turning, seed=3)
    batch = sampler.batch(0, size=32, first=0, last=32)
    grey = batch.pixels.mean(-1)
    assert grey[batch.labels > 0.95].mean() < 80
    assert grey[batch.labels < 0.02].mean() > 135


def test_a_batch_is_the_same_every_time_and_for_any_number_of_workers() -> None:
    sets = [[draw_image(0), draw_image(1)], [draw_image(2)]]
    sampler = CropSampler(sets, weights=[1, 2], crop_px=64, augmentation=STRONG, seed=5)
    whole = sampler.batch(9, size=4, first=0, last=4)
    parts = [sampler.batch(9, size=4, first=first, last=first + 2) for first in (0, 2)]
    assert np.array_equal(np.concatenate([part.pixels for part in parts]), whole.pixels)
    assert np.array_equal(np.concatenate([part.labels for part in parts]), whole.labels)


def test_sets_are_drawn_by_their_weights() -> None:
    bright, dark = draw_image(0), draw_image(1)
    dark.pixels[:] = dark.pixels // 4
    sampler = CropSampler(
        [[bright], [dark]], weights=[3, 1], crop_px=32, augmentation=Augmentation(), seed=0
    )
    batch = sampler.batch(0, size=400, first=0, last=400)
    assert (batch.pixels.mean((1, 2, 3)) < 60).mean() == pytest.approx(0.25, abs=0.07)


def test_crops_are_taken_near_cracks_as_often_as_told() -> None:
    image = draw_image(0, height=600, width=600)
    image.crack[:] = False
    image.crack[300, 300] = True

    def cracked(share: float) -> float:
        change = Augmentation(cracked=share)
        sampler = CropSampler([[image]], weights=[1], crop_px=64, augmentation=change, seed=0)
        labels = sampler.batch(0, size=200, first=0, last=200).labels
        return float((labels.max((1, 2)) > 0).mean())

    assert cracked(0.0) < 0.05
    assert cracked(0.5) == pytest.approx(0.5, abs=0.12)
    assert cracked(1.0) > 0.9


def test_ignored_pixels_weigh_nothing() -> None:
    image = draw_image(0)
    image.ignore[:] = True
    sampler = CropSampler([[image]], weights=[1], crop_px=64, augmentation=STRONG, seed=0)
    weights = sampler.batch(0, size=2, first=0, last=2).weights
    assert weights is not None
    assert weights.max() == 0


def test_a_crop_is_that_of_the_whole_image_without_the_work_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Turned, at all scales, over one border or several, and of images smaller than the crop."""
    whole = draw_image(0, height=300, width=400)
    whole.ignore[100:180, :90] = True
    small = draw_image(1, height=40, width=150)
    change = Augmentation(flips=True, scale_min=0.5, scale_max=2.0, turned=0.7)
    sampler = CropSampler([[whole, small]], weights=[1], crop_px=64, augmentation=change, seed=2)
    batch = sampler.batch(0, size=200, first=0, last=200)

    def all_of_it(_: object, shape: tuple[int, ...], place: object) -> tuple[object, object]:
        return (slice(0, shape[0]), slice(0, shape[1])), place

    monkeypatch.setattr(CropSampler, "_part", all_of_it)
    plain = sampler.batch(0, size=200, first=0, last=200)
    assert np.abs(batch.pixels.astype(int) - plain.pixels).max() <= 1
    assert np.abs(batch.labels - plain.labels).max() < 1e-3
    assert batch.weights is not None
    assert plain.weights is not None
    assert (batch.weights == 0).any()
    assert (batch.weights != plain.weights).mean() < 1e-4


def test_what_lies_far_from_a_crop_costs_nothing() -> None:
    image = draw_image(0, height=2000, width=2000)
    change = Augmentation(flips=True, scale_min=0.5, scale_max=2.0, turned=0.5)
    sampler = CropSampler([[image]], weights=[1], crop_px=64, augmentation=change)
    rng = np.random.default_rng(0)
    for _ in range(50):
        place = sampler._placement(rng, image, np.empty(0, np.int64))
        (rows, columns), _ = sampler._part(image.crack.shape, place)
        assert max(rows.stop - rows.start, columns.stop - columns.start) < 2 * 64 * np.sqrt(2) + 20


def test_images_without_any_crack_are_refused() -> None:
    image = draw_image(0)
    image.crack[:] = False
    with pytest.raises(BadTrainingData):
        CropSampler([[image]], weights=[1], crop_px=64, augmentation=STRONG)
