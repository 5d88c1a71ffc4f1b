"""A worker goes on from where it claimed last: what others did, and left behind, costs it nothing."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

import store_scene as scene
from pavemap.geo.store import cells, gauges, leases, measuring_leases, planning, surveys
from pavemap.geo.store.engine import database
from pavemap.geo.store.leases import WALK_EVERY, ClaimedCell, Trail
from pavemap.geo.store.surveys import SurveyRow

COLUMN = 100
"""Cells in a column of the big survey."""


def claim(engine: Engine, trail: Trail, *, worker: str = "w") -> ClaimedCell | None:
    with database(engine) as connection:
        found = leases.claim(connection, worker=worker, lease_s=60.0, trail=trail)
    return found[0] if found else None


def column(claimed: ClaimedCell | None) -> int | None:
    return None if claimed is None else claimed.cell.col - scene.COL


def free(engine: Engine, claimed: ClaimedCell | None) -> None:
    """Its worker died, and its lease ran out."""
    assert claimed is not None
    with database(engine) as connection:
        connection.execute(
            text("UPDATE cell SET lease_until = now() - interval '1 s' WHERE col = :col"),
            {"col": claimed.cell.col},
        )


def test_workers_at_once_share_the_cells_in_order_whatever_they_remember(
    engine: Engine, survey: SurveyRow
) -> None:
    trails = {f"w{number}": Trail() for number in range(3)}
    taken = []
    for number in range(51):
        worker = f"w{number % 3}"
        taken.append(column(claim(engine, trails[worker], worker=worker)))
    assert taken == [*range(50), None]


def test_a_claim_that_others_are_at_is_passed_over_not_waited_for(
    engine: Engine, survey: SurveyRow
) -> None:
    trail = Trail()
    assert column(claim(engine, trail)) == 0
    with engine.connect() as other:
        (locked,) = leases.claim(other, worker="other", lease_s=60.0)
        assert column(locked) == 1
        with database(engine) as connection:
            connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
            (next_,) = leases.claim(connection, worker="w", lease_s=60.0, trail=trail)
        assert column(next_) == 2
    assert column(claim(engine, trail)) == 3, "the other rolled back; the walk will find its cell"


def test_a_cell_that_is_freed_behind_a_worker_is_met_within_a_few_claims(
    engine: Engine, survey: SurveyRow
) -> None:
    trail = Trail()
    claimed = [claim(engine, trail) for _ in range(4)]
    for freed in (claimed[0], claimed[2]):
        free(engine, freed)
    order = [column(claim(engine, trail)) for _ in range(WALK_EVERY)]
    met = order.index(0)
    assert order[:met] == list(range(4, 4 + met)), "until then it goes on"
    assert order[met + 1] == 2, "where one was freed others are looked for at once"
    assert order[met + 2] == 4 + met, "and then it goes on from where it was"


def test_when_nothing_is_ahead_what_was_freed_or_failed_is_met_at_once(
    engine: Engine, survey: SurveyRow
) -> None:
    trail = Trail()
    claimed = [claim(engine, trail) for _ in range(50)]
    free(engine, claimed[7])
    assert column(claim(engine, trail)) == 7
    assert claim(engine, trail) is None
    torn = claimed[5]
    assert torn is not None
    with database(engine) as connection:
        cells.fail(connection, claimed=torn, worker="w", error="torn", max_attempts=3)
    assert column(claim(engine, trail)) == 5
    with database(engine) as connection:
        connection.execute(text("UPDATE cell SET state = 'failed', lease_until = NULL"))
        assert cells.retry_failed(connection, survey.id) == 50
    assert [column(claim(engine, trail)) for _ in range(3)] == [0, 1, 2]


def test_a_cell_ahead_at_which_workers_died_is_failed_not_tried_for_ever(
    engine: Engine, survey: SurveyRow
) -> None:
    trail = Trail()
    assert column(claim(engine, trail)) == 0
    with database(engine) as connection:
        connection.execute(
            text("""
                UPDATE cell SET state = 'leased', lease_owner = 'dead', attempts = 5,
                    lease_until = now() - interval '1 s' WHERE col = :col
            """),
            {"col": scene.COL + 1},
        )
    order = [column(claim(engine, trail)) for _ in range(WALK_EVERY)]
    assert order == list(range(2, 2 + WALK_EVERY))
    with database(engine) as connection:
        assert surveys.progress(connection, survey.id).failed == 1


def test_cells_planned_anew_are_met_in_order_though_all_were_passed(
    engine: Engine, survey: SurveyRow
) -> None:
    trail = Trail()
    for _ in range(8):
        claim(engine, trail)
    with database(engine) as connection:
        scene.add_imagery(connection, survey.id, to_m=50.0, name="better.tif")
        assert planning.plan_cells(connection, survey).redone == 6
    assert [column(claim(engine, trail)) for _ in range(7)] == [0, 1, 2, 3, 4, 5, 8]


def test_a_survey_that_was_started_before_is_served_first(engine: Engine) -> None:
    with database(engine) as connection:
        first = scene.planned_survey(connection, to_m=20.0)
    with database(engine) as connection:
        second = scene.planned_survey(connection, to_m=20.0)
    trail = Trail()
    claimed = [claim(engine, trail) for _ in range(5)]
    assert [one and one.survey_id for one in claimed] == [first.id] * 2 + [second.id] * 2 + [None]


@pytest.fixture
def old_transaction(engine: Engine) -> Iterator[None]:
    """A transaction that writes and goes on, as a survey's measuring does: nothing dead is dropped."""
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_current_xact_id()"))
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        yield


