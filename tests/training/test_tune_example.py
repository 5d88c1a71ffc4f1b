"""The example of a search with Ray Tune runs, and ends in a configuration that can be trained."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pavemap.training.config import load_config
from training.drawing import write_set

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "tune.py"

SETTINGS = """
name = "searched"
output = "out"
architecture = "survey-unet"
architecture_args = { width = 4 }
iterations = 1000
batch_size = 2
crop_px = 32
[[data]]
folder = "set"
list = "train"
[[validation]]
folder = "set"
list = "test"
"""


@pytest.mark.ray
def test_a_small_search_ends_in_settings_to_train_with(tmp_path: Path) -> None:
    write_set(tmp_path / "set")
    (tmp_path / "run.toml").write_text(SETTINGS)
    budget = ["--trials", "2", "--iterations", "4", "--score-every", "2", "--cpus", "2"]
    said = subprocess.run(
        [sys.executable, EXAMPLE, tmp_path / "run.toml", *budget],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert said.returncode == 0, said.stderr
    trials = [line for line in said.stdout.splitlines() if line.startswith("F1 ")]
    assert len(trials) == 2
    scores = [float(line.split()[1]) for line in trials]
    assert scores == sorted(scores, reverse=True)
    best = load_config(tmp_path / "out" / "best.json")
    assert f"learning_rate {best.learning_rate:.4g}" in trials[0]
    assert best.iterations == 1000, "the search was short, the training is not"
    assert json.loads((tmp_path / "out" / "best.json").read_text())["name"] == "searched"
