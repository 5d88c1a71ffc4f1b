"""A training that gets no Ray says so, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import ray

from pavemap.training.config import parse_config
from pavemap.training.errors import TrainingFailed
from pavemap.training.run import train
from training.drawing import write_set


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
    data = [{"folder": write_set(tmp_path / "set")}]
    config = parse_config({"name": "tiny", "output": tmp_path / "out", "data": data, **changes})
    with pytest.raises(TrainingFailed, match=advice):
        train(config)
