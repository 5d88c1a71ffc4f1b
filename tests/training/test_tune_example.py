"""The example of a search with Ray Tune runs, and ends in a configuration that can be trained."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pavemap.training.config import TrainConfig, load_config, parse_config
from training.drawing import write_set
from training.model_folders import write_model_folder

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


pytestmark = [  # Ray's own code, as it is imported
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(EXAMPLE.parent))
    return importlib.import_module("tune")


def unmoved(folder: Path, **changes: Any) -> TrainConfig:
    """An iteration that moves no weight."""
    one = {"iterations": 1, "batch_size": 2, "crop_px": 32, "precision": "fp32"}
    still = {"learning_rate": 1e-12, "weight_decay": 0.0}
    data = [{"folder": folder, "list": "train"}]
    own = {"name": "onward", "output": folder / "out", "data": data, **one, **still}
    return parse_config({**own, **changes})


def test_a_trial_learns_on_from_what_the_configuration_starts_from(
    tmp_path: Path, example: ModuleType
) -> None:
    start = write_model_folder(tmp_path / "start", arguments={"width": 4}, seed=7)
    survey = {"architecture": "survey-unet", "architecture_args": {"width": 4}}
    config = unmoved(write_set(tmp_path / "set"), start_from=str(start), **survey)
    for share in (0.0, 0.5):
        shared = config.model_copy(update={"start_share": share, "average_decay": 0.9})
        ((_, network),) = example.learning(shared, 1)
        expected = load_file(start / "weights.safetensors")["head.weight"]
        assert torch.allclose(network.state_dict()["head.weight"], expected, atol=1e-6)


def test_a_trial_ends_with_its_share_of_what_it_started_from(
    tmp_path: Path, example: ModuleType
) -> None:
    start = write_model_folder(tmp_path / "start", arguments={"width": 4}, seed=7)
    survey = {"architecture": "survey-unet", "architecture_args": {"width": 4}}
    config = unmoved(write_set(tmp_path / "set"), start_from=str(start), **survey)
    moving = config.model_copy(update={"learning_rate": 1e-2, "average_decay": 0.0001})
    (_, alone), (_, shared) = (
        next(example.learning(moving.model_copy(update={"start_share": share}), 1))
        for share in (0.0, 0.5)
    )
    former = load_file(start / "weights.safetensors")["head.weight"]
    learnt = alone.state_dict()["head.weight"]
    assert not torch.allclose(learnt, former, atol=1e-4)
    half = shared.state_dict()["head.weight"]
    assert torch.allclose(half, (learnt + former) / 2, atol=1e-6)


def test_a_trial_leaves_out_as_many_units_as_the_configuration(
    tmp_path: Path, example: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    step = example.train_step

    def watched(network: nn.Module, *others: Any) -> torch.Tensor:
        seen.extend(part.p for part in network.modules() if isinstance(part, nn.Dropout))
        found: torch.Tensor = step(network, *others)
        return found

    monkeypatch.setattr(example, "train_step", watched)
    next(example.learning(unmoved(write_set(tmp_path / "set"), dropout=0.125), 1))
    assert set(seen) == {0.125}


@pytest.mark.parametrize("loss", ["overlap", "tolerant"])
@pytest.mark.parametrize("architecture", ["fan2018", "survey-unet"])
def test_what_a_search_ends_in_can_be_trained(
    example: ModuleType, tmp_path: Path, architecture: str, loss: str
) -> None:
    config = unmoved(tmp_path / "set", architecture=architecture, loss=loss)
    space = example.space_of(config)
    values = {name: one.sample() for name, one in space.items()}
    best = example.with_values(config, values)
    assert parse_config(json.loads(best.model_dump_json())) == best
    assert ("light" in space) == (architecture == "survey-unet" or loss == "tolerant")
    assert best.augmentation.light == values.get("light", 0.0)


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
