"""The end of a training: a model folder, and a card for which all validation images speak."""

from __future__ import annotations

import json
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pavemap.geo.vectorizing.vectorize import VectorizeParams
from pavemap.training.checkpoint import STATE
from pavemap.training.config import parse_config
from pavemap.training.data.datasets import LabelledImage, read_source
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.finish import validated, write_model
from pavemap.training.inference import CrackModel
from pavemap.training.metrics import THRESHOLDS, count, mean_score
from pavemap.training.models.card import ModelCard, read_card, write_card
from pavemap.training.models.shipped_models import find_model_folder
from pavemap.training.scoring.calibration import Tally, reliability
from pavemap.training.scoring.lengths import LABELLED, crack_lines, length_and_area
from pavemap.training.validate import validate
from training.drawing import write_png, write_set
from training.model_folders import write_model_folder

IGNORED = 77

Seen = Sequence[tuple[NDArray[np.uint8], LabelledImage]]


@pytest.fixture
def sets(tmp_path: Path) -> list[DataSource]:
    """Two sets of drawn images; a strip of one of them is to be ignored."""
    many, few = (write_set(tmp_path / name, count=n) for name, n in (("many", 4), ("few", 2)))
    mask = cv2.imread(str(few / "masks" / "000.png"), cv2.IMREAD_GRAYSCALE)
    assert mask is not None
    mask[:, :30] = IGNORED
    write_png(few / "masks" / "000.png", mask.astype(np.uint8))
    return [DataSource(folder=many), DataSource(folder=few, ignore_values=(IGNORED,))]


def test_the_card_says_what_all_images_say_together(tmp_path: Path, sets: list[DataSource]) -> None:
    folder = tmp_path / "model"
    shutil.copytree(find_model_folder("survey-unet"), folder)
    card = validated(read_card(folder), folder, sets)
    model = CrackModel.load(folder)
    seen: list[Seen] = [
        [(model.detect(image.pixels), image) for image in read_source(source)] for source in sets
    ]
    assert card.calibration is not None
    assert card.calibration == model.card.calibration
    everything = [one for some in seen for one in some]
    assert card.metrics["reliability"] == reliability(Tally.of(everything))
    write_card(card.model_copy(update={"calibration": None}), folder)
    raw = CrackModel.load(folder)
    uncalibrated = Tally.of((raw.detect(image.pixels), image) for _, image in everything)
    assert card.metrics["reliability_uncalibrated"] == reliability(uncalibrated)
    curve = {at: np.mean([f1_at(some, at) for some in seen]) for at in THRESHOLDS}
    assert card.metrics["threshold_curve"] == {f"{at:g}": round(f1, 4) for at, f1 in curve.items()}
    for source, some in zip(sets, seen, strict=True):
        ratios = {f"{at:g}": found_over_labelled(some, card, at).round(4) for at in THRESHOLDS}
        lengths = card.metrics["length_ratio"][source.label]
        areas = card.metrics["area_ratio"][source.label]
        assert {at: [lengths[at], areas[at]] for at in lengths} == {
            at: both.tolist() for at, both in ratios.items()
        }


def test_a_set_in_which_no_crack_is_labelled_has_metres_and_no_ratio(
    tmp_path: Path, sets: list[DataSource]
) -> None:
    sound = write_set(tmp_path / "sound", count=1)
    write_png(sound / "masks" / "000.png", np.zeros((96, 128), np.uint8))
    folder = tmp_path / "model"
    shutil.copytree(find_model_folder("survey-unet"), folder)
    metrics = validated(read_card(folder), folder, [*sets, DataSource(folder=sound)]).metrics
    assert set(metrics["length_ratio"]) == set(metrics["area_ratio"]) == {"many", "few"}
    assert metrics["found_where_none_is_m"]["sound"]["0.3"] > 0


def test_validation_holds_a_few_images_however_many_there_are(
    tmp_path: Path, sets: list[DataSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kilometre of reviewed road is gigabytes of images and maps."""
    folder = write_model_folder(tmp_path / "model")
    arrays: list[weakref.ref[NDArray[np.uint8]]] = []
    held: list[int] = []
    detect = CrackModel.detect

    def watched(model: CrackModel, chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
        found = detect(model, chip)
        arrays.extend(weakref.ref(array) for array in (chip, found))
        held.append(sum(array() is not None for array in arrays))
        return found

    monkeypatch.setattr(CrackModel, "detect", watched)
    validated(read_card(folder), folder, sets)
    assert max(held) <= 4, "an image and its map, and those of the image before"


def f1_at(some: Seen, threshold: float) -> float:
    return mean_score(
        [count(found >= threshold * 255, image.crack, ignore=image.ignore) for found, image in some]
    ).f1


def found_over_labelled(some: Seen, card: ModelCard, threshold: float) -> NDArray[np.float64]:
    params = VectorizeParams.from_dict({**card.vectorize, "threshold": threshold})
    sizes = np.zeros((2, 2))
    for found, image in some:
        counted = np.where(image.ignore, np.uint8(0), found)
        label = np.where(image.crack, np.uint8(255), np.uint8(0))
        for row, picture, how in ((0, label, LABELLED), (1, counted, params)):
            lines = crack_lines(picture, how, gsd_m=card.gsd_m)
            sizes[row] += length_and_area(lines, gsd_m=card.gsd_m)
    return np.asarray(sizes[1] / sizes[0])


def test_a_model_takes_the_place_of_the_former(tmp_path: Path) -> None:
    write_set(tmp_path / "set", count=2)
    config = parse_config(
        {
            "name": "drawn",
            "output": tmp_path / "out",
            "architecture": "survey-unet",
            "data": [{"folder": tmp_path / "set"}],
        }
    )
    checkpoint = write_model_folder(tmp_path / "checkpoint")
    (checkpoint / STATE).write_text(json.dumps({"iteration": 1}))
    for name in ("model", ".model-0123abcd"):
        (tmp_path / "out" / name).mkdir(parents=True)
    card = write_model(config, checkpoint, tmp_path / "out" / "model")
    assert read_card(tmp_path / "out" / "model") == card
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["model"]


def test_a_model_is_validated_anew_and_its_weights_stay(
    tmp_path: Path, sets: list[DataSource]
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(find_model_folder("survey-unet"), folder)
    before = read_card(folder)
    file = tmp_path / "again.json"
    settings: dict[str, Any] = {
        "name": "again",
        "output": "out",
        "data": [{"folder": "many"}],
        "validation": [{"folder": "few", "ignore_values": [IGNORED]}],
    }
    file.write_text(json.dumps(settings))
    with pytest.raises(BadTrainingConfig, match="add \\[\\[tests\\]\\]"):
        validate(folder, file)
    assert read_card(folder) == before
    file.write_text(json.dumps({**settings, "tests": [{"folder": "many"}]}))
    card = validate(folder, file)
    assert card == read_card(folder)
    assert (card.digest, card.limits) == (before.digest, before.limits)
    assert [score["data"] for score in card.metrics["validation"]] == ["few"]
    assert [score["data"] for score in card.metrics["tests"]] == ["many"]
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "weights.safetensors"]
