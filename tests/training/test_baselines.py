"""The paper's other systems: each finds drawn cracks, and its published pieces do what they say."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from pavemap.training.baselines import crackforest, ffa, mps
from pavemap.training.baselines.choosing import Fitted, Method, Pixels, f1_of, without_specks
from pavemap.training.baselines.structured_forest import best_split, channels_of, feature_table
from pavemap.training.baselines.systems import SYSTEMS
from pavemap.training.data.datasets import LabelledImage
from pavemap.training.errors import BadTrainingData
from training.drawing import draw_image, mask_of

# Two bare edges stand 3 pixels apart: within 2 pixels of the line, which is why Canny does well here.
FLOORS = {"canny": 0.75, "local-threshold": 0.9, "crackforest": 0.85, "ffa": 0.7, "mps": 0.8}


@dataclass(frozen=True)
class Setting:
    value: int


@functools.cache
def training_images() -> tuple[LabelledImage, ...]:
    return tuple(draw_image(seed) for seed in range(6))


@functools.cache
def fitted(name: str) -> Fitted:
    if name == "crackforest":
        return crackforest.fit(training_images()[:4], samples_per_tree=600)
    return SYSTEMS[name](training_images()[:2])


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_system_finds_the_cracks_of_an_image_it_was_not_fitted_on(name: str) -> None:
    unseen = draw_image(77)
    found = fitted(name).detect(unseen.pixels)
    assert found.shape == unseen.crack.shape
    assert f1_of(found, unseen) > FLOORS[name]
    assert fitted(name).tried > 1


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_system_takes_grey_images_as_well(name: str) -> None:
    unseen = draw_image(78)
    grey = np.ascontiguousarray(unseen.pixels.mean(2, keepdims=True).astype(np.uint8))
    assert f1_of(fitted(name).detect(grey), unseen) > 0.5


def test_crackforest_is_the_same_for_the_same_seed() -> None:
    unseen = draw_image(77).pixels
    one, again, other = (
        crackforest.fit(training_images()[:4], samples_per_tree=300, seed=seed).detect(unseen)
        for seed in (0, 0, 1)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_noise_of_one_image_alone_and_no_part_at_all_leave_a_penalty_to_choose() -> None:
    """Where all noise lies in one image, those that judge it have seen none: its parts are kept."""
    crack = np.eye(32, dtype=bool)
    image = LabelledImage("drawn", np.zeros((32, 32, 3), np.uint8), crack, np.zeros_like(crack))
    parts = [[crack] for _ in range(8)]
    parts[3] = [crack, *[np.ones_like(crack)] * 5]
    real = np.array([True] * 4 + [False] * 5 + [True] * 4)
    owner = np.repeat(np.arange(8), [len(some) for some in parts])
    described = np.random.default_rng(0).random((13, 5))
    _, f1 = crackforest._best_penalty([image] * 8, parts, described, real, owner)
    assert 0 < f1 < 1
    none = np.zeros(0)
    found = crackforest._best_penalty(
        [image] * 8, [[]] * 8, none, none.astype(bool), none.astype(int)
    )
    assert found == (crackforest.PENALTIES[0], 0.0)


@pytest.mark.parametrize("images", [[], [draw_image(0)]])
def test_too_few_training_images_are_refused(images: Sequence[LabelledImage]) -> None:
    with pytest.raises(BadTrainingData):
        crackforest.fit(images)


def test_folds_that_share_images_ask_for_each_once_and_choose_by_their_own() -> None:
    asked = []

    def respond(pixels: Pixels, _: Setting) -> Pixels:
        asked.append(pixels[0, 0, 0])
        return pixels

    method = Method(
        first=[Setting(0)],
        second=[Setting(60), Setting(140)],
        respond=respond,
        decide=lambda pixels, limit: pixels[:, :, 0] < limit.value,
    )
    dark, bright = (two_tone(grey) for grey in (40, 120))
    assert method.fit([dark]).parameters == {"value": 60}
    assert method.fit([bright]).parameters == {"value": 140}
    assert method.fit([dark, bright, bright]).parameters == {"value": 140}
    assert len(asked) == 2


def two_tone(crack_grey: int) -> LabelledImage:
    """A crack of this grey, beside a dark joint of a grey of 100 that only the lower limit leaves out."""
    image = draw_image(0)
    pixels = np.full_like(image.pixels, 200)
    pixels[40:60, :] = 100
    pixels[image.crack] = crack_grey
    return replace(image, pixels=pixels)


def test_specks_are_parts_of_few_pixels_diagonals_included() -> None:
    mask = mask_of(
        "#....",
        ".#...",
        "....#",
        "..#..",
    )
    assert np.argwhere(without_specks(mask, least_px=2)).tolist() == [[0, 0], [1, 1]]


def test_a_dark_line_is_anisotropic_and_even_ground_is_not() -> None:
    """Along the line (60 on 120 in all) a path costs 60, across it 60 once and 120 else."""
    pixels = np.full((41, 41, 1), 120, np.uint8)
    even = ffa.features(pixels, ffa.Paths(reach_px=5, sigma_px=0.1))
    assert np.abs(even.anisotropy).max() < 0.01
    pixels[20] = 60
    line = ffa.features(pixels, ffa.Paths(reach_px=5, sigma_px=0.1)).anisotropy
    # 1 - 60 * 11 / (60 + 10 * 120) = 0.476, a little off by the evened light
    assert line[20, 20] == pytest.approx(0.476, abs=0.03)
    assert line[8, 20] < 0.05


def test_a_minimal_path_follows_the_bend_of_a_dark_line() -> None:
    pixels = np.full((32, 48, 1), 160, np.uint8)
    rows = np.rint(16 + 6 * np.sin(np.arange(48) / 8)).astype(int)
    pixels[rows, np.arange(48)] = 40
    pixels[rows + 1, np.arange(48)] = 40
    found = mps.candidates(pixels, mps.EndPoints(cell_px=8, end_deviations=0.0))
    assert len(found.starts) == len(found.costs) + 1
    cheapest = int(found.costs.argmin())
    path = found.pixels[found.starts[cheapest] : found.starts[cheapest + 1]]
    row, column = np.divmod(path, 48)
    assert np.abs(row - rows[column] - 0.5).max() <= 1.5
    assert (np.maximum(np.abs(np.diff(row)), np.abs(np.diff(column))) == 1).all()  # unbroken


def test_a_loop_of_paths_that_go_from_corner_to_corner_is_filled_and_thinned() -> None:
    paths = mask_of(
        "...............",
        ".......#.......",
        "......#.#......",
        ".....#...#.....",
        "#####.....#####",
        ".....#...#.....",
        "......#.#......",
        ".......#.......",
        "...............",
    )
    one_line = np.zeros_like(paths)
    one_line[4] = True
    assert np.array_equal(mps._cleaned(paths, 14), one_line)
    assert np.array_equal(mps._cleaned(paths, 12), paths)  # 13 pixels inside are too many


def test_an_image_without_end_points_has_no_crack() -> None:
    found = mps.candidates(np.full((32, 48, 1), 90, np.uint8), mps.EndPoints(8, 0.0))
    assert not mps.cracks(found, mps.Selection(0.0, 30, 0.0)).any()


def test_the_best_split_parts_two_classes() -> None:
    values = np.array([[5, 1], [5, 2], [5, 8], [5, 9]], np.float32)
    classes = np.array([False, False, True, True])
    assert best_split(values, classes, 1) == (1, 5.0)
    assert best_split(values, np.array([True] * 4), 1)[0] == -1  # nothing to gain
    assert best_split(values, classes, 3)[0] == -1  # leaves would be too small


def test_the_features_are_those_of_the_published_forest() -> None:
    """16 x 16 cells of 13 channels, and 300 pairs of a 5 x 5 grid in each: 7,228 of them."""
    table = feature_table()
    assert table.shape == (3328 + 3900, 6)
    assert np.abs(table[:, 2:]).max() <= 8
    channels = channels_of(draw_image(1).pixels)
    assert channels.fine.shape == channels.coarse.shape == (13, 48 + 16, 64 + 16)


def test_descriptors_tell_which_kinds_of_tokens_lie_on_a_part() -> None:
    kinds = np.zeros((1, 4, 4), np.int64)
    kinds[0, :, 2:] = 7
    found = crackforest.Votes(np.zeros((8, 8), np.float32), kinds)
    left = np.zeros((8, 8), bool)
    left[:, :4] = True
    whole = np.ones((8, 8), bool)
    one, both = crackforest.descriptor(found, left), crackforest.descriptor(found, whole)
    assert one[: crackforest.KINDS].tolist() == [1.0] + [0.0] * (crackforest.KINDS - 1)
    assert both[[0, 7]].tolist() == pytest.approx([0.5**0.5] * 2)
    # 24 neighbouring places: 10 pairs 0-0, 10 pairs 7-7 and 4 pairs 0-7
    pair = crackforest.KINDS + 0 * crackforest.KINDS + 7
    assert both[pair] == pytest.approx((4 / 24) ** 0.5)
