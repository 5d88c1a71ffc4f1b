"""Scoring a model on a folder of labelled images."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingData
from pavemap.training.inference import CrackModel
from pavemap.training.metrics import THRESHOLDS, Counts, counts_by_threshold
from pavemap.training.scoring.evaluate import detected, evaluate, threshold_curve
from training.drawing import write_png, write_set
from training.model_folders import write_model_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


@pytest.fixture
def dark_finder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CrackModel:
    """A loaded model that calls dark pixels cracks with probability 0.6: right on drawn images."""
    model = CrackModel.load(write_model_folder(tmp_path / "model"))

    def detect(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.where(chip.mean(-1) < 105, 153, 20).astype(np.uint8)

    monkeypatch.setattr(model, "detect", detect)
    return model


def test_a_good_detector_scores_high_and_the_numbers_serialise(
    folder: Path, dark_finder: CrackModel
) -> None:
    seen: list[tuple[int, int]] = []
    result = evaluate(dark_finder, folder, on_image=lambda done, total: seen.append((done, total)))
    assert result.mean.f1 > 0.99
    assert result.pooled.f1 > 0.99
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert json.loads(json.dumps(result.to_dict()))["images"] == 4
    assert "mean of images" in result.table()


def test_images_without_a_labelled_crack_are_counted_beside_the_scores(
    folder: Path, dark_finder: CrackModel
) -> None:
    whole = evaluate(dark_finder, folder)
    assert whole.to_dict()["images_without_crack"] == 0
    assert "no labelled crack" not in whole.table()
    for name in ("000", "002"):
        write_png(folder / "masks" / f"{name}.png", np.zeros((96, 128), np.uint8))
    part = evaluate(dark_finder, folder)
    assert part.to_dict()["images_without_crack"] == 2
    assert "2 of 4 images have no labelled crack" in part.table()
    assert part.mean.f1 < 0.51  # the cracks found on those two are wrong


def test_the_threshold_decides(folder: Path, dark_finder: CrackModel) -> None:
    assert evaluate(dark_finder, folder, threshold=0.7).mean.f1 == 0.0
    counts = [
        counts_by_threshold(found, image.crack)
        for found, image in detected(dark_finder, DataSource(folder=folder))
    ]
    curve = threshold_curve([counts])
    assert max((0.05, 0.5, 0.9), key=lambda threshold: curve[threshold]) == 0.5


def test_every_set_weighs_the_same_in_the_curve() -> None:
    right, wrong = Counts(detected=1, right=1, true=1, found=1), Counts(1, 0, 1, 0)
    everywhere = len(THRESHOLDS)
    curve = threshold_curve([[[right] * everywhere] * 3, [[wrong] * everywhere]])
    assert curve == dict.fromkeys(THRESHOLDS, 0.5)


def test_a_list_and_a_limit_choose_the_images(folder: Path, dark_finder: CrackModel) -> None:
    assert [i.name for i in evaluate(dark_finder, folder, list_name="test").images] == ["003"]
    assert [i.name for i in evaluate(dark_finder, folder, limit=2).images] == ["000", "001"]


def test_pictures_and_figures_are_of_every_image(
    folder: Path, tmp_path: Path, dark_finder: CrackModel
) -> None:
    result = evaluate(dark_finder, folder, limit=2, pictures=tmp_path / "pictures")
    written = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert written == ["000.jpg", "001.jpg"]
    figures = result.to_dict()["figures"]
    assert set(figures["mean"]) == {"0", "2", "5"}
    assert figures["mean"]["2"]["f1"] == result.to_dict()["mean"]["f1"]
    assert figures["ods"]["f1"] <= figures["ois"]


def test_a_model_folder_does_as_well_as_a_loaded_model(folder: Path, tmp_path: Path) -> None:
    result = evaluate(write_model_folder(tmp_path / "other"), folder, limit=1)
    assert result.model_id.startswith("drawn-")
    assert 0 <= result.mean.f1 <= 1


def test_missing_data_is_named(tmp_path: Path, dark_finder: CrackModel) -> None:
    with pytest.raises(BadTrainingData, match="is missing"):
        evaluate(dark_finder, tmp_path / "none")
