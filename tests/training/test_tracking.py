"""MLflow is told of a run by its own client, and no training waits for it or fails with it."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest

from pavemap.serving.listening import free_port
from pavemap.training import tracking
from pavemap.training.config import TrainConfig, parse_config
from pavemap.training.errors import BadTrainingConfig, TrainingFailed
from pavemap.training.models.card import ModelCard, read_card
from pavemap.training.progress_file import PROGRESS_FILE, append_line
from pavemap.training.tracking import RUN_FILE, VARIABLE, Tracking
from training.model_folders import write_model_folder

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow"),
    pytest.mark.filterwarnings("ignore::FutureWarning:mlflow"),
]


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store of files: the client writes there what it would send a server."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return (tmp_path / "mlruns").as_uri()


def config(folder: Path, **changes: Any) -> TrainConfig:
    output = folder / "out"
    output.mkdir(exist_ok=True)
    return parse_config(
        {"name": "old-town", "output": output, "data": [{"folder": "labels/town"}], **changes}
    )


def point(iteration: int) -> dict[str, Any]:
    return {"iteration": iteration, "loss": 10.0 / iteration, "waited": 0.0, "samples_per_s": 9.0}


def runs(uri: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("pavemap")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def test_settings_curve_scores_and_card_are_told(uri: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    card = read_card(write_model_folder(tmp_path / "model"))
    score = {"data": "town/test", "mean": {"precision": 0.9, "recall": 0.7, "f1": 0.79}}
    card = card.model_copy(update={"metrics": {"validation_mean_f1": 0.8, "tests": [score]}})
    with Tracking.configured(config(tmp_path, mlflow_uri=uri, learning_rate=0.002)) as told:
        for iteration in (10, 20):
            told.progress(point(iteration))
        told.finished(card)

    (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "old-town"
    assert run.data.params["learning_rate"] == "0.002"
    assert run.data.params["data"] == "town"
    assert run.data.params["augmentation.flips"] == "False"
    assert run.data.tags["pavemap.model"] == card.model_id
    assert run.data.metrics["tests/town/test/f1"] == 0.79
    assert run.data.metrics["validation_mean_f1"] == 0.8
    client = MlflowClient(tracking_uri=uri)
    curve = client.get_metric_history(run.info.run_id, "loss")
    assert [(each.step, each.value) for each in curve] == [(10, 1.0), (20, 0.5)]
    kept = client.download_artifacts(run.info.run_id, "card.json", str(tmp_path))
    assert json.loads(Path(kept).read_text())["digest"] == card.digest


def test_a_run_that_failed_and_goes_on_is_one_run(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, uri)
    settings = config(tmp_path)

    def fail() -> None:
        with Tracking.configured(settings) as told:
            told.progress(point(10))
            raise TrainingFailed("a worker was killed once too often")

    with pytest.raises(TrainingFailed):
        fail()
    assert [run.info.status for run in runs(uri)] == ["FAILED"]
    with Tracking.configured(settings) as told:
        told.progress(point(20))
    (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["loss"] == 0.5
    assert json.loads((settings.output / RUN_FILE).read_text())["run"] == run.info.run_id


def curve(uri: str, run: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    history = MlflowClient(tracking_uri=uri).get_metric_history(run, "loss")
    return [(each.step, each.value) for each in history]


def test_a_run_that_goes_on_tells_what_the_server_missed_and_each_iteration_once(
    uri: str, tmp_path: Path
) -> None:
    """The server was told of 10, then went away; from 20 on the run went back and learnt 20 again."""
    settings = config(tmp_path)
    with Tracking(settings, uri=uri) as told:
        told.progress(point(10))
    for line in (point(10), point(20), {**point(20), "loss": 0.4}, point(30)):
        append_line(settings.output / PROGRESS_FILE, json.dumps({"run": "old-town", **line}))
    append_line(settings.output / PROGRESS_FILE, json.dumps({"run": "other", **point(25)}))
    with Tracking(settings, uri=uri) as told:
        told.progress(point(30))
        told.progress(point(40))
    (run,) = runs(uri)
    expected = [(10, 1.0), (20, 0.4), (30, 10.0 / 30), (40, 0.25)]
    assert curve(uri, run.info.run_id) == expected


def test_a_training_of_another_name_in_the_same_output_is_a_run_of_its_own(
    uri: str, tmp_path: Path
) -> None:
    for name in ("old-town", "new-town"):
        with Tracking(config(tmp_path, name=name), uri=uri) as told:
            told.progress(point(10))
    assert {run.info.run_name for run in runs(uri)} == {"old-town", "new-town"}
    assert [curve(uri, run.info.run_id) for run in runs(uri)] == [[(10, 1.0)], [(10, 1.0)]]


@pytest.mark.parametrize(
    ("named", "own", "kept"),
    [
        ("https://elsewhere.example/x", "https://mlflow.example:5000", False),
        ("http://mlflow.example:5000", "https://mlflow.example:5000", False),
        ("https://mlflow.example:5000/sub", "https://mlflow.example:5000", True),
        ("https://mlflow.example", None, True),
        (None, "https://mlflow.example:5000", True),
    ],
)
def test_the_operators_password_goes_to_the_operators_server_only(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    named: str | None,
    own: str | None,
    *,
    kept: bool,
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    if own:
        monkeypatch.setenv(VARIABLE, own)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "pavemap")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    Tracking.configured(config(tmp_path, mlflow_uri=named))
    held = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} & set(os.environ)
    assert len(held) == (2 if kept else 0)
    assert ("are not sent there" in caplog.text) is not kept


def test_a_run_that_goes_on_with_other_settings_keeps_its_first_and_tells_the_later_ones(
    uri: str, tmp_path: Path
) -> None:
    for iterations, at in ((1000, 10), (2000, 20)):
        with Tracking(config(tmp_path, iterations=iterations), uri=uri) as told:
            told.progress(point(at))
    (run,) = runs(uri)
    assert run.info.status == "FINISHED"
    assert run.data.params["iterations"] == "1000"
    assert run.data.tags["pavemap.later.iterations"] == "2000"
    assert run.data.metrics["loss"] == 0.5


def finished(uri: str, folder: Path, *, scored_on: str) -> tuple[ModelCard, Any]:
    """The card of a model scored on a set, and the run that was told of it alone."""
    score = {"data": scored_on, "mean": {"precision": 0.9, "recall": 0.7, "f1": 0.8}}
    card = read_card(write_model_folder(folder / "model"))
    card = card.model_copy(update={"metrics": {"tests": [score]}})
    with Tracking(config(folder), uri=uri) as told:
        told.finished(card)
    (run,) = runs(uri)
    return card, run


def test_names_that_mlflow_does_not_take_are_changed(uri: str, tmp_path: Path) -> None:
    _, run = finished(uri, tmp_path, scored_on="ring (2026), Mai/süd")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["tests/ring _2026__ Mai/s_d/f1"] == 0.8


def test_a_report_that_is_refused_for_good_holds_up_no_other(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "metric_name", lambda text: f"{text}, not allowed")
    card, run = finished(uri, tmp_path, scored_on="town")
    assert run.info.status == "FINISHED"
    assert run.data.tags["pavemap.model"] == card.model_id
    assert "reports refused" in caplog.text


def test_a_run_that_was_deleted_on_the_server_begins_anew(uri: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    settings = config(tmp_path)
    with Tracking(settings, uri=uri) as told:
        told.progress(point(10))
    (former,) = runs(uri)
    MlflowClient(tracking_uri=uri).delete_run(former.info.run_id)
    with Tracking(settings, uri=uri) as told:
        told.progress(point(20))
    (run,) = runs(uri)
    assert run.info.run_id != former.info.run_id
    assert run.data.metrics["loss"] == 0.5


def test_a_server_that_is_away_is_waited_for_a_moment_and_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    away = f"http://127.0.0.1:{free_port()}"
    started = time.monotonic()
    with (
        caplog.at_level(logging.WARNING),
        Tracking(config(tmp_path), uri=away, patience_s=2.0) as told,
    ):
        told.progress(point(10))
    assert time.monotonic() - started < 20
    assert "has not taken all of this run" in caplog.text
    assert "progress.jsonl" in caplog.text


def test_what_a_server_missed_is_sent_when_it_is_back(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, away = Tracking._open, [True]

    def open_later(self: Tracking) -> Any:
        if away:
            away.pop()
            raise ConnectionError("refused")
        return opened(self)

    monkeypatch.setattr(Tracking, "_open", open_later)
    with Tracking(config(tmp_path), uri=uri) as told:
        told.progress(point(10))
    (run,) = runs(uri)
    assert run.data.metrics["loss"] == 1.0
    assert run.data.params["name"] == "old-town"


def test_without_a_server_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with Tracking.configured(config(tmp_path)) as told:
        told.progress(point(10))
    assert not (tmp_path / "out" / RUN_FILE).exists()


def test_a_client_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda _: None)
    with pytest.raises(BadTrainingConfig, match=r"pavemap\[mlflow\]"):
        Tracking.configured(config(tmp_path, mlflow_uri="http://mlflow:5000"))
    monkeypatch.setenv(VARIABLE, "http://mlflow:5000")
    Tracking.configured(config(tmp_path))
    assert "pavemap[mlflow]" in caplog.text
