"""A training that gets no Ray, or too little of it, says so, and what to do."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Any

import pytest
import ray

from pavemap.training import room
from pavemap.training.config import TrainConfig, parse_config
from pavemap.training.errors import TrainingFailed
from pavemap.training.room import lack, lack_told
from pavemap.training.run import train
from training.drawing import write_set


def tiny(folder: Path, **changes: Any) -> TrainConfig:
    data = [{"folder": write_set(folder / "set")}]
    return parse_config({"name": "tiny", "output": folder / "out", "data": data, **changes})


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({}, "timed out during startup; if other work keeps this machine busy"),
        ({"ray_address": "10.0.0.9:6379"}, r"see that Ray runs at 10\.0\.0\.9:6379"),
    ],
)
def test_a_ray_that_does_not_start_is_told_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], advice: str
) -> None:
    def refuses(**_: Any) -> None:
        raise RuntimeError("The current node timed out during startup")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuses)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    config = tiny(tmp_path, **changes)
    with pytest.raises(TrainingFailed, match=advice):
        train(config)


@pytest.mark.parametrize(
    ("gpus", "workers", "advice"),
    [
        ({}, 1, "this machine has no GPU; leave use_gpu out"),
        ({"GPU": 1.0}, 2, "2 workers take a GPU each, and this machine has 1; set workers = 1"),
    ],
)
def test_a_machine_without_the_gpus_is_told_at_once(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    gpus: dict[str, float],
    workers: int,
    advice: str,
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: None)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 3.0, **gpus})
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(TrainingFailed, match=advice):
        train(tiny(tmp_path, use_gpu=True, workers=workers))


def test_a_cluster_without_room_is_told_until_it_has_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It has 2 CPUs, then 4, of which other work holds 3, and then none."""
    sizes, free = iter([2.0, 4.0]), iter([2.0, 1.0])
    done = threading.Event()

    def left() -> dict[str, float]:
        cpus = next(free, 4.0)
        if cpus == 4.0:
            done.set()
        return {"CPU": cpus}

    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": next(sizes, 4.0)})
    monkeypatch.setattr(ray, "available_resources", left)
    monkeypatch.setattr(room, "_has_workers", lambda: False)
    with caplog.at_level(logging.WARNING), lack_told(tiny(tmp_path, workers=4), every_s=0.01):
        assert done.wait(30)
    told = [record.getMessage() for record in caplog.records]
    assert [said.partition(";")[0] for said in told] == [
        "training tiny waits for 4 CPUs, the cluster has 2",
        "training tiny waits for 4 CPUs, the cluster has 4 and 1 of them free",
    ]


@pytest.mark.parametrize(
    ("changes", "resources", "waits"),
    [
        ({"workers": 4, "workers_min": 2}, {"CPU": 2.0}, False),
        ({"workers": 4, "workers_min": 3}, {"CPU": 2.0, "GPU": 8.0}, True),
        ({"use_gpu": True}, {"CPU": 8.0}, True),
        ({"use_gpu": True}, {"CPU": 8.0, "GPU": 1.0}, False),
    ],
)
def test_a_training_waits_for_its_fewest_workers(
    tmp_path: Path, changes: dict[str, Any], resources: dict[str, float], *, waits: bool
) -> None:
    said = lack(tiny(tmp_path, **changes), resources, free=resources)
    assert (said is not None) is waits
