"""Scripts that wait for a GPU run tiny on a CPU; what another chooses parameters by, by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapely
import torch

from pavemap.training.inference import CrackModel
from pavemap.training.models.shipped_models import default_model_folder
from training.model_folders import write_model_folder

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "gpu.py"


def test_the_gpu_script_runs_dry() -> None:
    said = subprocess.run(
        [sys.executable, SCRIPT, "--dry"], capture_output=True, text=True, timeout=240
    )
    assert said.returncode == 0, said.stdout + said.stderr
    machine, *rows, last = map(json.loads, said.stdout.splitlines())
    assert machine["device"] == "CPU"
    assert last["failed"] == 0
    named = {row["what"] for row in rows}
    graph = f"{default_model_folder().name}, CUDA graph"
    assert {graph, "fan2018, the whole iteration as a CUDA graph"} <= named
    detected = [row for row in rows if "mpx_per_s" in row]
    assert all(row["with_copies_mpx_per_s"] > 0 for row in detected)
    assert all(row["share_of_matrix_rate"] > 0 for row in detected)
    assert sum("30,000 iterations" in row for row in rows) == 4


def test_distractors_are_cut_at_the_threshold_as_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A threshold of 0.448 is 114.24 of 255."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from distractors import cracks

    folder = write_model_folder(tmp_path / "model", arguments={"width": 4}, threshold=0.448)
    model = CrackModel.load(folder)
    seen = np.array([[114, 115]], np.uint8)
    monkeypatch.setattr(CrackModel, "detect", lambda *_: seen)
    assert cracks(model, np.zeros((1, 2, 3), np.uint8)).tolist() == [[False, True]]


def test_the_gpu_training_leaves_out_as_many_units_as_its_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from gpu_training import fresh, papers_config

    config = papers_config().model_copy(update={"dropout": 0.125})
    network = fresh(config, torch.device("cpu")).network
    left_out = {part.p for part in network.modules() if isinstance(part, torch.nn.Dropout)}
    assert left_out == {0.125}


def test_false_length_counts_as_often_as_on_a_road(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from lengths import Lengths, choice

    def horizontal(y: float, length: float) -> shapely.Geometry:
        return shapely.LineString([(0, y), (length, y)])

    # 100 px labelled on 10,000 square pixels, of which 80 are found; 20 more are found 50 px away.
    lengths = Lengths()
    found = np.array([horizontal(10, 80), horizontal(60, 20)], object)
    lengths.add(found, np.array([horizontal(10, 100)], object), 10_000)
    ratio, _, false, missed, f1 = lengths.figures()
    assert (ratio, false) == pytest.approx((1.0, 20.0))
    assert missed == pytest.approx(12.0, abs=0.1)  # 20 px, the first 8 of them near enough
    assert f1 == pytest.approx(2 * 0.8 * 0.88 / 1.68, abs=0.001)
    # A quarter of that crack to the same ground: false length counts four times.
    ratio, _, false, missed, _ = lengths.figures(density=0.0025)
    assert (ratio, false) == pytest.approx((1.6, 80.0))
    assert missed == pytest.approx(12.0, abs=0.1)
    # Nearly the best F1, and the truest total.
    figures = {name: [np.array(row)] for name, row in {
        "best": (0.90, 0, 0, 0, 0.850), "truest": (1.02, 0, 0, 0, 0.846), "bad": (1.0, 0, 0, 0, 0.8),
    }.items()}  # fmt: skip
    assert choice(figures) == "truest"
