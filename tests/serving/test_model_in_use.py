"""Following the version in use: what goes wrong once is tried again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from sqlalchemy import Engine

from pavemap.geo.errors import Unavailable
from pavemap.geo.storage import Storage
from pavemap.serving.model_in_use import follow_model_in_use
from pavemap.training.models.model_registry import ModelRegistry
from pavemap.training.models.model_store import ModelStore
from pavemap.training.models.shipped_models import default_card


@pytest.mark.parametrize(
    "trouble", [Unavailable("away"), torch.OutOfMemoryError("full"), OSError("disk")]
)
def test_trouble_with_a_version_is_not_the_end_of_following(
    engine: Engine, tmp_path: Path, trouble: Exception
) -> None:
    asked: list[str] = []
    over = threading.Event()

    def changed(model_id: str) -> bool:
        asked.append(model_id)
        if len(asked) == 1:
            raise trouble
        over.set()
        return False

    registry = ModelRegistry(engine, ModelStore(Storage(str(tmp_path))))
    follow_model_in_use(registry, changed, every_s=0.01)
    assert over.wait(20)
    assert asked == [default_card().model_id] * 2
