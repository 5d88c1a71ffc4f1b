"""What is said with 70 % comes true in 70 %, whatever the network's own manner of speaking."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit, logit

from pavemap.training.data.datasets import LabelledImage
from pavemap.training.inference import CrackModel
from pavemap.training.models.card import read_card, write_card
from pavemap.training.models.shipped_models import shipped_model_folders
from pavemap.training.scoring.calibration import Calibration, Tally, fit, reliability
from training.drawing import draw_image, mask_of


def image_of(crack: NDArray[np.bool_], ignore: NDArray[np.bool_] | None = None) -> LabelledImage:
    nothing = np.zeros(crack.shape, bool)
    pixels = np.zeros((*crack.shape, 3), np.uint8)
    return LabelledImage("drawn", pixels, crack, nothing if ignore is None else ignore)


def scaled(tally: Tally, calibration: Calibration) -> Tally:
    """The counts once every byte is calibrated; 0 and 255 stay."""
    level = np.arange(1, 255) / 255
    inner = np.rint(255 * expit(calibration.slope * logit(level) + calibration.offset))
    table = np.concatenate([[0], inner, [255]]).astype(int)
    sound, crack = (np.bincount(table, one, 256) for one in (tally.sound, tally.crack))
    return Tally(sound.astype(np.int64), crack.astype(np.int64))


def overconfident(slope: float, offset: float) -> Tally:
    """A network whose bytes, scaled by slope and offset, are the true shares of crack."""
    level = np.arange(256) / 255
    truth = np.concatenate([[0.0], expit(slope * logit(level[1:-1]) + offset), [1.0]])
    crack = np.round(truth * 1e6).astype(np.int64)
    return Tally(1_000_000 - crack, crack)


def test_pixels_are_counted_by_byte_and_label_without_the_ignored() -> None:
    found = np.array([[0, 128, 255], [128, 128, 7]], np.uint8)
    crack = mask_of("..#", "#..")
    ignore = mask_of("...", "..#")
    tally = Tally.of([(found, image_of(crack, ignore))])
    assert (tally.sound[0], tally.sound[128], tally.sound[7]) == (1, 2, 0)
    assert (tally.crack[128], tally.crack[255]) == (1, 1)
    assert tally.sound.sum() + tally.crack.sum() == 5
    twice = Tally.sum([tally, tally])
    assert (twice.sound[0], twice.sound[128], twice.crack[128]) == (2, 4, 2)


@pytest.mark.parametrize(("slope", "offset"), [(0.5, -0.7), (2.0, 0.4)])
def test_the_fit_finds_the_scaling_that_a_network_lacks(slope: float, offset: float) -> None:
    found = fit(overconfident(slope, offset))
    assert found.slope == pytest.approx(slope, abs=0.01)
    assert found.offset == pytest.approx(offset, abs=0.01)


def test_calibrated_probabilities_come_true() -> None:
    tally = overconfident(0.5, -0.7)
    before = reliability(tally)["error"]
    after = reliability(scaled(tally, fit(tally)))
    assert before > 0.1
    assert after["error"] < 0.005
    assert after["said"] == pytest.approx(after["seen"], abs=0.01)


def test_the_curve_by_hand() -> None:
    sound, crack = np.zeros(256, np.int64), np.zeros(256, np.int64)
    sound[51], crack[51] = 9, 1  # said 0.2, came true in 0.1
    sound[204], crack[204] = 1, 3  # said 0.8, came true in 0.75
    curve = reliability(Tally(sound, crack))
    assert curve["said"] == [0.2, 0.8]
    assert curve["seen"] == [0.1, 0.75]
    assert curve["pixels"] == [10, 4]
    assert curve["error"] == pytest.approx((10 * 0.1 + 4 * 0.05) / 14, abs=1e-4)


def test_certain_pixels_hide_no_error() -> None:
    sound, crack = np.zeros(256, np.int64), np.zeros(256, np.int64)
    sound[0] = 1_000_000
    sound[20], crack[20] = 500, 500  # said 0.078, came true in half
    assert reliability(Tally(sound, crack))["error"] == pytest.approx(0.5 - 20 / 255, abs=1e-4)
    sound[20] = crack[20] = 0
    assert reliability(Tally(sound, crack))["error"] == 0.0


def test_with_nothing_to_fit_to_nothing_changes() -> None:
    sound = np.full(256, 1000, np.int64)
    assert fit(Tally(sound, np.zeros(256, np.int64))) == Calibration()


def test_calibration_scales_the_networks_logits(tmp_path: Path) -> None:
    chip = draw_image(3).pixels
    for model in shipped_model_folders():
        folder = tmp_path / model.name
        shutil.copytree(model, folder)
        maps = []
        for calibration in (None, (0.5, -0.4)):
            write_card(read_card(model).model_copy(update={"calibration": calibration}), folder)
            maps.append(CrackModel.load(folder, device="cpu", precision="fp32").detect(chip) / 255)
        plain, found = maps
        unsure = (plain > 0.2) & (plain < 0.8)
        assert unsure.sum() > 100
        expected = expit(0.5 * logit(plain[unsure]) - 0.4)
        np.testing.assert_allclose(found[unsure], expected, atol=1.5 / 255)
