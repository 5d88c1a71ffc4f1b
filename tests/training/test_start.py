"""A training may learn on from a finished model: the same network, its weights, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from sqlalchemy import Engine

from pavemap.geo.storage import Storage
from pavemap.training.config import TrainConfig, load_config, parse_config
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.experiments.fitting import fit_batches
from pavemap.training.finish import write_model
from pavemap.training.models.model_registry import ModelRegistry
from pavemap.training.models.model_store import ModelStore
from pavemap.training.models.shipped_models import default_card, default_model_folder
from pavemap.training.networks.survey_net import SurveyNet
from pavemap.training.start import (
    former_weights,
    start_weights,
    with_former,
    with_its_vectorize,
)
from training.drawing import draw_image, write_set
from training.model_folders import write_model_folder


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
    wanted = load_file(default_model_folder() / "weights.safetensors")
    arguments = {"architecture_args": shipped.architecture_args}
    for name in (shipped.name, shipped.model_id):
        weights = start_weights(config(tmp_path, start_from=name, **arguments))
        assert weights is not None
        assert all(torch.equal(value, wanted[key]) for key, value in weights.items())


def test_the_vectorisers_parameters_are_those_of_the_start_unless_given(tmp_path: Path) -> None:
    start = default_card()
    onward = config(tmp_path, start_from=start.name)
    assert with_its_vectorize(onward).vectorize == start.vectorize
    given = config(tmp_path, start_from=start.name, vectorize={"gap_px": 3.0})
    assert with_its_vectorize(given).vectorize == {"gap_px": 3.0}
    assert with_its_vectorize(config(tmp_path)).vectorize is None


def test_training_goes_on_from_the_weights(tmp_path: Path) -> None:
    former = write_model_folder(tmp_path / "former", arguments={"width": 4})
    settings = config(tmp_path, start_from=str(former))
    trained = fit_batches(
        settings, [[draw_image(0)]], device=torch.device("cpu"), trainings=tmp_path / "trainings"
    )
    wanted = load_file(former / "weights.safetensors")
    for name, value in trained.network.named_parameters():
        assert torch.allclose(value, wanted[name], atol=1e-6)


def test_the_finished_weights_lie_on_the_way_back_to_the_start_by_its_share(tmp_path: Path) -> None:
    former = write_model_folder(tmp_path / "former", arguments={"width": 4})
    device, images = torch.device("cpu"), [draw_image(0)]
    write_set(tmp_path / "set")

    def weights(share: float) -> dict[str, torch.Tensor]:
        settings = config(
            tmp_path / "set",
            start_from=str(former),
            start_share=share,
            learning_rate=0.1,
            iterations=3,
        )
        trained = fit_batches(settings, [images], device=device, trainings=tmp_path / "trainings")
        found = trained.network.state_dict()
        write_model(
            settings,
            trained.checkpoint,
            tmp_path / "model",
            former=former_weights(settings),
        )
        written = load_file(tmp_path / "model" / "weights.safetensors")
        assert all(torch.equal(value, written[name]) for name, value in found.items())
        return found

    start = load_file(former / "weights.safetensors")
    learnt, between = weights(0.0), weights(0.25)
    assert len(list((tmp_path / "trainings").iterdir())) == 1, "one training serves both"
    real = [name for name, value in learnt.items() if value.is_floating_point()]
    for name in real:
        mixed = learnt[name] * 0.75 + start[name] * 0.25
        assert torch.allclose(between[name], mixed, atol=1e-6), name
    moved = [not torch.allclose(learnt[name], start[name]) for name in real]
    assert sum(moved) > len(moved) / 2


def test_a_level_that_was_added_says_less_by_the_share_of_the_start(tmp_path: Path) -> None:
    """Where there was nothing, a quarter of the way back to it is three quarters of what is said now."""
    former = write_model_folder(tmp_path / "former", arguments={"width": 4})
    network = SurveyNet(width=4, context=True)
    torch.nn.init.normal_(network.get_submodule("wide.4").get_parameter("weight"))
    learnt = network.state_dict()
    mixed = with_former(learnt, load_file(former / "weights.safetensors"), 0.25)
    level = network.get_submodule("wide").eval()
    pixels = torch.rand(1, 16, 8, 8)
    whole = level(pixels)
    network.load_state_dict(mixed)
    assert torch.allclose(level(pixels), whole * 0.75, atol=1e-5)


def test_a_share_of_a_start_needs_one(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingConfig, match="name a model there"):
        config(tmp_path, start_share=0.5)


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
    [("nobody", "no model nobody"), ("fan2018", "is a fan2018"), ("survey-unet", "width = 16")],
)
def test_what_cannot_be_started_from_is_refused(tmp_path: Path, start_from: str, said: str) -> None:
    with pytest.raises(BadTrainingConfig, match=said):
        start_weights(config(tmp_path, start_from=start_from))


@pytest.mark.parametrize("context", [False, True])
def test_the_papers_network_learns_on_with_its_own_border(tmp_path: Path, context: bool) -> None:
    """Both forms have weights of the same shapes."""
    settings = config(
        tmp_path,
        start_from="fan2018",
        architecture="fan2018",
        architecture_args={"context": context},
    )
    if context:
        assert start_weights(settings) is not None
        return
    with pytest.raises(BadTrainingConfig, match=r"is a fan2018 \(.*context = True"):
        start_weights(settings)


def test_a_mistyped_start_is_refused_and_leaves_no_folder(tmp_path: Path, engine: Engine) -> None:
    """With a platform behind the training, what is no model here might be one of its versions."""
    store = ModelStore(Storage(str(tmp_path / "storage")), cache=tmp_path / "cache")
    start = config(tmp_path, start_from=str(tmp_path / "typo"))
    with pytest.raises(BadTrainingConfig, match=r"start_from: .*typo' is no id of a model version"):
        start_weights(start, ModelRegistry(engine, store))
    assert not (tmp_path / "typo").exists()
