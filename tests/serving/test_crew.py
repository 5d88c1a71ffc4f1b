"""A crew of threads against the real database: woken by a call, leases kept, stopped in good order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine

from drawn_surveys import WORK_RULES, lay_survey, progress, state, wait_until
from pavemap.geo.storage import Storage
from pavemap.geo.store import bulk, measuring, planning
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import SurveyRow, get_survey
from pavemap.serving import worker as worker_module
from pavemap.serving.crew import STUCK_AFTER_LEASES, Crew, CrewBroken
from pavemap.serving.worker import CellWorker, WorkRules
from scenes import Scene

Array = NDArray[np.uint8]


def blank(chip: Array) -> Array:
    return np.zeros(chip.shape[:2], np.uint8)


def dark(chip: Array) -> Array:
    """Find the drawn cracks, which are dark."""
    return np.where(chip[:, :, 0] < 100, 255, 0).astype(np.uint8)


@pytest.fixture
def make_crew(engine: Engine, storage: Storage) -> Iterator[Callable[..., Crew]]:
    made: list[Crew] = []

    def make(
        detect: Callable[[Array], Array] = blank,
        *,
        threads: int = 2,
        lease_s: float = WORK_RULES.lease_s,
        poll_s: float = 30.0,
    ) -> Crew:
        stop = threading.Event()
        rules = WorkRules(lease_s=lease_s, max_attempts=3, retry_after_s=0.0)
        workers = [
            CellWorker(
                engine,
                storage=storage,
                detect_with=lambda _: detect,
                name=f"w{i}",
                rules=rules,
                stop=stop,
            )
            for i in range(threads)
        ]
        crew = Crew(workers, engine=engine, rules=rules, stop=stop, poll_s=poll_s)
        crew.start()
        made.append(crew)
        return crew

    yield make
    for crew in made:
        crew.close(grace_s=10.0)


@pytest.fixture
def survey(engine: Engine, storage: Storage, small_scene: Scene, tmp_path: Path) -> SurveyRow:
    """A survey that is not planned yet."""
    return lay_survey(
        engine, storage=storage, scene=small_scene, folder=tmp_path / "tiles", plan=False
    )


class Clock:
    """The workers' clock: it stands still until it is told of time."""

    def __init__(self) -> None:
        self._now_s = 1000.0

    def monotonic(self) -> float:
        return self._now_s

    def pass_leases(self, count: float) -> None:
        self._now_s += count * WORK_RULES.lease_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(worker_module, "time", clock)
    return clock


def is_sound(crew: Crew) -> bool:
    try:
        crew.check()
    except CrewBroken:
        return False
    return True


def measure_slowly(monkeypatch: pytest.MonkeyPatch, spend: Callable[[], None]) -> None:
    """Measure in blocks of one line, and spend time at each."""

    def slow(geometries: NDArray[Any]) -> NDArray[Any]:
        spend()
        return bulk.from_ewkb(geometries)

    monkeypatch.setattr(bulk, "BLOCK_ROWS", 1)
    monkeypatch.setattr(measuring, "from_ewkb", slow)


def plan(engine: Engine, survey: SurveyRow) -> None:
    with database(engine) as conn:
        planning.plan_cells(conn, survey)


def test_an_idle_crew_begins_when_work_is_planned_not_when_it_polls(
    engine: Engine, survey: SurveyRow, make_crew: Callable[..., Crew]
) -> None:
    make_crew(poll_s=300.0)
    time.sleep(1.0)
    plan(engine, survey)
    wait_until(lambda: state(engine, survey) == "done", within_s=60, what="the survey is done")


def test_a_cell_that_takes_longer_than_its_lease_stays_with_its_worker(
    engine: Engine, survey: SurveyRow, make_crew: Callable[..., Crew]
) -> None:
    first = threading.Event()

    def slow_once(chip: Array) -> Array:
        if not first.is_set():
            first.set()
            time.sleep(3.0)
        return blank(chip)

    make_crew(slow_once, lease_s=1.0)
    plan(engine, survey)
    wait_until(lambda: state(engine, survey) == "done", within_s=60, what="the survey is done")
    assert progress(engine, survey).retries == 0


