"""A worker against the real database: what it stores, whom it charges with errors, what it waits out."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine, text

from drawn_surveys import Figures, figures, lay_survey, progress, state
from pavemap.geo.errors import StorageFull, Unavailable
from pavemap.geo.storage import Storage
from pavemap.geo.store import cells, leases, measuring, planning
from pavemap.geo.store.engine import database
from pavemap.geo.store.orthophotos import list_orthophotos
from pavemap.geo.store.storage_identity import check_identity
from pavemap.geo.store.surveys import SurveyRow, get_survey
from pavemap.serving.worker import CellWorker, WorkRules
from scenes import Scene

Array = NDArray[np.uint8]


def dark(chip: Array) -> Array:
    """A detector whose answer is known beforehand: the drawn cracks are dark."""
    return np.where(chip[:, :, 0] < 100, 255, 0).astype(np.uint8)


@pytest.fixture
def survey(engine: Engine, storage: Storage, small_scene: Scene, tmp_path: Path) -> SurveyRow:
    return lay_survey(engine, storage=storage, scene=small_scene, folder=tmp_path / "tiles")


@pytest.fixture
def make_worker(engine: Engine, storage: Storage) -> Callable[..., CellWorker]:
    def make(
        detect: Callable[[Array], Array] = dark,
        *,
        name: str = "one",
        lease_s: float = 60.0,
        model_id: str | None = None,
        retry_after_s: float = 0.0,
    ) -> CellWorker:
        rules = WorkRules(
            model_id=model_id, lease_s=lease_s, max_attempts=3, retry_after_s=retry_after_s
        )
        return CellWorker(
            engine, storage=storage, detect_with=lambda _: detect, name=name, rules=rules
        )

    return make


def work_off(worker: CellWorker) -> int:
    """Let a worker do all there is; return the number of pieces of work."""
    count = 0
    while worker.run_once():
        count += 1
    return count


def test_a_survey_is_worked_off_measured_once_and_then_there_is_nothing_to_do(
    engine: Engine, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    planned = progress(engine, survey).cells_total
    assert planned > 10
    assert work_off(make_worker()) == planned + 1
    after = progress(engine, survey)
    assert (after.done, after.failed, after.waiting, after.retries) == (planned, 0, 0, 0)
    assert state(engine, survey) == "done"
    found = figures(engine, survey)
    assert found.cracks
    assert sum(length for _, length, *_ in found.cracks) > 2.0
    assert not make_worker().run_once()


def test_a_survey_of_another_model_is_left_to_those_who_have_it(
    engine: Engine, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    assert not make_worker(model_id="other-00000000").run_once()
    assert make_worker(model_id=survey.model_id).run_once()


def test_two_workers_share_a_survey_and_give_what_one_gives(
    engine: Engine,
    storage: Storage,
    small_scene: Scene,
    tmp_path: Path,
    make_worker: Callable[..., CellWorker],
) -> None:
    results: list[Figures] = []
    for crew in (["one"], ["one", "two", "three"]):
        survey = lay_survey(
            engine, storage=storage, scene=small_scene, folder=tmp_path / "-".join(crew)
        )
        threads = [
            threading.Thread(target=work_off, args=(make_worker(name=name),)) for name in crew
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        work_off(make_worker())
        results.append(figures(engine, survey))
    assert results[0].cracks
    results[0].assert_same(results[1])


def test_a_poison_cell_is_failed_after_its_attempts_and_the_others_are_done(
    engine: Engine, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    poisoned: list[Array] = []

    def fragile(chip: Array) -> Array:
        if not poisoned:
            poisoned.append(chip.copy())
        if np.array_equal(chip, poisoned[0]):
            raise ValueError("this chip can't be read\x00")
        return dark(chip)

    work_off(make_worker(fragile))
    after = progress(engine, survey)
    assert (after.failed, after.done) == (1, after.cells_total - 1)
    assert state(engine, survey) == "done"
    with database(engine) as conn:
        ((failed,), _) = cells.cells_page(conn, survey.id, state="failed")
    assert failed.attempts == 3
    assert failed.error == "ValueError: this chip can't be read"


def test_a_detector_that_is_away_costs_no_attempt(
    engine: Engine, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    def away(chip: Array) -> Array:
        raise Unavailable("no Detector")

    worker = make_worker(away)
    for _ in range(5):
        with pytest.raises(Unavailable):
            worker.run_once()
    after = progress(engine, survey)
    assert (after.waiting, after.retries) == (after.cells_total, 0)
    work_off(make_worker())
    assert progress(engine, survey).done == after.cells_total


def test_one_thing_that_is_away_holds_up_no_other_cell(
    engine: Engine, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    poisoned: list[Array] = []

    def partly(chip: Array) -> Array:
        if not poisoned:
            poisoned.append(chip.copy())
        if np.array_equal(chip, poisoned[0]):
            raise Unavailable("tile 7 is in an archive")
        return dark(chip)

    worker = make_worker(partly, retry_after_s=0.001)  # what rests is free again at once
    with pytest.raises(Unavailable):
        worker.run_once()
    for _ in range(progress(engine, survey).cells_total - 1):
        try:
            assert worker.run_once()
        except Unavailable:  # it is tried again now and then, and never twice before another
            assert worker.run_once()
    after = progress(engine, survey)
    assert (after.waiting, after.done) == (1, after.cells_total - 1)
    assert after.held_up == {"Unavailable: tile 7 is in an archive": 1}
    time.sleep(0.01)
    with pytest.raises(Unavailable):
        worker.run_once()


def test_a_survey_is_measured_before_others_have_their_cells_done(
    engine: Engine,
    storage: Storage,
    survey: SurveyRow,
    small_scene: Scene,
    make_worker: Callable[..., CellWorker],
    tmp_path: Path,
) -> None:
    worker = make_worker()
    for _ in range(progress(engine, survey).cells_total):
        assert worker.run_once()
    later = lay_survey(engine, storage=storage, scene=small_scene, folder=tmp_path / "later")
    assert worker.run_once()
    assert state(engine, survey) == "done"
    assert progress(engine, later).done == 0


def test_a_measuring_that_the_full_disk_ends_rests_and_says_why(
    engine: Engine,
    survey: SurveyRow,
    make_worker: Callable[..., CellWorker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = make_worker(retry_after_s=600.0)
    for _ in range(progress(engine, survey).cells_total):
        assert worker.run_once()
    full = Mock(side_effect=StorageFull("the database has no room left on its disk"))
    with monkeypatch.context() as patch:
        patch.setattr(measuring, "measure_survey", full)
        with pytest.raises(StorageFull):
            worker.run_once()
    assert not worker.run_once(), "it rests"
    with database(engine) as conn:
        row = get_survey(conn, survey.id)
        assert (row.state, row.measuring_attempts) == ("running", 0)
        assert row.error.endswith("no room left on its disk")
        conn.execute(text("UPDATE survey SET lease_until = now() - interval '1 s'"))
    assert worker.run_once()
    with database(engine) as conn:
        row = get_survey(conn, survey.id)
    assert (row.state, row.error) == ("done", "")


def test_a_cell_that_could_not_be_given_back_is_before_another_is_claimed(
    engine: Engine,
    survey: SurveyRow,
    make_worker: Callable[..., CellWorker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def away(chip: Array) -> Array:
        raise Unavailable("no Detector")

    worker = make_worker(away)
    with monkeypatch.context() as patch:
        patch.setattr(leases, "release", Mock(side_effect=Unavailable("no database")))
        with pytest.raises(Unavailable):
            worker.run_once()
    assert progress(engine, survey).leased == 1
    with pytest.raises(Unavailable, match="Detector"):
        worker.run_once()
    after = progress(engine, survey)
    assert (after.leased, after.retries) == (0, 0)


def test_a_fault_while_storing_leaves_no_lease_that_its_worker_keeps_alive(
    engine: Engine,
    survey: SurveyRow,
    make_worker: Callable[..., CellWorker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = make_worker(retry_after_s=600.0)
    with monkeypatch.context() as patch:
        for step in ("complete", "fail"):
            patch.setattr(cells, step, Mock(side_effect=RuntimeError("no such column")))
        with pytest.raises(RuntimeError):
            worker.run_once()
    after = progress(engine, survey)
    assert (after.leased, after.held_up) == (0, {"RuntimeError: no such column": 1})
    work_off(worker)
    assert progress(engine, survey).done == after.cells_total - 1


def test_storage_that_is_away_costs_no_attempt_and_is_waited_for(
    engine: Engine, storage: Storage, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    assert storage.folder is not None
    aside = storage.folder.with_name("unmounted")
    shutil.move(storage.folder, aside)
    worker = make_worker()
    for _ in range(5):
        with pytest.raises(Unavailable, match="mounted"):
            worker.run_once()
    assert progress(engine, survey).waiting == progress(engine, survey).cells_total
    shutil.move(aside, storage.folder)
    work_off(worker)
    after = progress(engine, survey)
    assert (after.done, after.retries) == (after.cells_total, 0)


@pytest.mark.parametrize("noted", [True, False])
def test_storage_that_is_away_is_not_what_came_into_its_place(
    engine: Engine,
    storage: Storage,
    survey: SurveyRow,
    make_worker: Callable[..., CellWorker],
    noted: bool,
) -> None:
    """Files of other surveys lie below the mount point; the database may not have noted a storage yet."""
    if noted:
        with database(engine) as conn:
            check_identity(conn, storage)
    assert storage.folder is not None
    aside = storage.folder.with_name("unmounted")
    storage.folder.rename(aside)
    storage.write("orthophotos/of-another/tile.tif", b"imagery")
    worker = make_worker()
    for _ in range(5):
        with pytest.raises(Unavailable, match="mounted"):
            worker.run_once()
    after = progress(engine, survey)
    assert (after.waiting, after.failed, after.retries) == (after.cells_total, 0, 0)
    shutil.rmtree(storage.folder)
    aside.rename(storage.folder)
    work_off(worker)
    after = progress(engine, survey)
    assert (after.done, after.retries) == (after.cells_total, 0)


def test_imagery_that_is_lost_fails_its_cells_and_says_so(
    engine: Engine, storage: Storage, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    with database(engine) as conn:
        key, name = conn.execute(
            text("SELECT key, name FROM orthophoto WHERE survey_id = :id ORDER BY name LIMIT 1"),
            {"id": survey.id},
        ).one()
    storage.delete(key)
    work_off(make_worker())
    after = progress(engine, survey)
    assert after.failed > 0
    (error,) = after.errors
    assert error.startswith(f"NotFound: {name} is not in storage any more; upload")
    assert after.done > 0
    assert state(engine, survey) == "done"


def test_imagery_that_was_cut_short_in_storage_fails_its_cells_and_says_so(
    engine: Engine, storage: Storage, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    with database(engine) as conn:
        tile = list_orthophotos(conn, survey.id)[0]
    whole = storage.read(tile.key)
    storage.write(tile.key, whole[:1000])
    work_off(make_worker())
    after = progress(engine, survey)
    (error,) = after.errors
    assert error.startswith(
        f"DamagedRaster: {tile.name} is damaged in storage (1,000 of {len(whole):,} bytes); upload"
    )
    assert (after.failed > 0, after.done > 0, state(engine, survey)) == (True, True, "done")


def test_imagery_that_was_another_while_cells_were_done_sends_them_back(
    engine: Engine, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    """By the time it is as planned again, its digest is that of the plan; what was found is not of it."""
    another = {"id": survey.id, "sha256": "0" * 64}
    swap = text(
        "UPDATE orthophoto SET sha256 = :sha256 WHERE survey_id = :id AND name = "
        "(SELECT min(name) FROM orthophoto WHERE survey_id = :id) "
        "RETURNING (SELECT sha256 FROM orthophoto WHERE survey_id = :id ORDER BY name LIMIT 1)"
    )
    worker = make_worker()
    with database(engine) as conn:
        planned = conn.scalar(swap, another)
    work_off(worker)
    with database(engine) as conn:
        conn.execute(swap, another | {"sha256": planned})
        report = planning.plan_cells(conn, survey)
    assert 0 < report.redone < report.total
    work_off(worker)
    with database(engine) as conn:
        assert not planning.plan_cells(conn, survey).changed


def test_a_result_that_comes_after_the_lease_is_dropped(
    engine: Engine, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    second = make_worker(name="second")

    def slow(chip: Array) -> Array:
        with database(engine) as conn:  # the lease runs out, and another worker does the cell
            conn.execute(text("UPDATE cell SET lease_until = now() - interval '1 s'"))
        assert second.run_once()
        return dark(chip)

    assert make_worker(slow, name="first").run_once()
    with database(engine) as conn:
        done = conn.execute(
            text("SELECT attempts, state FROM cell WHERE state <> 'waiting' AND survey_id = :id"),
            {"id": survey.id},
        ).all()
    assert [tuple(row) for row in done] == [(2, "done")]


def test_a_lease_is_kept_only_while_there_is_work(
    engine: Engine, survey: SurveyRow, make_worker: Callable[..., CellWorker]
) -> None:
    remaining: list[float] = []
    workers: list[CellWorker] = []

    def watch(chip: Array) -> Array:
        with database(engine) as conn:
            conn.execute(
                text("UPDATE cell SET lease_until = now() + interval '1 s' WHERE state = 'leased'")
            )
        workers[0].keep_lease()
        with database(engine) as conn:
            remaining.append(
                conn.execute(
                    text(
                        "SELECT extract(epoch FROM lease_until - now())::float8 FROM cell "
                        "WHERE state = 'leased'"
                    )
                ).scalar_one()
            )
        return dark(chip)

    workers.append(make_worker(watch, lease_s=100.0))
    assert workers[0].since_progress_s == 0.0
    assert workers[0].run_once()
    assert remaining[0] == pytest.approx(100.0, abs=5.0)
    assert workers[0].since_progress_s == 0.0
