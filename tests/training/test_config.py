"""A training run's settings are checked before anything starts."""

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pavemap.training.architectures import network_to_train
from pavemap.training.augmentation import Augmentation
from pavemap.training.checks import check
from pavemap.training.config import TrainConfig, load_config, parse_config
from pavemap.training.data.pair_folder import write_folder
from pavemap.training.data.pair_import import pair_files
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingConfig, BadTrainingData
from pavemap.training.run import main, train
from python_process import ran
from training.drawing import write_png, write_set


def settings(**changes: Any) -> dict[str, Any]:
    return {"name": "tiny", "output": "out", "data": [{"folder": "set"}], **changes}


def test_the_defaults_are_the_papers() -> None:
    config = parse_config(settings())
    assert (config.iterations, config.batch_size, config.learning_rate) == (30_000, 256, 1e-3)
    assert (config.weight_decay, config.negatives_per_positive) == (5e-4, 3.0)
    assert not config.augmentation.flips
    assert config.dropout == 0.5


@pytest.mark.parametrize("settings", [TrainConfig, DataSource, Augmentation])
def test_every_setting_says_what_it_is(settings: type[TrainConfig]) -> None:
    fields = settings.model_fields.items()
    assert [name for name, field in fields if not field.description] == []


def test_settings_written_out_read_as_the_same() -> None:
    for architecture in ("fan2018", "survey-unet"):
        config = parse_config(settings(architecture=architecture))
        assert parse_config(config.model_dump()) == config


def test_units_are_left_out_as_told() -> None:
    pixels = torch.rand(2, 3, 36, 36)
    for dropout, same in ((0.5, False), (0.0, True)):
        network = network_to_train(parse_config(settings(dropout=dropout))).train()
        assert torch.equal(network(pixels), network(pixels)) is same


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iterations": 0}, "iterations"),
        ({"data": []}, "data"),
        ({"colour": "red"}, "colour"),
        ({"name": "../up"}, "name"),
        ({"batch_size": 10, "workers": 3}, "can't be shared equally by 3 workers"),
        ({"gsd_m": 0.01}, "gsd_range_m"),
        ({"gsd_range_m": [0.0, 0.004]}, "gsd_range_m, and both be above 0"),
        ({"gsd_range_m": [-1.0, 0.004]}, "gsd_range_m, and both be above 0"),
        ({"seed": 2**63}, "seed"),
        ({"iterations": 10**30}, "iterations"),
        ({"architecture": "vgg"}, "architecture"),
        ({"loss": "tolerant", "architecture_args": {"context": False}}, "context = true"),
        ({"loss": "tolerant", "architecture_args": {"size": 3}}, "size of 5"),
        ({"augmentation": {"light": 0.5, "noise": 0.1}}, "not by light, noise"),
        ({"tests": [{"folder": "north/labels"}, {"folder": "south/labels"}]}, "tests .* labels"),
        ({"architecture": "survey-unet", "dropout": 0.1}, "survey-unet leaves no units out"),
        ({"validation": [{"folder": "a/set"}, {"folder": "a/set"}]}, "validation .* set"),
        ({"notes": "a\x00b"}, "code 0"),
        ({"notes": "\ud800"}, "half a character"),
        ({"output": "out\x00"}, "code 0"),
        ({"negatives_per_positive": math.inf}, "negatives_per_positive: .*finite"),
        ({"vectorize": {"gap_px": math.nan}}, "gap_px.*finite"),
        ({"validation": [{"folder": "set", "left_out": True}]}, "validation.0: .*leave_out_every"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadTrainingConfig, match=message):
        parse_config(settings(**changes))


def test_folders_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_text(json.dumps(settings()))
    config = load_config(file)
    assert config.output == tmp_path / "out"
    assert config.data[0].folder == tmp_path / "set"


def test_toml_reads_like_json(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('name = "tiny"\noutput = "out"\n[[data]]\nfolder = "set"\n')
    assert load_config(file) == TrainConfig.model_validate(
        settings(output=tmp_path / "out", data=[{"folder": tmp_path / "set"}])
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.TOML", 'name = "tiny"\noutput = "out"\n[[data]]\nfolder = "set"\n'),
        ("run.JSON", json.dumps(settings())),
    ],
)
def test_files_of_other_editors_are_read(tmp_path: Path, name: str, text: str) -> None:
    """Some begin a text with a byte order mark, or call it in capitals."""
    file = tmp_path / name
    file.write_text(text, encoding="utf-8-sig")
    assert load_config(file).name == "tiny"


@pytest.mark.parametrize("text", ["{", "[1]", ""])
def test_a_broken_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(text)
    with pytest.raises(BadTrainingConfig, match=r"run\.json"):
        load_config(file)


def test_a_file_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_bytes('notes = "Straße"'.encode("latin-1"))
    with pytest.raises(BadTrainingConfig, match=r"run\.toml is no text in UTF-8"):
        load_config(file)


def test_a_missing_data_folder_stops_the_run_before_ray_starts(tmp_path: Path) -> None:
    config = parse_config(settings(output=tmp_path / "out", data=[{"folder": tmp_path / "none"}]))
    with pytest.raises(BadTrainingData, match="is missing"):
        train(config)
    assert not (tmp_path / "out").exists()


def test_an_unknown_network_argument_is_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    config = parse_config(settings(data=[{"folder": folder}], architecture_args={"depth": 9}))
    with pytest.raises(BadTrainingConfig, match="no argument depth"):
        check(config)


