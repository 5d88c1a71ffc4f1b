"""A model folder in use: bytes in, bytes out, whatever the tiles; damage is named."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pavemap.training.errors import BadModel
from pavemap.training.inference import CrackModel
from pavemap.training.models.card import read_card, write_card
from pavemap.training.models.shipped_models import (
    default_model_folder,
    find_model_folder,
    shipped_model_folders,
)
from training.drawing import draw_image
from training.model_folders import write_model_folder


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    return write_model_folder(tmp_path / "survey")


@pytest.fixture
def fan(tmp_path: Path) -> Path:
    return write_model_folder(tmp_path / "fan", architecture="fan2018", arguments={"context": True})


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    return write_model_folder(tmp_path / "wide", arguments={"context": True}, learnt=True)


@pytest.mark.parametrize("name", ["survey", "wide", "fan"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 130), (201, 333)])
def test_any_chip_size_comes_back_as_a_map_of_bytes(
    name: str, height: int, width: int, request: pytest.FixtureRequest
) -> None:
    model = CrackModel.load(request.getfixturevalue(name))
    chips = np.random.default_rng(0).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    found = model.predict(chips)
    assert found.shape == (2, height, width)
    assert found.dtype == np.uint8
    assert np.array_equal(model.detect(chips[1]), found[1])


@pytest.mark.parametrize("name", ["survey", "wide", "fan"])
@pytest.mark.parametrize("tile_px", [64, 96, 144])
def test_the_result_does_not_depend_on_the_tiles(
    name: str, tile_px: int, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(name)
    chip = draw_image(0, height=203, width=301).pixels
    whole = CrackModel.load(folder, precision="fp32").detect(chip)
    tiled = CrackModel.load(folder, precision="fp32", tile_px=tile_px).detect(chip)
    assert np.ptp(whole) > 0
    assert np.abs(whole.astype(int) - tiled).max() <= 1  # of 255: a rounding apart at most


def test_a_grey_network_takes_rgb_chips(tmp_path: Path) -> None:
    folder = write_model_folder(
        tmp_path / "grey", architecture="fan2018", arguments={"channels": 1}, channels=1
    )
    assert CrackModel.load(folder).detect(draw_image(0).pixels).shape == (96, 128)


def test_no_chips_give_no_maps(survey: Path) -> None:
    assert CrackModel.load(survey).predict(np.zeros((0, 8, 8, 3), np.uint8)).shape == (0, 8, 8)


@pytest.mark.parametrize(
    "chips",
    [np.zeros((4, 4, 3), np.uint8), np.zeros((1, 4, 4, 4), np.uint8), np.zeros((1, 4, 4, 3))],
)
def test_what_is_no_batch_of_chips_is_refused(survey: Path, chips: np.ndarray) -> None:
    with pytest.raises(BadModel, match="chips must be bytes"):
        CrackModel.load(survey).predict(chips)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="no model card"):
        CrackModel.load(tmp_path / "none")


def test_changed_weights_are_noticed(survey: Path) -> None:
    weights = survey / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\1\2\3")
    with pytest.raises(BadModel, match="is not the file its card describes"):
        CrackModel.load(survey)


def test_missing_weights_are_noticed(survey: Path) -> None:
    (survey / "weights.safetensors").unlink()
    with pytest.raises(BadModel, match=r"has no weights\.safetensors"):
        CrackModel.load(survey)


def test_weights_of_another_network_are_refused(survey: Path) -> None:
    card = survey / "card.json"
    card.write_text(
        card.read_text().replace('"architecture_args": {}', '"architecture_args": {"width": 8}')
    )
    with pytest.raises(BadModel, match="don't fit their card"):
        CrackModel.load(survey)


def test_a_card_that_hides_how_far_its_network_sees_is_refused(wide: Path) -> None:
    card = read_card(wide)
    assert card.reach_px == 128
    write_card(card.model_copy(update={"reach_px": 64}), wide)
    with pytest.raises(BadModel, match='write "reach_px": 128 into the card'):
        CrackModel.load(wide)


def test_a_broken_card_is_refused(survey: Path) -> None:
    (survey / "card.json").write_text('{"name": "drawn"}')
    with pytest.raises(BadModel, match="architecture"):
        read_card(survey)


def test_every_shipped_model_loads_and_is_small() -> None:
    assert {folder.name for folder in shipped_model_folders()} >= {"survey-unet", "fan2018"}
    for folder in shipped_model_folders():
        card = CrackModel.load(folder).card
        assert folder.name == card.name
        assert card.data
        assert card.licence
        assert card.limits
        assert "Not for" in card.intended_use
        former = {f"the weights of {one.name}" for one in shipped_model_folders()}
        sets = set(card.data) - former
        assert all(" images, " in source for source in sets), "each set with its licence"
        assert (folder / "weights.safetensors").stat().st_size < 2_000_000


def test_models_are_found_by_name_by_id_and_by_path(survey: Path) -> None:
    assert find_model_folder() == default_model_folder()
    assert find_model_folder("fan2018").name == "fan2018"
    assert find_model_folder(read_card(default_model_folder()).model_id) == default_model_folder()
    assert find_model_folder(survey) == survey
    with pytest.raises(BadModel, match="fan2018"):
        find_model_folder("no-such-model")


def test_cards_are_read_without_torch() -> None:
    code = (
        "import sys, pavemap.training.models.shipped_models as r; r.default_card(); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'ray', 'cv2')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