def test_a_crew_that_is_stopped_gives_its_cells_back_at_once_and_uncharged(
    engine: Engine, survey: SurveyRow, make_crew: Callable[..., Crew]
) -> None:
    begun, release = threading.Event(), threading.Event()

    def endless(chip: Array) -> Array:
        begun.set()
        release.wait(timeout=60.0)
        return blank(chip)

    plan(engine, survey)
    crew = make_crew(endless, threads=2)
    assert begun.wait(timeout=60.0)
    crew.close(grace_s=0.5)
    after = progress(engine, survey)
    assert (after.leased, after.waiting, after.retries) == (0, after.cells_total, 0)
    release.set()


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"  # threads are made to end, below
)
def test_health_tells_when_a_thread_has_ended(
    make_crew: Callable[..., Crew], monkeypatch: pytest.MonkeyPatch
) -> None:
    crew = make_crew()
    crew.check()

    def end(_worker: CellWorker) -> bool:
        raise SystemExit

    monkeypatch.setattr(CellWorker, "run_once", end)
    broken = make_crew()
    time.sleep(0.5)
    with pytest.raises(CrewBroken, match="ended: w0, w1"):
        broken.check()


def test_a_worker_that_errs_pauses_and_goes_on(
    engine: Engine,
    survey: SurveyRow,
    make_crew: Callable[..., Crew],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, failures = CellWorker.run_once, iter([OSError("odd"), OSError("odd")])

    def sometimes(worker: CellWorker) -> bool:
        error = next(failures, None)
        if error:
            raise error
        return real(worker)

    monkeypatch.setattr(CellWorker, "run_once", sometimes)
    plan(engine, survey)
    make_crew()
    wait_until(lambda: state(engine, survey) == "done", within_s=60, what="the survey is done")


def test_a_measuring_that_moves_on_is_not_stuck_however_long_it_takes(
    engine: Engine,
    survey: SurveyRow,
    make_crew: Callable[..., Crew],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew = make_crew(dark, threads=1)
    sound: list[bool] = []

    def spend() -> None:
        clock.pass_leases(0.9 * STUCK_AFTER_LEASES)
        sound.append(is_sound(crew))

    measure_slowly(monkeypatch, spend)
    plan(engine, survey)
    wait_until(lambda: state(engine, survey) == "done", within_s=60, what="the survey is done")
    assert len(sound) > 3
    assert all(sound)


def close_when_stuck(crew: Crew, hangs: threading.Event) -> None:
    """Wait until the crew's one worker hangs; it is told to be stuck, and closed."""
    assert hangs.wait(timeout=60.0)
    with pytest.raises(CrewBroken, match="stuck: w0"):
        crew.check()
    crew.close(grace_s=0.1)


def test_a_block_of_a_measuring_that_hangs_is_stuck_and_charged_to_the_survey(
    engine: Engine,
    survey: SurveyRow,
    make_crew: Callable[..., Crew],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hangs, release = threading.Event(), threading.Event()

    def spend() -> None:
        clock.pass_leases(1.1 * STUCK_AFTER_LEASES)
        hangs.set()
        release.wait(timeout=60.0)

    measure_slowly(monkeypatch, spend)
    plan(engine, survey)
    crew = make_crew(dark, threads=1)
    close_when_stuck(crew, hangs)
    with database(engine) as conn:
        row = get_survey(conn, survey.id)
    assert (row.state, row.lease_owner, row.measuring_attempts) == ("measuring", "w0", 1)
    release.set()


def test_a_cell_that_hangs_is_stuck_and_charged_an_attempt(
    engine: Engine, survey: SurveyRow, make_crew: Callable[..., Crew], clock: Clock
) -> None:
    hangs, release = threading.Event(), threading.Event()

    def endless(chip: Array) -> Array:
        clock.pass_leases(1.1 * STUCK_AFTER_LEASES)
        hangs.set()
        release.wait(timeout=60.0)
        return blank(chip)

    plan(engine, survey)
    crew = make_crew(endless, threads=1)
    close_when_stuck(crew, hangs)
    assert progress(engine, survey).leased == 1
    release.set()
