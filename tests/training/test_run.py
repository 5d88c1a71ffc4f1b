"""Training for real through Ray Train: a killed worker or a second one changes nothing."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from safetensors.torch import load_file

from pavemap.training.config import TrainConfig, parse_config
from pavemap.training.errors import TrainingFailed
from pavemap.training.inference import CrackModel
from pavemap.training.models.card import read_card
from pavemap.training.run import TrainResult, main, train
from pavemap.training.scoring.evaluate import evaluate
from pavemap.training.snapshot import mend_snapshot
from training.drawing import write_set

pytestmark = [
    pytest.mark.ray,
    # Ray's own code, on start and stop: sockets left to the garbage collector, its own deprecations.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data") / "drawn", count=6)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One local Ray for all tests here."""
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def tiny(data: Path, output: Path, **changes: Any) -> TrainConfig:
    """A run of seconds: small batches in fp32 on one thread, so that it repeats bit by bit."""
    return parse_config(
        {
            "name": "tiny",
            "output": output,
            "architecture": "survey-unet",
            "architecture_args": {"width": 4},
            "data": [{"folder": data, "list": "train", "licence": "CC0"}],
            "validation": [{"folder": data, "list": "test"}],
            "iterations": 30,
            "batch_size": 4,
            "crop_px": 64,
            "learning_rate": 5e-3,
            "schedule": "cosine",
            "average_decay": 0.8,
            "precision": "fp32",
            "report_every": 5,
            "checkpoint_every": 10,
            **changes,
        }
    )


@dataclass(frozen=True)
class Run:
    """A finished run and the progress it told."""

    result: TrainResult
    progress: list[Mapping[str, Any]]

    @property
    def iterations(self) -> list[int]:
        return [int(line["iteration"]) for line in self.progress]

    @property
    def losses(self) -> list[float]:
        return [float(line["loss"]) for line in self.progress]

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.result.model / "weights.safetensors")


def run(config: TrainConfig) -> Run:
    progress: list[Mapping[str, Any]] = []
    return Run(train(config, on_progress=progress.append), progress)


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tiny(data, tmp_path_factory.mktemp("undisturbed")))


def test_a_run_ends_in_a_model_folder_with_a_validated_threshold(
    data: Path, undisturbed: Run
) -> None:
    assert undisturbed.iterations == [5, 10, 15, 20, 25, 30]
    assert {line["run"] for line in undisturbed.progress} == {"tiny"}
    kept = undisturbed.result.model.parent.rglob("state.json")
    states = [json.loads(path.read_text()) for path in kept]
    assert {state["settings"]["learning_rate"] for state in states} == {5e-3}  # told apart by them
    assert undisturbed.losses[-1] < undisturbed.losses[0]
    result = undisturbed.result
    card = read_card(result.model)
    assert card.model_id == result.model_id
    assert card.data == ["drawn/train (5 images, CC0)"]
    assert "Not for safety decisions" in card.intended_use
    assert not {"output", "ray_address", "mlflow_uri"} & set(card.training["settings"])
    assert card.metrics["validation_mean_f1"] == max(card.metrics["threshold_curve"].values())
    score = evaluate(result.model, data, list_name="test").mean
    assert score.f1 == pytest.approx(card.metrics["validation_mean_f1"], abs=1e-3)


def test_a_killed_worker_resumes_from_its_checkpoint_and_ends_the_same(
    data: Path, tmp_path: Path, undisturbed: Run
) -> None:
    """The progress file begins with a torn line, as a full disk leaves one: it is passed over."""
    config = tiny(data, tmp_path / "killed")
    config.output.mkdir()
    (config.output / "progress.jsonl").write_text('{"iteration": 1')
    killed: list[int] = []
    killer = threading.Thread(target=_kill_after_checkpoint, args=(config.output, killed))
    killer.start()
    resumed = run(config)
    killer.join()
    assert killed, "the worker was gone before it could be killed"
    assert (resumed.iterations[0], resumed.iterations[-1]) == (5, 30)
    expected = undisturbed.weights
    assert all(torch.equal(value, expected[name]) for name, value in resumed.weights.items())
    assert len(list(config.output.glob("ray/tiny/checkpoint_2*"))) == 2
    reported = [float(line["seconds"]) for line in resumed.progress]
    assert resumed.result.seconds == pytest.approx(sum(reported)), (
        "what was learnt again counts, too"
    )


def test_the_same_run_again_is_done_at_once(data: Path, undisturbed: Run) -> None:
    again = run(tiny(data, undisturbed.result.model.parent))
    assert again.progress == []
    assert again.result.model_id == undisturbed.result.model_id
    assert again.result.seconds == undisturbed.result.seconds