@pytest.mark.parametrize(
    "vectorize", [{"min_lenght_m": 0.3}, {"sure_threshold": 7.0}, {"min_length_m": None}]
)
def test_parameters_of_the_vectoriser_are_checked_before_a_training(
    tmp_path: Path, vectorize: dict[str, float | None]
) -> None:
    folder = write_set(tmp_path / "set")
    config = parse_config(
        settings(output=tmp_path / "out", data=[{"folder": folder}], vectorize=vectorize)
    )
    with pytest.raises(BadTrainingConfig, match="vectorize can't be used"):
        check(config)


def test_what_is_tested_on_may_neither_be_taught_nor_choose_the_threshold(tmp_path: Path) -> None:
    set_ = {"folder": write_set(tmp_path / "set"), "leave_out_every": 2}
    kept = {**set_, "left_out": True}

    def told(**changes: Any) -> TrainConfig:
        return parse_config(settings(output=tmp_path / "out", data=[set_], **changes))

    assert check(told(tests=[kept])) == 2
    with pytest.raises(BadTrainingConfig, match=r"2 images of set are among .*000\.png"):
        check(told(tests=[set_]))
    with pytest.raises(BadTrainingConfig, match="2 images of set are among"):
        check(told(validation=[kept], tests=[kept]))


def test_validation_images_without_a_crack_choose_no_threshold(tmp_path: Path) -> None:
    whole, sound = write_set(tmp_path / "set"), write_set(tmp_path / "sound")
    for mask in (sound / "masks").iterdir():
        write_png(mask, np.zeros((96, 128), np.uint8))

    def told(*validation: Path) -> TrainConfig:
        sources = [{"folder": folder} for folder in validation]
        data = [{"folder": whole, "list": "train"}]
        return parse_config(settings(output=tmp_path / "out", data=data, validation=sources))

    with pytest.raises(BadTrainingConfig, match="none of its images shows a crack"):
        check(told(sound))
    assert check(told(sound, whole)) == 3


def test_a_finished_model_takes_the_place_of_a_model_only(tmp_path: Path) -> None:
    config = parse_config(
        settings(output=tmp_path / "out", data=[{"folder": write_set(tmp_path / "set")}])
    )
    model = tmp_path / "out" / "model"
    model.mkdir(parents=True)
    assert check(config) == 4
    source = model / "my_source.py"
    source.write_text("")
    with pytest.raises(BadTrainingConfig, match="where something else is"):
        check(config)
    (model / "card.json").write_text("{}")
    assert check(config) == 4


def test_a_set_of_pixels_that_the_model_is_not_meant_for_is_refused(tmp_path: Path) -> None:
    """A card that says 2 mm of a network taught at 8 mm would have imagery read four times too fine."""
    folder = write_set(tmp_path / "set")
    write_folder(pair_files(DataSource(folder=folder), gsd_m=0.008), tmp_path / "made")

    def told(**changes: Any) -> TrainConfig:
        own = settings(data=[{"folder": folder}], output=tmp_path / "out", **changes)
        return parse_config({**own, "validation": [{"folder": tmp_path / "made"}]})

    with pytest.raises(
        BadTrainingConfig, match=r"made has 0.008 m .* set gsd_m = 0.008 and a gsd_r"
    ):
        check(told())
    assert check(told(gsd_m=0.008, gsd_range_m=(0.004, 0.016))) == 4


def test_the_command_checks_without_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_set(tmp_path / "set")
    file = tmp_path / "run.json"
    file.write_text(json.dumps(settings()))
    assert main(["--config", str(file), "--check"]) == 0
    assert json.loads(capsys.readouterr().out) == {"images": 4}
    assert main(["--config", str(tmp_path / "none.json")]) == 2
    assert "none.json" in capsys.readouterr().err


def test_the_command_checks_the_model_to_start_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model version is looked for on the platform where the model will be registered with it."""
    write_set(tmp_path / "set")
    file = tmp_path / "run.json"
    file.write_text(json.dumps(settings(start_from="old-town-12345678")))
    assert main(["--config", str(file), "--check"]) == 2
    assert "start_from: there is no model old-town-12345678" in capsys.readouterr().err
    monkeypatch.delenv("PAVEMAP_DATABASE_URL", raising=False)
    assert main(["--config", str(file), "--check", "--register"]) == 2
    assert "set PAVEMAP_DATABASE_URL" in capsys.readouterr().err


def test_the_command_logs_as_the_platform_does(tmp_path: Path) -> None:
    code = (
        "import contextlib, logging, runpy, sys; sys.argv[1:] = ['--config', 'none.json']\n"
        "with contextlib.suppress(SystemExit):\n"
        "    runpy.run_module('pavemap.training.run', run_name='__main__')\n"
        "logging.getLogger('pavemap.x').debug('seen')"
    )

    def told(level: str) -> subprocess.CompletedProcess[str]:
        logs = {"PAVEMAP_LOG_FORMAT": "json", "PAVEMAP_LOG_LEVEL": level}
        return ran(code, folder=tmp_path, **logs)

    line = json.loads(told("DEBUG").stderr.splitlines()[-1])
    assert (line["message"], line["level"]) == ("seen", "debug")
    assert "seen" not in told("INFO").stderr


def test_the_command_takes_the_settings_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_set(tmp_path / "set")
    text = json.dumps(settings(output=str(tmp_path / "out"), data=[{"folder": str(folder)}]))
    assert main(["--config-json", text, "--check"]) == 0
    assert main(["--config-json", "{", "--check"]) == 2
    assert "JSON" in capsys.readouterr().err
