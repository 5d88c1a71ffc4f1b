"""The queue: claims never overlap, leases pass on, and only who holds a cell writes it, whole."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from sqlalchemy import Engine, text

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput, Unavailable
from pavemap.geo.grid import Cell
from pavemap.geo.store import cells, leases, planning, surveys, workers
from pavemap.geo.store.cursors import Cursor
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.leases import ClaimedCell
from pavemap.geo.store.surveys import SurveyRow

Ids = NDArray[np.int64]


def claim_one(engine: Engine, worker: str = "w", *, lease_s: float = 60.0) -> ClaimedCell:
    with database(engine) as connection:
        (claimed,) = leases.claim(connection, worker=worker, lease_s=lease_s)
    return claimed


def complete(engine: Engine, claimed: ClaimedCell, segments: Ids, *, worker: str = "w") -> bool:
    with database(engine) as connection:
        result = scene.found_in(claimed.cell, segments)
        return cells.complete(connection, claimed=claimed, result=result, worker=worker)


def count(engine: Engine, what: str) -> int:
    with database(engine) as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {what}")).scalar_one())


def expire(engine: Engine) -> None:
    with database(engine) as connection:
        connection.execute(
            text("UPDATE cell SET lease_until = now() - interval '1 second' WHERE state = 'leased'")
        )


def test_claims_by_many_workers_at_once_never_overlap(engine: Engine, survey: SurveyRow) -> None:
    workers = 6
    begin = threading.Barrier(workers)

    def work(name: str) -> list[Cell]:
        taken: list[Cell] = []
        begin.wait()
        while True:
            with database(engine) as connection:
                claimed = leases.claim(connection, worker=name, lease_s=60.0, limit=2)
            if not claimed:
                return taken
            taken += [one.cell for one in claimed]

    with ThreadPoolExecutor(workers) as pool:
        shares = list(pool.map(work, [f"w{index}" for index in range(workers)]))
    everything = [cell for share in shares for cell in share]
    assert len(everything) == len(set(everything)) == 50
    assert sum(bool(share) for share in shares) >= 2


def test_claims_by_processes_never_overlap(
    engine: Engine, database_url: str, survey: SurveyRow
) -> None:
    program = (
        "import sys; from pavemap.geo.store import leases; "
        "from pavemap.geo.store.engine import database, make_engine\n"
        "engine = make_engine(sys.argv[1])\n"
        "while True:\n"
        "    with database(engine) as connection:\n"
        "        claimed = leases.claim(connection, worker=sys.argv[2], lease_s=60.0)\n"
        "    if not claimed: break\n"
        "    print(claimed[0].cell.col, flush=True)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", program, database_url, name],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("p1", "p2")
    ]
    taken = [
        column for process in processes for column in process.communicate(timeout=120)[0].split()
    ]
    assert [process.returncode for process in processes] == [0, 0]
    assert len(taken) == len(set(taken)) == 50


def test_cells_are_lent_in_the_order_of_the_grid_and_surveys_in_that_of_their_start(
    engine: Engine,
) -> None:
    with database(engine) as connection:
        first = scene.planned_survey(connection, to_m=20.0)
    with database(engine) as connection:
        scene.planned_survey(connection, to_m=20.0)
        claimed = leases.claim(connection, worker="w", lease_s=60.0, limit=3)
    assert [one.survey_id == first.id for one in claimed].count(True) == 2
    ours = [one.cell.col - scene.COL for one in claimed if one.survey_id == first.id]
    assert ours == [0, 1]


def test_a_claim_holds_until_its_lease_ends(engine: Engine, survey: SurveyRow) -> None:
    with database(engine) as connection:
        taken = leases.claim(connection, worker="first", lease_s=30.0, limit=1000)
    assert len(taken) == 50
    with database(engine) as connection:
        assert leases.claim(connection, worker="second", lease_s=60.0) == []
    expire(engine)
    with database(engine) as connection:
        (again,) = leases.claim(connection, worker="second", lease_s=60.0)
    assert again.cell == taken[0].cell
    assert (taken[0].attempt, again.attempt) == (1, 2)


def test_a_short_lease_ends_by_the_clock(engine: Engine, survey: SurveyRow) -> None:
    first = claim_one(engine, lease_s=0.2)
    time.sleep(0.3)
    assert claim_one(engine, "other").cell == first.cell


def test_a_heartbeat_keeps_a_lease(engine: Engine, survey: SurveyRow) -> None:
    claim_one(engine, lease_s=0.5)
    with database(engine) as connection:
        assert leases.heartbeat(connection, worker="w", lease_s=60.0) == 1
        assert leases.heartbeat(connection, worker="idle", lease_s=60.0) == 0
    time.sleep(0.6)
    assert claim_one(engine, "other").cell.col == scene.COL + 1


def test_a_heartbeat_does_not_wait_for_a_cell_that_is_being_stored(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    claimed = claim_one(engine)
    with database(engine) as storing:
        result = scene.found_in(claimed.cell, segments)
        assert cells.complete(storing, claimed=claimed, result=result, worker="w")
        with database(engine) as other:
            other.execute(text("SET LOCAL lock_timeout = '100ms'"))
            assert leases.heartbeat(other, worker="w", lease_s=60.0) == 0


def test_a_cell_is_stored_with_its_lines_and_areas(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    """A tenth of it was seen in imagery that is too coarse for the model."""
    claimed = claim_one(engine)
    expected = scene.found_in(claimed.cell, segments)
    expected = replace(expected, coarse={key: 0.1 * m2 for key, m2 in expected.imaged.items()})
    with database(engine) as connection:
        assert cells.complete(connection, claimed=claimed, result=expected, worker="w")
        stored = connection.scalar(text("SELECT ST_AsBinary(geom) FROM fragment"))
        share = connection.execute(
            text("SELECT segment_id, imaged_m2, coarse_m2 FROM cell_segment")
        ).one()
        how = surveys.progress(connection, survey.id)
    line = reproject(shapely.from_wkb(stored), WGS84, scene.UTM)
    assert line.equals_exact(expected.lines[0], tolerance=1e-6)
    assert shapely.get_coordinates(line, include_z=True)[:, 2].tolist() == [scene.CRACK_MM] * 2
    assert tuple(share) == (segments[0], *expected.imaged.values(), *expected.coarse.values())
    assert (how.cells_total, how.done, how.waiting, how.leased) == (50, 1, 49, 0)
    assert how.imaged_m2 == pytest.approx(expected.imaged_m2)


def test_a_cell_in_which_nothing_was_found_is_done_too(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    claimed = claim_one(engine)
    with database(engine) as connection:
        result = scene.found_in(claimed.cell, segments, imaged=0.0)
        assert cells.complete(connection, claimed=claimed, result=result, worker="w")
    assert (count(engine, "fragment"), count(engine, "cell WHERE state = 'done'")) == (0, 1)


def test_storing_a_cell_again_changes_nothing(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    """The answer to the first call got lost, say."""
    claimed = claim_one(engine)
    assert complete(engine, claimed, segments)
    assert not complete(engine, claimed, segments)
    assert (count(engine, "fragment"), count(engine, "cell_segment")) == (1, 1)


def test_who_lost_the_lease_writes_nothing(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    slow = claim_one(engine, "slow")
    expire(engine)
    quick = claim_one(engine, "quick")
    assert quick.cell == slow.cell
    assert not complete(engine, slow, segments, worker="slow")
    with database(engine) as connection:
        assert not cells.fail(connection, claimed=slow, worker="slow", error="late", max_attempts=3)
    assert count(engine, "fragment") == 0
    assert complete(engine, quick, segments, worker="quick")
    assert count(engine, "fragment") == 1


def test_a_late_thread_of_the_same_worker_writes_nothing(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    slow = claim_one(engine)
    expire(engine)
    again = claim_one(engine)
    assert again.cell == slow.cell
    assert not complete(engine, slow, segments)
    assert complete(engine, again, segments)


def test_a_cell_planned_anew_refuses_what_older_imagery_gave(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    """Same worker, same attempt: only the digest of the inputs tells the two claims apart."""
    old = claim_one(engine)
    with database(engine) as connection:
        scene.add_imagery(connection, survey.id, to_m=50.0, name="better.tif")
        assert planning.plan_cells(connection, survey).redone == 6
    new = claim_one(engine)
    assert (old.cell, old.attempt) == (new.cell, new.attempt)
    assert not complete(engine, old, segments)
    assert complete(engine, new, segments)


def test_a_lease_that_ran_out_untaken_still_serves(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    claimed = claim_one(engine)
    expire(engine)
    assert complete(engine, claimed, segments)


def test_an_error_while_storing_leaves_nothing(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    claimed = claim_one(engine)

    def store_then_break() -> None:
        with database(engine) as connection:
            result = scene.found_in(claimed.cell, segments)
            assert cells.complete(connection, claimed=claimed, result=result, worker="w")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        store_then_break()
    assert (count(engine, "fragment"), count(engine, "cell_segment")) == (0, 0)
    assert complete(engine, claimed, segments)


STORE_AND_HANG = """
import sys, time, uuid
import numpy as np
import store_scene as scene
from pavemap.geo.store import cells, leases
from pavemap.geo.store.cursors import Cursor
from pavemap.geo.store.engine import database, make_engine

