"""Mends Ray's list of a run's checkpoints where a kill has torn it, and removes what it does not name.

Ray writes the list over itself, in the same file, and a list that can't be read ends every later run. It
removes old checkpoints that it has listed: one written as a worker was killed would stay for good.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pavemap.training.checkpoint import is_whole, saved_iteration
from pavemap.training.config import TrainConfig
from pavemap.training.progress_file import last_reports

log = logging.getLogger(__name__)

SNAPSHOT_FILE = "checkpoint_manager_snapshot.json"

CHECKPOINTS_KEPT = 2


def mend_snapshot(folder: Path, config: TrainConfig) -> None:
    """Leave a run's folder with a list that can be read and the checkpoints that it names, no others.

    Where the list is no JSON, or none was written yet, it is made anew of the whole checkpoints there.
    Without any the list goes, and the run begins anew. Nothing else may be at work in the folder.
    """
    path = folder / SNAPSHOT_FILE
    checkpoints = _checkpoints(folder)
    if (text := _readable(path)) is not None:
        _remove(each for each in checkpoints if each.name not in text)
        return
    averaged = config.average_decay > 0
    whole = [each for each in checkpoints if is_whole(each, averaged=averaged)]
    kept = whole[-CHECKPOINTS_KEPT:]
    if path.exists() or kept:
        start = kept[-1].name if kept else "the beginning"
        log.warning("%s was not written to its end; going on from %s", path, start)
    # First, for a full disk may be what kept the list from being written.
    _remove(each for each in checkpoints if each not in kept)
    if not kept:
        path.unlink(missing_ok=True)
        return
    draft = path.with_name(f".{SNAPSHOT_FILE}")
    draft.write_text(_snapshot(kept, config))
    draft.replace(path)


def _readable(path: Path) -> str | None:
    """The text of a list; None where there is none, or it is no JSON."""
    try:
        text = path.read_text()
        json.loads(text)
    except (FileNotFoundError, ValueError):
        return None
    return text


def _checkpoints(folder: Path) -> list[Path]:
    """All checkpoints, the oldest first: their names are the times of their writing."""
    return sorted(each for each in folder.glob("checkpoint_*") if each.is_dir())


def _remove(checkpoints: Iterable[Path]) -> None:
    for each in checkpoints:
        log.info("removing %s, which was left over", each)
        shutil.rmtree(each, ignore_errors=True)


def _snapshot(checkpoints: list[Path], config: TrainConfig) -> str:
    """The list as Ray would have written it."""
    from ray.train.v2._internal.execution.checkpoint.checkpoint_manager import (
        _CheckpointManagerState,
        _TrainingResultState,
    )

    told = last_reports(config)
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