@pytest.mark.parametrize(("lost", "learnt_anew"), [(False, []), (True, [25, 30])])
def test_a_run_whose_list_of_checkpoints_was_torn_goes_on_from_a_whole_one(
    data: Path, tmp_path: Path, undisturbed: Run, lost: bool, learnt_anew: list[int]
) -> None:
    """Ray's list is cut short, as a kill leaves it, and in the second case its last checkpoint too."""
    config = tiny(data, tmp_path / "torn")
    folder = checkpoints_as_of(undisturbed, config)
    cut_short(folder / "checkpoint_manager_snapshot.json")
    if lost:
        cut_short(max(folder.glob("checkpoint_2*")) / "weights.safetensors")
    again = run(config)
    assert again.iterations == learnt_anew
    assert again.result.loss == pytest.approx(undisturbed.losses[-1])
    expected = undisturbed.weights
    assert all(torch.equal(value, expected[name]) for name, value in again.weights.items())


def test_checkpoints_that_rays_list_does_not_name_are_removed(
    data: Path, tmp_path: Path, undisturbed: Run
) -> None:
    """One was written to its end, but not listed before a kill; a full disk cut the other short."""
    config = tiny(data, tmp_path / "left-over")
    folder = checkpoints_as_of(undisturbed, config)
    listed = sorted(folder.glob("checkpoint_2*"))
    shutil.copytree(listed[-1], folder / f"{listed[-1].name}0")
    shutil.copytree(listed[0], folder / "checkpoint_2020-01-01_00-00-00.000000")
    cut_short(folder / "checkpoint_2020-01-01_00-00-00.000000" / "weights.safetensors")
    mend_snapshot(folder, config)
    assert sorted(folder.glob("checkpoint_2*")) == listed


def test_without_a_list_whole_checkpoints_are_gone_on_from_and_others_removed(
    data: Path, tmp_path: Path, undisturbed: Run
) -> None:
    """A kill came before Ray had listed anything; then all of what is left is cut short."""
    config = tiny(data, tmp_path / "unlisted")
    folder = checkpoints_as_of(undisturbed, config)
    snapshot = folder / "checkpoint_manager_snapshot.json"
    snapshot.unlink()
    first, last = sorted(folder.glob("checkpoint_2*"))
    cut_short(last / "weights.safetensors")
    mend_snapshot(folder, config)
    assert list(folder.glob("checkpoint_2*")) == [first]
    latest = json.loads(snapshot.read_text())["latest_checkpoint_result"]
    assert latest["metrics"]["iteration"] == 20

    snapshot.unlink()
    cut_short(first / "optimizer.pt")
    mend_snapshot(folder, config)
    assert list(folder.glob("checkpoint_*")) == []


def checkpoints_as_of(former: Run, config: TrainConfig) -> Path:
    """Give a configuration the output of a run that ended; return the folder of its checkpoints."""
    shutil.copytree(former.result.model.parent, config.output)
    return config.output / "ray" / config.name


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:100])


def test_the_command_with_two_workers_learns_what_one_does_at_the_same_global_batch(
    data: Path, tmp_path: Path, undisturbed: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loss curve of the whole batch, its normalisation shared; sums are rounded elsewhere."""
    config = tiny(data, tmp_path / "two", workers=2)
    assert main(["--config-json", config.model_dump_json()]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line[:1] == "{"]
    losses = [line["loss"] for line in lines[:-1]]
    assert losses == pytest.approx(undisturbed.losses, rel=2e-3)
    assert {line["workers"] for line in lines[:-1]} == {2}
    assert CrackModel.load(Path(lines[-1]["model"])).card.model_id == lines[-1]["model_id"]


def test_a_folder_in_which_another_training_is_at_work_is_left_alone(
    data: Path, tmp_path: Path
) -> None:
    config = tiny(data, tmp_path / "taken")
    config.output.mkdir()
    with (config.output / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(TrainingFailed, match="another training is at work"):
            train(config)
    assert [path.name for path in config.output.iterdir()] == [".lock"]


def _kill_after_checkpoint(output: Path, killed: list[int]) -> None:
    """Kill the training worker (SIGKILL) once its first checkpoint is stored."""
    deadline = time.monotonic() + 240
    while not killed and time.monotonic() < deadline:
        if list(output.glob("ray/*/checkpoint_2*")):
            for pid in _descendants(os.getpid()):
                with contextlib.suppress(OSError):
                    if b"RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(pid, signal.SIGKILL)
                        killed.append(pid)
        time.sleep(0.02)


def _descendants(pid: int) -> Iterator[int]:
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, file.read_text().split()):
                yield child
                yield from _descendants(child)
