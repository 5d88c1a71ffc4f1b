"""Mends Ray's list of a run's checkpoints where a kill has torn it.

Ray writes the list over itself, in the same file, and a list that can't be read ends every later run.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pavemap.training.checkpoint import is_whole, saved_iteration
from pavemap.training.config import TrainConfig
from pavemap.training.progress_file import figures_of

logger = logging.getLogger(__name__)

SNAPSHOT_FILE = "checkpoint_manager_snapshot.json"

CHECKPOINTS_KEPT = 2


def mend_snapshot(folder: Path, config: TrainConfig) -> None:
    """Make the list in a run's folder anew, of the checkpoints there, where it is no JSON.

    Without a whole checkpoint the list goes, and the run begins anew.
    """
    path = folder / SNAPSHOT_FILE
    if not path.exists() or _is_json(path):
        return
    whole = list(_whole_checkpoints(folder, averaged=config.average_decay > 0))[-CHECKPOINTS_KEPT:]
    logger.warning(
        "%s was cut short; going on from %s", path, whole[-1].name if whole else "the beginning"
    )
    if not whole:
        path.unlink()
        return
    draft = path.with_name(f".{SNAPSHOT_FILE}")
    draft.write_text(_snapshot(whole, config))
    draft.replace(path)


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text())
    except ValueError:
        return False
    return True


def _whole_checkpoints(folder: Path, *, averaged: bool) -> Iterator[Path]:
    """The checkpoints, the oldest first: their names are the times of their writing."""
    for each in sorted(folder.glob("checkpoint_*")):
        if each.is_dir() and is_whole(each, averaged=averaged):
            yield each


def _snapshot(checkpoints: list[Path], config: TrainConfig) -> str:
    """The list as Ray would have written it."""
    from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import (
        _CheckpointManagerState,
        _TrainingResultState,
    )

    told = {int(line["iteration"]): line for line in figures_of(config)}
    results = [
        _TrainingResultState(checkpoint_dir_name=each.name, metrics=_metrics(each, told))
        for each in checkpoints
    ]
    state = _CheckpointManagerState(
        checkpoint_results=results,
        checkpoint_report_indices=list(range(len(results))),
        latest_checkpoint_result=results[-1],
        pending_training_results=[],
        pending_validation_specs=[],
        current_report_index=len(results),
        validated_checkpoint_dir_names=[],
        timed_out_validation_checkpoint_dir_names=[],
        failed_validation_checkpoint_dir_names=[],
    )
    return json.dumps(state.model_dump())


def _metrics(checkpoint: Path, told: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """What the run reported with a checkpoint."""
    iteration = saved_iteration(checkpoint)
    return {"iteration": iteration, "loss": math.nan, **told.get(iteration, {})}
