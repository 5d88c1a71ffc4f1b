"""Surveys: made from what is known, watched, and measured by one worker at a time."""

from __future__ import annotations

import dataclasses
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Engine, text

import store_scene as scene
from pavemap.geo.errors import BadInput, NotFound
from pavemap.geo.store import (
    cells,
    leases,
    measuring_leases,
    model_versions,
    networks,
    planning,
    surveys,
    workers,
)
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import NewSurvey, SurveyRow

Ids = NDArray[np.int64]


def survey_cells(engine: Engine, segments: Ids, *, limit: int = 1000) -> None:
    with database(engine) as connection:
        for claimed in leases.claim(connection, worker="surveyor", lease_s=60.0, limit=limit):
            result = scene.found_in(claimed.cell, segments)
            assert cells.complete(connection, claimed=claimed, result=result, worker="surveyor")


def claim(engine: Engine, worker: str, *, lease_s: float = 60.0) -> SurveyRow | None:
    with database(engine) as connection:
        return measuring_leases.claim_measuring(connection, worker=worker, lease_s=lease_s)


def run_out(engine: Engine) -> None:
    """Let the lease of a measuring be over."""
    with database(engine) as connection:
        connection.execute(text("UPDATE survey SET lease_until = now() - interval '1 second'"))


def kill_measurers(engine: Engine, *, deaths: int) -> None:
    for _ in range(deaths):
        assert claim(engine, "victim") is not None
        run_out(engine)


def stored(engine: Engine, survey: SurveyRow) -> SurveyRow:
    with database(engine) as connection:
        return surveys.get_survey(connection, survey.id)


def test_a_survey_is_stored_as_it_was_asked_for(engine: Engine) -> None:
    with database(engine) as connection:
        network = scene.add_road(connection)
        scene.add_survey(connection, name="First")
        model = model_versions.list_models(connection)[0]
        made = surveys.create_survey(
            connection,
            NewSurvey(
                name=" Second ",
                network_id=network.id,
                model_id=model.id,
                crs="EPSG:25833",
                gsd_m=0.002,
                params={"threshold": 0.4},
                captured_on=date(2026, 4, 1),
            ),
        )
        assert surveys.get_survey(connection, made.id) == made
    with database(engine) as connection:
        listed = surveys.list_surveys(connection)
        assert surveys.list_surveys(connection, network_id=uuid.uuid4()) == []
        assert [row.name for row in surveys.list_surveys(connection, network_id=network.id)]
    assert {row.name for row in listed} == {"First", "Second"}
    assert (made.name, made.state, made.captured_on) == ("Second", "created", date(2026, 4, 1))
    assert (made.cell_px, made.halo_px, made.params) == (2048, 64, {"threshold": 0.4})
    assert made.grid().cell_m == pytest.approx(4.096)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"network_id": uuid.uuid4()}, NotFound),
        ({"model_id": "none-00000000"}, NotFound),
        ({"crs": "EPSG:4326"}, BadInput),
        ({"crs": "EPSG:2263"}, BadInput),
        ({"gsd_m": 0.0}, BadInput),
        ({"cell_px": 1000}, BadInput),
        ({"name": "  "}, BadInput),
    ],
)
def test_what_can_not_be_surveyed_is_refused(
    engine: Engine, change: dict[str, object], error: type[Exception]
) -> None:
    with database(engine) as connection:
        row = scene.add_survey(connection)
        names = {field.name for field in dataclasses.fields(NewSurvey)}
        new = NewSurvey(**{**{name: getattr(row, name) for name in names}, **change})
        with pytest.raises(error):
            surveys.create_survey(connection, new)


def test_an_unknown_survey_is_not_found(engine: Engine) -> None:
    with database(engine) as connection:
        for call in (surveys.get_survey, surveys.progress, surveys.lock_survey):
            with pytest.raises(NotFound, match="list the surveys"):
                call(connection, uuid.uuid4())
        with pytest.raises(NotFound):
            surveys.set_state(connection, uuid.uuid4(), "failed")


