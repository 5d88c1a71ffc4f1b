"""A worker while the bucket fails: no cell is charged, and all go on by themselves afterwards."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine

from drawn_surveys import lay_survey, progress
from fake_s3 import set_fault
from pavemap.geo.errors import Unavailable
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import database
from pavemap.geo.store.orthophotos import list_orthophotos
from pavemap.serving.worker import CellWorker, WorkRules
from scenes import Scene

RETRY_AFTER_S = 0.01


def dark(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A detector whose answer is known beforehand: the drawn cracks are dark."""
    return np.where(chip[:, :, 0] < 100, 255, 0).astype(np.uint8)


@pytest.mark.parametrize("fault", ["cut", "denied", "dropped"])
def test_cells_rest_at_no_charge_while_the_bucket_fails(
    engine: Engine, endpoint: str, small_scene: Scene, tmp_path: Path, fault: str
) -> None:
    bucket = Storage("s3://surveys/2026")
    survey = lay_survey(engine, storage=bucket, scene=small_scene, folder=tmp_path / "tiles")
    rules = WorkRules(lease_s=60.0, max_attempts=3, retry_after_s=RETRY_AFTER_S)
    worker = CellWorker(engine, storage=bucket, detect_with=lambda _: dark, name="one", rules=rules)
    assert worker.run_once()
    set_fault(endpoint, fault)
    away = 0
    for _ in range(2 * progress(engine, survey).cells_total):
        try:
            worker.run_once()
        except Unavailable:
            away += 1
    assert away
    assert progress(engine, survey).waiting
    set_fault(endpoint, "")
    time.sleep(2 * RETRY_AFTER_S)
    while worker.run_once():
        pass
    after = progress(engine, survey)
    assert (after.done, after.failed, after.retries) == (after.cells_total, 0, 0)


def test_one_file_cut_short_in_the_bucket_does_not_keep_a_survey_running(
    engine: Engine, endpoint: str, small_scene: Scene, tmp_path: Path
) -> None:
    """GDAL tells of it as of an answer that was cut off; its size tells whose fault it is."""
    bucket = Storage("s3://surveys/2026")
    survey = lay_survey(engine, storage=bucket, scene=small_scene, folder=tmp_path / "tiles")
    with database(engine) as conn:
        tile = list_orthophotos(conn, survey.id)[0]
    whole = bucket.read(tile.key)
    bucket.write(tile.key, whole[: len(whole) // 2])
    rules = WorkRules(lease_s=60.0, max_attempts=2, retry_after_s=0.0)
    worker = CellWorker(engine, storage=bucket, detect_with=lambda _: dark, name="one", rules=rules)
    while worker.run_once():
        pass
    after = progress(engine, survey)
    assert (after.failed > 0, after.done > 0, after.waiting) == (True, True, 0)
    (error,) = after.errors
    assert error.startswith(f"DamagedRaster: {tile.name} is damaged in storage (")
