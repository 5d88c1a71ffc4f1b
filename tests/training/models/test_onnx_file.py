"""A model as an ONNX file says what the model says, and tells the Deepness plugin how to run it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from pavemap.training.errors import BadModel
from pavemap.training.inference import CrackModel
from pavemap.training.models.onnx_file import export_onnx
from pavemap.training.models.shipped_models import find_model_folder, shipped_model_folders
from scenes import asphalt, draw_crack, wandering
from training.model_folders import write_model_folder

TILE_PX = 512


@pytest.mark.parametrize("name", [folder.name for folder in shipped_model_folders()])
def test_the_file_gives_the_models_probabilities_up_to_the_border(
    name: str, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    card = export_onnx(find_model_folder(name), file, tile_px=TILE_PX)
    chip = asphalt(TILE_PX, TILE_PX, seed=3)
    draw_crack(chip, wandering((60, 70), (450, 430), seed=1))
    draw_crack(chip, wandering((0, 300), (200, 511), seed=2))
    draw_crack(chip, [(2.0, 0.0), (2.0, 511.0)])
    session = onnxruntime.InferenceSession(file)
    pixels = (chip.transpose(2, 0, 1)[None] / 255.0).astype(np.float32)
    (found,) = session.run(None, {"pixels": np.repeat(pixels, 2, axis=0)})
    assert found.shape == (2, 1, TILE_PX, TILE_PX)
    model = CrackModel.load(find_model_folder(name), device="cpu", precision="fp32")
    expected = model.detect(chip)
    assert (expected >= 255 * card.threshold).any(), "no crack to compare"
    rounding = 0.5 / 255
    assert np.abs(found[1, 0] - expected / 255.0).max() < rounding + 1e-3
    said = {entry.key: json.loads(entry.value) for entry in onnx.load(file).metadata_props}
    assert said["model_type"] == "Segmentor"
    assert said["resolution"] == pytest.approx(card.gsd_m * 100)
    assert said["seg_thresh"] == card.threshold
    assert said["tile_size"] == said["tiles_size"] == TILE_PX
    assert said["seg_small_segment"] == 0
    assert said["tiles_overlap"] * TILE_PX >= 200 * card.reach_px
    assert said["pavemap_card"]["digest"] == card.digest


def test_a_tile_smaller_than_the_networks_view_is_refused(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "wide", arguments={"context": True})
    with pytest.raises(BadModel, match="give 512"):
        export_onnx(folder, tmp_path / "model.onnx", tile_px=256)


def test_a_tile_that_the_network_cannot_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="multiple of 32"):
        export_onnx(find_model_folder("fan2018"), tmp_path / "model.onnx", tile_px=500)
    assert not list(tmp_path.iterdir())