def test_a_survey_of_a_network_that_is_deleted_meanwhile_is_refused(
    engine: Engine, survey: SurveyRow
) -> None:
    with database(engine) as connection:
        surveys.delete_survey(connection, survey.id)
    new = NewSurvey(
        name="late",
        network_id=survey.network_id,
        model_id=survey.model_id,
        crs=survey.crs,
        gsd_m=survey.gsd_m,
        params={"threshold": 0.5},
    )

    def make() -> None:
        with database(engine) as connection:
            surveys.create_survey(connection, new)

    with ThreadPoolExecutor(1) as pool:
        with database(engine) as connection:
            networks.delete_network(connection, survey.network_id)
            making = pool.submit(make)
            with pytest.raises(TimeoutError):
                making.result(timeout=0.5)
        with pytest.raises(NotFound, match="network"):
            making.result(timeout=20)


def test_workers_at_a_survey_that_is_deleted_store_nothing(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    with database(engine) as connection:
        (first, *_) = leases.claim(connection, worker="surveyor", lease_s=60.0, limit=3)
    with database(engine) as connection:
        surveys.delete_survey(connection, survey.id)
    with database(engine) as connection:
        result = scene.found_in(first.cell, segments)
        assert not cells.complete(connection, claimed=first, result=result, worker="surveyor")
        assert not cells.fail(
            connection, claimed=first, worker="surveyor", error="gone", max_attempts=3
        )
        assert leases.claim(connection, worker="surveyor", lease_s=60.0) == []
    assert claim(engine, "measurer") is None


def test_progress_of_a_survey_without_cells_is_nothing(engine: Engine) -> None:
    with database(engine) as connection:
        survey = scene.add_survey(connection)
        how = surveys.progress(connection, survey.id)
    assert (how.cells_total, how.imaged_m2, how.errors) == (0, 0.0, {})


def test_a_survey_is_measured_only_when_no_cell_is_left(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    assert claim(engine, "w") is None
    survey_cells(engine, segments, limit=49)
    assert claim(engine, "w") is None
    with database(engine) as connection:
        (last,) = leases.claim(connection, worker="slow", lease_s=60.0)
    assert claim(engine, "w") is None
    with database(engine) as connection:
        cells.fail(connection, claimed=last, worker="slow", error="no", max_attempts=1)
    claimed = claim(engine, "w")
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.lease_owner) == (survey.id, "measuring", "w")
    assert claimed.epoch > survey.epoch


def test_only_one_of_many_workers_measures(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(lambda index: claim(engine, f"w{index}"), range(6)))
    assert [row is not None for row in taken].count(True) == 1


def test_the_measuring_of_a_dead_worker_is_taken_over(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    dead = claim(engine, "dead")
    assert dead is not None
    assert claim(engine, "next") is None
    run_out(engine)
    taken = claim(engine, "next")
    assert taken is not None
    assert (taken.lease_owner, taken.epoch) == ("next", dead.epoch + 1)
    with database(engine) as connection:
        assert not measuring_leases.finish_survey(connection, dead)
        assert measuring_leases.finish_survey(connection, taken)
        assert surveys.get_survey(connection, survey.id).state == "done"


def test_a_heartbeat_keeps_a_measuring_too(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    claim(engine, "w", lease_s=-1.0)
    with database(engine) as connection:
        assert leases.heartbeat(connection, worker="w", lease_s=60.0) == 1
    assert claim(engine, "next") is None


def test_a_measurer_that_lives_keeps_a_survey_that_others_lock_for_longer_than_its_lease(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    """Also at its last attempt, until it is silent for a lease."""
    survey_cells(engine, segments)
    kill_measurers(engine, deaths=4)
    assert claim(engine, "w") is not None
    with database(engine) as connection:
        workers.note_seen(connection, "w", model_id=None)
    run_out(engine)
    with database(engine) as holding:
        surveys.lock_survey(holding, survey.id)
        with database(engine) as connection:
            assert leases.heartbeat(connection, worker="w", lease_s=60.0) == 0
    assert claim(engine, "next") is None
    assert stored(engine, survey).lease_owner == "w"
    silent_for(engine, "w", 61.0)
    assert claim(engine, "next") is None
    assert stored(engine, survey).error.startswith("5 workers died")


def test_a_measuring_is_taken_over_from_one_that_is_silent_or_asks_for_another(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    assert claim(engine, "w") is not None
    with database(engine) as connection:
        workers.note_seen(connection, "w", model_id=None)
    run_out(engine)
    assert claim(engine, "next") is None
    assert claim(engine, "w") is not None
    run_out(engine)
    silent_for(engine, "w", 61.0)
    assert claim(engine, "next") is not None


def silent_for(engine: Engine, worker: str, seconds: float) -> None:
    """Let a worker have been seen so long ago for the last time."""
    with database(engine) as connection:
        connection.execute(
            text(
                "UPDATE worker SET seen_at = now() - make_interval(secs => :age) WHERE name = :name"
            ),
            {"age": seconds, "name": worker},
        )


def test_a_worker_that_stops_gives_its_measuring_back(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    claim(engine, "w")
    with database(engine) as connection:
        assert leases.release(connection, "w") == 1
    assert claim(engine, "next") is not None


def test_a_survey_whose_measuring_kills_its_workers_is_failed_and_says_what_to_do(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    kill_measurers(engine, deaths=5)
    assert claim(engine, "next") is None
    failed = stored(engine, survey)
    assert (failed.state, failed.lease_owner) == ("failed", None)
    assert failed.finished_at is not None
    assert failed.error.startswith("5 workers died while they measured this survey")
    assert "the last was victim" in failed.error
    assert "more, then run the survey again" in failed.error
    assert claim(engine, "next") is None


def test_a_fifth_measuring_that_lives_is_let_end(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    kill_measurers(engine, deaths=4)
    fifth = claim(engine, "w")
    assert fifth is not None
    assert claim(engine, "next") is None
    with database(engine) as connection:
        assert measuring_leases.finish_survey(connection, fifth)
    assert stored(engine, survey).state == "done"


def test_a_measuring_given_back_in_good_order_is_not_charged(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    for _ in range(10):
        assert claim(engine, "w") is not None
        with database(engine) as connection:
            leases.release(connection, "w")
    kill_measurers(engine, deaths=4)
    assert claim(engine, "next") is not None


def test_a_survey_that_is_run_again_has_all_its_measurings_before_it(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    kill_measurers(engine, deaths=5)
    assert claim(engine, "next") is None
    with database(engine) as connection:
        planning.plan_cells(connection, survey)
    kill_measurers(engine, deaths=4)
    assert claim(engine, "next") is not None


def test_a_worker_measures_on_beside_a_newer_version_that_has_more_columns(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    with database(engine) as connection:
        connection.execute(text("ALTER TABLE survey ADD COLUMN of_later integer DEFAULT 0"))
    assert claim(engine, "w") is not None


def test_a_plan_voids_the_measuring_of_what_was_before(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    claimed = claim(engine, "w")
    assert claimed is not None
    with database(engine) as connection:
        scene.add_imagery(connection, survey.id, to_m=50.0, name="better.tif")
        planning.plan_cells(connection, survey)
        assert not measuring_leases.finish_survey(connection, claimed)
        assert surveys.get_survey(connection, survey.id).state == "running"
    assert claim(engine, "w") is None


def test_a_claim_never_measures_beside_a_plan_at_work(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    with database(engine) as planner:
        scene.add_imagery(planner, survey.id, to_m=50.0, name="better.tif")
        planning.plan_cells(planner, survey)
        assert claim(engine, "w") is None
    assert claim(engine, "w") is None


def test_a_survey_that_failed_says_why_and_runs_again_when_planned(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    claimed = claim(engine, "w")
    assert claimed is not None
    with database(engine) as connection:
        assert measuring_leases.finish_survey(connection, claimed, state="failed", error="a bug")
        failed = surveys.get_survey(connection, survey.id)
        assert (failed.state, failed.error) == ("failed", "a bug")
        assert failed.finished_at is not None
        planning.plan_cells(connection, survey)
        again = surveys.get_survey(connection, survey.id)
    assert (again.state, again.error, again.finished_at) == ("running", "", None)
    assert claim(engine, "w") is not None


def test_failed_cells_that_are_retried_set_a_done_survey_running(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments, limit=49)
    with database(engine) as connection:
        (last,) = leases.claim(connection, worker="w", lease_s=60.0)
        cells.fail(connection, claimed=last, worker="w", error="no", max_attempts=1)
        surveys.set_state(connection, survey.id, "done")
        assert cells.retry_failed(connection, survey.id) == 1
        assert surveys.get_survey(connection, survey.id).state == "running"