def buffers(engine: Engine, step: Callable[[Connection], object]) -> int:
    """The pages that the statements of a step touch; it is taken back."""
    asked: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    with engine.connect() as connection:
        event.listen(connection, "before_cursor_execute", note)
        step(connection)
        event.remove(connection, "before_cursor_execute", note)
        connection.rollback()
        pages = 0
        for statement, parameters in asked:
            explained = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
            plan = connection.exec_driver_sql(explained, parameters).scalar_one()
            plan = json.loads(plan) if isinstance(plan, str) else plan
            top = plan[0]["Plan"]
            pages += top["Shared Hit Blocks"] + top["Shared Read Blocks"]
        connection.rollback()
    return pages


def add_cells(engine: Engine, survey_id: uuid.UUID, count: int) -> None:
    with database(engine) as connection:
        connection.execute(
            text(f"""
                INSERT INTO cell (survey_id, col, "row", inputs_digest, geom)
                SELECT :id, i / {COLUMN}, i % {COLUMN}, 'x',
                    ST_MakeEnvelope(13, 52, 13.0001, 52.0001, 4326)
                FROM generate_series(0, :count - 1) AS i
            """),
            {"id": survey_id, "count": count},
        )
        connection.execute(
            text("UPDATE survey SET state = 'running', started_at = now() WHERE id = :id"),
            {"id": survey_id},
        )
        connection.execute(text("ANALYZE cell"))


def do_cells(engine: Engine, number: int) -> None:
    """Lease and do the first cells that wait, as workers do."""
    for state in ("leased", "done"):
        with database(engine) as connection:
            connection.execute(
                text(f"""
                    UPDATE cell SET state = :state, attempts = 1, lease_owner = 'others'
                    WHERE col * {COLUMN} + "row" < :number AND state <> 'done'
                """),
                {"state": state, "number": number},
            )


@pytest.mark.usefixtures("old_transaction")
def test_no_look_for_work_gets_slower_with_the_cells_that_are_done(engine: Engine) -> None:
    """While a transaction is older than they are; with none PostgreSQL drops them by itself."""
    with database(engine) as connection:
        survey = scene.add_survey(connection)
    add_cells(engine, survey.id, 3000)
    trail = Trail()
    do_cells(engine, 2500)
    assert claim(engine, trail) is not None  # its first claim finds the place

    def look(connection: Connection) -> None:
        measuring_leases.claim_measuring(connection, worker="w", lease_s=60.0)
        assert leases.claim(connection, worker="w", lease_s=60.0, trail=trail)
        connection.execute(leases._ANY_WORK, {"model_id": None})
        connection.execute(gauges._OLDEST)

    def walk(connection: Connection) -> None:
        assert leases.claim(connection, worker="w", lease_s=60.0)

    assert buffers(engine, walk) > 2500, "the transaction is not old enough to show anything"
    assert buffers(engine, look) < 250
