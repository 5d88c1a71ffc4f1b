"""A training may learn on from a finished model: the same network, its weights, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pavemap.training.config import TrainConfig, load_config, parse_config
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.experiments.fitting import fit_batches
from pavemap.training.registry import default_card, default_model
from pavemap.training.start import start_weights
from pavemap.training.survey_net import SurveyNet
from training.drawing import draw_image
from training.models import write_model_folder


def config(folder: Path, **changes: object) -> TrainConfig:
    return parse_config(
        {
            "name": "onward",
            "output": folder / "out",
            "architecture": "survey-unet",
            "architecture_args": {"width": 4},
            "data": [{"folder": folder}],
            "crop_px": 32,
            "batch_size": 2,
            "iterations": 1,
            "learning_rate": 1e-9,
            "precision": "fp32",
            **changes,
        }
    )


def test_weights_are_fresh_unless_a_model_is_named(tmp_path: Path) -> None:
    assert start_weights(config(tmp_path)) is None


def test_a_shipped_model_is_named_by_name_or_version(tmp_path: Path) -> None:
    shipped = default_card()
    wanted = load_file(default_model() / "weights.safetensors")
    arguments = {"architecture_args": shipped.architecture_args}
    for name in (shipped.name, shipped.model_id):
        weights = start_weights(config(tmp_path, start_from=name, **arguments))
        assert weights is not None
        assert all(torch.equal(value, wanted[key]) for key, value in weights.items())


def test_training_goes_on_from_the_weights(tmp_path: Path) -> None:
    former = write_model_folder(tmp_path / "former", arguments={"width": 4})
    settings = config(tmp_path, start_from=str(former))
    trained = fit_batches(
        settings, [[draw_image(0)]], device=torch.device("cpu"), trainings=tmp_path / "trainings"
    )
    wanted = load_file(former / "weights.safetensors")
    for name, value in trained.network.named_parameters():
        assert torch.allclose(value, wanted[name], atol=1e-6)


def test_a_network_may_be_given_context_to_learn_on_with(tmp_path: Path) -> None:
    former = write_model_folder(tmp_path / "former", arguments={"width": 4})
    settings = config(
        tmp_path, start_from=str(former), architecture_args={"width": 4, "context": True}
    )
    weights = start_weights(settings)
    assert weights is not None
    SurveyNet(width=4, context=True).load_state_dict(weights)
    known = load_file(former / "weights.safetensors")
    assert all(torch.equal(weights[name], value) for name, value in known.items())


def test_a_folder_is_looked_for_beside_the_configuration(tmp_path: Path) -> None:
    write_model_folder(tmp_path / "former", arguments={"width": 4})
    file = tmp_path / "train.toml"
    file.write_text(
        'name = "onward"\noutput = "out"\nstart_from = "former"\narchitecture = "survey-unet"\n'
        'architecture_args = { width = 4 }\n[[data]]\nfolder = "."\n'
    )
    assert start_weights(load_config(file)) is not None


@pytest.mark.parametrize(
    ("start_from", "said"),
    [("nobody", "No model nobody"), ("fan2018", "is a fan2018"), ("survey-unet", "width = 16")],
)
def test_what_cannot_be_started_from_is_refused(tmp_path: Path, start_from: str, said: str) -> None:
    with pytest.raises(BadTrainingConfig, match=said):
        start_weights(config(tmp_path, start_from=start_from))
