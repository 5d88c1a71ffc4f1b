"""Training and evaluation from the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest

from cli_world import Cli
from pavemap.platform.cli import models
from pavemap.platform.client.api_client import Client
from pavemap.training.config import TrainConfig
from pavemap.training.run import TrainResult
from scenes import asphalt, draw_crack


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Two drawn images of cracked asphalt with their masks."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        image, mask = asphalt(256, 192, seed=number), np.zeros((192, 256, 3), np.uint8)
        path = [(10.0, 20.0 + 60 * number), (245.0, 150.0)]
        draw_crack(image, path)
        cv2.polylines(mask, [np.array(path, np.int32)[:, None]], False, (255, 255, 255), 4)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), image)
        cv2.imwrite(str(tmp_path / "masks" / f"{number}.png"), mask[:, :, 0])
    (tmp_path / "test.txt").write_text("1\n")
    return tmp_path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A training configuration."""
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"name": "mini", "output": "out", "data": [{"folder": "data"}]}))
    return path


def test_a_model_is_scored_on_labelled_images(labelled: Path) -> None:
    both = Cli()("evaluate", labelled, "--json").json
    one = Cli()("evaluate", labelled, "--list", "test.txt", "--tolerance-px", 5)

    assert both["images"] == 2
    assert 0.0 <= both["mean"]["f1"] <= 1.0
    assert "1 images" in one.out
    assert "mean of images" in one.out


def test_a_folder_without_images_is_told(tmp_path: Path) -> None:
    assert str(tmp_path) in Cli().fails("evaluate", tmp_path).err


def test_a_bad_configuration_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"name": "mini", "iterations": 0}))

    said = Cli().fails("train", tmp_path / "run.json")

    assert "iterations" in said.err
    assert "output" in said.err


def test_a_training_here_waits_for_ray_as_long_as_a_server_does(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a node takes longer to be known than Ray's own 30 s."""
    seen: dict[str, str] = {}

    def run(settings: TrainConfig, **_: Any) -> TrainResult:
        seen.update(os.environ)
        folder = settings.output / "model"
        return TrainResult(folder, "mini-0", iterations=1, loss=0.5, seconds=1.0, metrics={})

    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    monkeypatch.setattr(os, "environ", own)
    monkeypatch.setattr("pavemap.training.run.train", run)
    Cli()("train", config)
    assert seen["RAY_raylet_start_wait_time_s"] == "120"
    assert seen["RAY_AUTH_TOKEN_PATH"].startswith(str(config.parent))


@pytest.mark.parametrize(
    ("options", "states", "code"),
    [
        ([], ("pending", ""), 0),
        ([], ("lost", ""), 1),
        (["--follow"], ("pending", "running"), 1),  # its cluster went away in the middle
        (["--follow"], ("pending", "lost"), 1),
        (["--follow"], ("succeeded", ""), 0),  # trained already: there may be no log any more
    ],
)
def test_how_a_command_ends_says_how_the_run_did(
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    states: tuple[str, str],
    code: int,
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert states[1] or request.method == "POST"
        if request.url.path.endswith("/logs"):
            return httpx.Response(200, text="iteration 1\n")
        state = states[0] if request.method == "POST" else states[1]
        return httpx.Response(200, json={"id": "train-1", "state": state, "message": "well"})

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(models, "connect", lambda server: Client(server, transport=transport))
    Cli().fails("train", config, "--submit", *options, code=code)


def test_a_run_is_handed_to_a_server_and_followed(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(f"{request.method} {request.url.path}")
        if request.url.path.endswith("/logs"):
            return httpx.Response(200, text="iteration 1\n")
        state = "pending" if request.method == "POST" else "succeeded"
        return httpx.Response(200, json={"id": "train-1", "state": state, "message": "well"})

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(models, "connect", lambda server: Client(server, transport=transport))

    said = Cli()("train", config, "--submit", "--follow", "--json")

    assert said.json["state"] == "succeeded"
    assert "iteration 1" in said.err
    assert seen == [
        "POST /api/v1/training-jobs",
        "GET /api/v1/training-jobs/train-1/logs",
        "GET /api/v1/training-jobs/train-1",
    ]
