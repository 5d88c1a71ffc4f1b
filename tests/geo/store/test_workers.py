"""Who is at work: noted at each claim, struck off in good order, not believed when silent for long."""

from __future__ import annotations

from sqlalchemy import Engine, text

from pavemap.geo.store import leases, workers
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.store.workers import Presence


def present(engine: Engine) -> Presence:
    with database(engine) as connection:
        return workers.present_workers(connection)


def test_a_worker_that_claims_is_present_until_it_stops(engine: Engine, survey: SurveyRow) -> None:
    assert not present(engine).serves(survey.model_id)
    with database(engine) as connection:
        leases.claim(connection, worker="one", lease_s=60.0, model_id="other-01234567")
        leases.claim(connection, worker="two", lease_s=60.0, model_id="other-01234567")
    assert present(engine) == Presence({"other-01234567": 2}, 0)
    assert not present(engine).serves(survey.model_id)
    with database(engine) as connection:
        leases.claim(connection, worker="three", lease_s=60.0, model_id=survey.model_id)
        leases.claim(connection, worker="four", lease_s=60.0, model_id=None)
    assert present(engine).serves(survey.model_id)
    assert present(engine).of_any_model == 1
    with database(engine) as connection:
        for name in ("one", "three", "four"):
            leases.release(connection, name)
    assert present(engine) == Presence({"other-01234567": 1}, 0)


def test_a_worker_that_died_is_not_believed_and_one_that_is_busy_is(
    engine: Engine, survey: SurveyRow
) -> None:
    with database(engine) as connection:
        for name in ("dead", "busy"):
            leases.claim(connection, worker=name, lease_s=60.0, model_id=survey.model_id)
        connection.execute(text("UPDATE worker SET seen_at = seen_at - interval '10 minutes'"))
    assert present(engine) == Presence({}, 0)
    with database(engine) as connection:
        leases.heartbeat(connection, worker="busy", lease_s=60.0)
    assert present(engine) == Presence({survey.model_id: 1}, 0)
    with database(engine) as connection:
        connection.execute(text("UPDATE worker SET seen_at = seen_at - interval '2 days'"))
        leases.claim(connection, worker="new", lease_s=60.0, model_id=None)
        names = connection.execute(text("SELECT name FROM worker")).scalars().all()
    assert names == ["new"]