engine = make_engine(sys.argv[1])
with database(engine) as connection:
    claimed = leases.claim(connection, worker="killed", lease_s=60.0)[0]
with database(engine) as connection:
    result = scene.found_in(claimed.cell, np.array([int(sys.argv[2])]))
    assert cells.complete(connection, claimed=claimed, result=result, worker="killed")
    print("stored, not committed", flush=True)
    time.sleep(600)
"""


def test_a_worker_killed_while_storing_leaves_nothing_and_its_cell_is_done_by_another(
    engine: Engine, database_url: str, survey: SurveyRow, segments: Ids
) -> None:
    here = Path(scene.__file__).parent
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", STORE_AND_HANG, database_url, str(segments[0])],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(here)},
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        process.kill()
    assert said == "stored, not committed"
    assert (count(engine, "fragment"), count(engine, "cell_segment")) == (0, 0)
    expire(engine)
    again = claim_one(engine, "other")
    assert (again.cell, again.attempt) == (Cell(scene.COL, scene.ROW), 2)
    assert complete(engine, again, segments, worker="other")
    assert count(engine, "fragment") == 1


def test_an_error_is_retried_then_given_up_with_its_text(engine: Engine, survey: SurveyRow) -> None:
    for attempt in (1, 2, 3):
        claimed = claim_one(engine)
        assert (claimed.cell.col, claimed.attempt) == (scene.COL, attempt)
        with database(engine) as connection:
            error = f"tile 7 can't be read \x00 ({attempt})" + "!" * 5000
            assert cells.fail(connection, claimed=claimed, worker="w", error=error, max_attempts=3)
    assert claim_one(engine).cell.col == scene.COL + 1
    with database(engine) as connection:
        (failed,), _ = cells.cells_page(connection, survey.id, state="failed")
        how = surveys.progress(connection, survey.id)
    assert failed.cell == Cell(scene.COL, scene.ROW)
    assert failed.attempts == 3
    assert failed.error.startswith("tile 7 can't be read  (3)!")
    assert len(failed.error) == 2000
    assert (how.failed, how.retries, list(how.errors.values())) == (1, 2, [1])
    with database(engine) as connection:
        assert cells.retry_failed(connection, survey.id) == 1
        assert cells.retry_failed(connection, survey.id) == 0
    assert claim_one(engine).attempt == 1


def test_a_pause_after_an_error_is_kept(engine: Engine, survey: SurveyRow) -> None:
    first = claim_one(engine)
    with database(engine) as connection:
        cells.fail(
            connection, claimed=first, worker="w", error="busy", max_attempts=3, retry_after_s=0.4
        )
    assert claim_one(engine).cell.col == scene.COL + 1
    time.sleep(0.5)
    assert claim_one(engine).cell == first.cell


def test_a_cell_that_kills_its_workers_is_given_up(engine: Engine, survey: SurveyRow) -> None:
    """An error is no death."""
    with database(engine) as connection:
        (first,) = leases.claim(connection, worker="w", lease_s=60.0)
        cells.fail(
            connection, claimed=first, worker="w", error="busy", max_attempts=3, retry_after_s=0.0
        )
    for _ in range(5):
        assert claim_one(engine, "victim").cell.col == scene.COL
        expire(engine)
    assert claim_one(engine).cell.col == scene.COL + 1
    with database(engine) as connection:
        (failed,), _ = cells.cells_page(connection, survey.id, state="failed")
    assert failed.error.startswith("5 workers died at this cell")
    assert failed.error.endswith("victim")


def test_workers_that_died_at_a_cell_are_no_errors_of_it(engine: Engine, survey: SurveyRow) -> None:
    for _ in range(3):
        claim_one(engine, "victim")
        expire(engine)
    claimed = claim_one(engine)
    with database(engine) as connection:
        assert cells.fail(connection, claimed=claimed, worker="w", error="once", max_attempts=2)
        assert surveys.progress(connection, survey.id).failed == 0
    claimed = claim_one(engine)
    with database(engine) as connection:
        assert cells.fail(connection, claimed=claimed, worker="w", error="twice", max_attempts=2)
        assert surveys.progress(connection, survey.id).errors == {"twice": 1}


def test_what_could_not_be_done_rests_and_says_why(engine: Engine, survey: SurveyRow) -> None:
    first = claim_one(engine)
    with database(engine) as connection:
        assert leases.release(connection, "w", rest_s=60.0, error="tile 7 is away") == 1
        assert surveys.progress(connection, survey.id).held_up == {"tile 7 is away": 1}
        assert workers.present_workers(connection).of_any_model == 1, "it has not stopped"
    assert claim_one(engine).cell.col == scene.COL + 1, "other work goes first"
    with database(engine) as connection:
        connection.execute(text("UPDATE cell SET lease_until = now() WHERE state = 'waiting'"))
    again = claim_one(engine)
    assert (again.cell, again.attempt) == (first.cell, 1)


def test_a_worker_that_stops_gives_back_what_it_holds(engine: Engine, survey: SurveyRow) -> None:
    first = claim_one(engine)
    with database(engine) as connection:
        assert leases.release(connection, "w") == 1
        assert workers.present_workers(connection).of_any_model == 0
    again = claim_one(engine, "other")
    assert (again.cell, again.attempt) == (first.cell, 1)


def test_cells_of_a_survey_that_is_not_running_are_not_lent(
    engine: Engine, survey: SurveyRow
) -> None:
    with database(engine) as connection:
        surveys.set_state(connection, survey.id, "failed", error="stopped by hand")
        assert leases.claim(connection, worker="w", lease_s=60.0) == []
        planning.plan_cells(connection, survey)
        assert len(leases.claim(connection, worker="w", lease_s=60.0)) == 1


def test_waiting_for_work_ends_at_once_when_there_is_some(
    engine: Engine, survey: SurveyRow
) -> None:
    assert leases.wait_for_work(engine, 60.0)


def test_waiting_for_work_wakes_when_cells_are_planned(engine: Engine) -> None:
    with database(engine) as connection:
        survey = scene.add_survey(connection)
        scene.add_imagery(connection, survey.id)
    assert not leases.wait_for_work(engine, 0.1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(leases.wait_for_work, engine, 60.0)
        time.sleep(0.5)
        started = time.monotonic()
        with database(engine) as connection:
            planning.plan_cells(connection, survey)
        assert waiting.result(timeout=30.0)
        assert time.monotonic() - started < 20.0
    with database(engine) as connection:  # the connection came back fit for transactions
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"


def test_a_wait_for_work_ends_as_unavailable_when_the_database_goes(
    engine: Engine, database_url: str
) -> None:
    other = make_engine(database_url)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(leases.wait_for_work, engine, 60.0)
        time.sleep(0.5)
        with database(other) as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        with pytest.raises(Unavailable):
            waiting.result(timeout=30.0)
    other.dispose()


def test_a_claim_walks_the_index_of_open_cells(engine: Engine, survey: SurveyRow) -> None:
    """However many cells are done, a claim reads those that are left, in order, and stops."""
    asking = {"worker": "w", "lease_s": 60, "limit": 1, "model_id": None, "fresh": False}
    places = leases.Trail().parameters()
    plan = explain(engine, leases._CLAIM.text, {**asking, "max_deaths": 5, **places})
    assert "Index Scan using ix_cell_open" in plan
    assert "Seq Scan on cell" not in plan


def explain(engine: Engine, statement: str, parameters: dict[str, object]) -> str:
    """Return the plan that a large table would get."""
    with database(engine) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        rows = connection.execute(text(f"EXPLAIN {statement}"), parameters)
        return "\n".join(rows.scalars())


def test_the_imaged_part_of_a_cell_is_kept_until_the_cell_is_due_again(
    engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]
) -> None:
    def parts() -> list[str | None]:
        with database(engine) as connection:
            found = connection.execute(
                text("SELECT ST_AsText(imaged_part, 3) FROM cell ORDER BY col LIMIT 3")
            )
            return list(found.scalars())

    for shares in ((1.0, 0.5, 0.0), (0.0, 1.0, 1.0)):
        with database(engine) as connection:
            connection.execute(text("UPDATE cell SET state = 'waiting', lease_owner = NULL"))
            claimed = leases.claim(connection, worker="w", lease_s=60.0, limit=3)
        for one, share in zip(claimed, shares, strict=True):
            result = scene.found_in(one.cell, segments, imaged=share)
            with database(engine) as connection:
                assert cells.complete(connection, claimed=one, result=result, worker="w")
        known = parts()
        assert [part is None for part in known] == [share == 1.0 for share in shares]
        assert "MULTIPOLYGON EMPTY" in known
    with database(engine) as connection:
        scene.add_imagery(connection, survey.id, to_m=30.0, name="better.tif")
        planning.plan_cells(connection, survey)
    assert parts() == [None, None, None]


def test_cells_are_listed_page_by_page_with_what_went_wrong(
    engine: Engine, survey: SurveyRow
) -> None:
    with database(engine) as connection:
        for one in leases.claim(connection, worker="w", lease_s=60.0, limit=20):
            if one.cell.col % 2:
                cells.fail(connection, claimed=one, worker="w", error="torn", max_attempts=1)
    odd = [scene.COL + at for at in range(1, 20, 2)]
    found: list[int] = []
    after: str | None = None
    with database(engine) as connection:
        while True:
            page, after = cells.cells_page(
                connection, survey.id, state="failed", limit=3, after=after
            )
            assert {(one.state, one.error, one.attempts) for one in page} == {("failed", "torn", 1)}
            found += [one.cell.col for one in page]
            if after is None:
                break
        whole, _ = cells.cells_page(connection, survey.id)
        assert found == odd
        assert len(whole) == 50
        square = reproject(whole[0].square, WGS84, scene.UTM)
        assert square.bounds == pytest.approx(scene.GRID.bounds(whole[0].cell), abs=1e-3)
        _, cursor = cells.cells_page(connection, survey.id, limit=1)
        with pytest.raises(BadInput, match="sorted otherwise"):
            cells.cells_page(connection, survey.id, state="failed", after=cursor)
        for key in ("1", "a,b", f"{2**70},0"):
            with pytest.raises(BadInput, match="begin again"):
                cells.cells_page(connection, survey.id, after=Cursor("cells-all").at(key, 0))
