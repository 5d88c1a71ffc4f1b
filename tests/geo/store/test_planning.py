"""Planning: the right cells, nothing twice, and only what new imagery touches is done again."""

from __future__ import annotations

import time

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from sqlalchemy import Engine, text

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput, NotFound
from pavemap.geo.grid import Cell
from pavemap.geo.store import cells, leases, orthophotos, pavements, planning, surveys
from pavemap.geo.store.cell_inputs import imagery_of
from pavemap.geo.store.engine import database
from pavemap.geo.store.planning import PlanReport
from pavemap.geo.store.surveys import SurveyRow


def cells_in(engine: Engine, state: str) -> list[Cell]:
    with database(engine) as connection:
        rows = connection.execute(
            text('SELECT col, "row" FROM cell WHERE state = :state ORDER BY col, "row"'),
            {"state": state},
        )
        return [Cell(*row) for row in rows]


def finish(engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]) -> None:
    with database(engine) as connection:
        for claimed in leases.claim(connection, worker="w", lease_s=60.0, limit=1000):
            result = scene.found_in(claimed.cell, segments)
            assert cells.complete(connection, claimed=claimed, result=result, worker="w")


def everything(engine: Engine) -> list[str]:
    with database(engine) as connection:
        return [
            str(row)
            for table in ("survey", "cell", "fragment", "cell_segment", "orthophoto")
            for row in connection.execute(text(f"SELECT {table}::text FROM {table} ORDER BY 1"))
        ]


def test_cells_are_those_that_meet_imagery_and_pavement(engine: Engine) -> None:
    """Imagery of 30 m to 150 m: cells 3 to 14 of the row, though its frame is twice as high."""
    with database(engine) as connection:
        survey = scene.add_survey(connection)
        scene.add_imagery(connection, survey.id, from_m=30.0, to_m=150.0)
        report = planning.plan_cells(connection, survey)
        planned = surveys.get_survey(connection, survey.id)
    assert report == PlanReport(total=12, added=12, redone=0, dropped=0)
    expected = [Cell(scene.COL + index, scene.ROW) for index in range(3, 15)]
    assert cells_in(engine, "waiting") == expected
    assert planned.state == "running"
    assert planned.started_at is not None


def test_a_cell_is_stored_where_it_lies(engine: Engine, survey: SurveyRow) -> None:
    with database(engine) as connection:
        stored = connection.scalar(text("SELECT ST_AsBinary(geom) FROM cell ORDER BY col LIMIT 1"))
    square = reproject(shapely.from_wkb(stored), WGS84, scene.UTM)
    first = shapely.box(scene.X, scene.Y, scene.X + scene.CELL_M, scene.Y + scene.CELL_M)
    assert square.equals_exact(first, tolerance=1e-6)


def test_planning_twice_changes_nothing(
    engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]
) -> None:
    with database(engine) as connection:
        taken = leases.claim(connection, worker="w", lease_s=60.0, limit=3)
        cells.complete(
            connection,
            claimed=taken[0],
            result=scene.found_in(taken[0].cell, segments),
            worker="w",
        )
        cells.fail(connection, claimed=taken[1], worker="w", error="no", max_attempts=1)
    before = everything(engine)
    with database(engine) as connection:
        assert planning.plan_cells(connection, survey) == PlanReport(50, 0, 0, 0)
    assert everything(engine) == before


def test_a_done_survey_stays_done_when_planned_again(
    engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]
) -> None:
    finish(engine, survey, segments)
    with database(engine) as connection:
        surveys.set_state(connection, survey.id, "done")
        planning.plan_cells(connection, survey)
        assert surveys.get_survey(connection, survey.id).state == "done"


def test_work_begun_again_waits_since_then_and_no_longer(
    engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]
) -> None:
    finish(engine, survey, segments)
    with database(engine) as connection:
        surveys.set_state(connection, survey.id, "done")
        connection.execute(text("UPDATE survey SET started_at = now() - interval '30 days'"))
        scene.add_imagery(connection, survey.id, from_m=102.0, to_m=199.0, name="better.tif")
        planning.plan_cells(connection, survey)
        begun = text("SELECT now() - started_at < interval '1 minute' FROM survey")
        assert connection.scalar(begun)
        connection.execute(text("UPDATE survey SET started_at = now() - interval '2 days'"))
        scene.add_imagery(connection, survey.id, from_m=52.0, to_m=99.0, name="more.tif")
        planning.plan_cells(connection, survey)
        assert not connection.scalar(begun)  # it was at work all the time


def test_new_imagery_sends_back_only_the_cells_it_reaches(
    engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]
) -> None:
    """From 102 m to 199 m: cells 10 to 19, and with their halo of 0.8 m no other."""
    finish(engine, survey, segments)
    with database(engine) as connection:
        scene.add_imagery(connection, survey.id, from_m=102.0, to_m=199.0, name="better.tif")
        report = planning.plan_cells(connection, survey)
        again = surveys.get_survey(connection, survey.id)
        fragments = connection.scalar(text("SELECT count(*) FROM fragment"))
        seen = connection.scalar(text("SELECT count(*) FROM cell_segment"))
    assert report == PlanReport(total=50, added=0, redone=10, dropped=0)
    assert cells_in(engine, "waiting") == [
        Cell(scene.COL + index, scene.ROW) for index in range(10, 20)
    ]
    assert (fragments, seen) == (40, 40)
    assert again.epoch > survey.epoch


def test_imagery_that_only_reaches_the_halo_counts(
    engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]
) -> None:
    """From 100.5 m to 199.5 m: the windows of cells 9 and 20 read it too."""
    finish(engine, survey, segments)
    with database(engine) as connection:
        scene.add_imagery(connection, survey.id, from_m=100.5, to_m=199.5, name="better.tif")
        assert planning.plan_cells(connection, survey).redone == 12


def test_what_was_computed_from_other_imagery_than_planned_is_due_again(
    engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]
) -> None:
    with database(engine) as connection:
        for claimed in leases.claim(connection, worker="w", lease_s=60.0, limit=3):
            result = scene.found_in(claimed.cell, segments)
            wrong = claimed.cell.col == scene.COL
            made_of = "of a mistake" if wrong else claimed.inputs_digest
            assert cells.complete(
                connection, claimed=claimed, result=result, worker="w", made_of=made_of
            )
            told = surveys.get_survey(connection, survey.id).planned_imagery
            assert (told == "") is wrong or told == "", "a survey says it until it is planned"
        assert told == ""
        report = planning.plan_cells(connection, survey)
        assert surveys.get_survey(connection, survey.id).planned_imagery not in {"", None}
    assert report == PlanReport(total=50, added=0, redone=1, dropped=0)
    assert cells_in(engine, "waiting")[0] == Cell(scene.COL, scene.ROW)


def test_a_result_that_comes_after_the_plan_has_no_survey_say_it_is_of_other_imagery(
    engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]
) -> None:
    with database(engine) as connection:
        (claimed,) = leases.claim(connection, worker="w", lease_s=60.0)
        scene.add_imagery(connection, survey.id, content="sent anew")
        planning.plan_cells(connection, survey)
        planned = surveys.get_survey(connection, survey.id).planned_imagery
    with database(engine) as connection:
        result = scene.found_in(claimed.cell, segments)
        assert not cells.complete(
            connection, claimed=claimed, result=result, worker="w", made_of="of the new file"
        )
    with database(engine) as connection:
        assert surveys.get_survey(connection, survey.id).planned_imagery == planned != ""


def test_imagery_taken_away_drops_its_cells_with_what_they_found(
    engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]
) -> None:
    finish(engine, survey, segments)
    with database(engine) as connection:
        scene.add_imagery(connection, survey.id, to_m=195.0, content="the first 195 m, sent anew")
        report = planning.plan_cells(connection, survey)
        left = connection.scalar(text("SELECT count(*) FROM fragment"))
    assert report == PlanReport(total=20, added=0, redone=20, dropped=30)
    assert left == 0


def test_the_order_of_uploads_does_not_matter(engine: Engine) -> None:
    halves = [("west.tif", 0.0, 260.0), ("east.tif", 240.0, 500.0)]
    digests = []
    for order in (halves, halves[::-1]):
        with database(engine) as connection:
            survey = scene.add_survey(connection)
            for name, from_m, to_m in order:
                scene.add_imagery(connection, survey.id, from_m=from_m, to_m=to_m, name=name)
            planning.plan_cells(connection, survey)
            found = connection.execute(
                text("SELECT inputs_digest FROM cell WHERE survey_id = :id ORDER BY col"),
                {"id": survey.id},
            )
            digests.append(found.scalars().all())
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == 3  # west, both, east


def test_names_that_change_what_lies_on_top_send_back_the_cells_that_see_it(engine: Engine) -> None:
    """Both files are seen from 240 m to 260 m: by cells 23 to 26, with their halo."""
    with database(engine) as connection:
        survey = scene.add_survey(connection)

        def planned(west: str, east: str) -> tuple[PlanReport, list[str]]:
            scene.add_imagery(connection, survey.id, to_m=260.0, name=west, content="west")
            scene.add_imagery(connection, survey.id, from_m=240.0, name=east, content="east")
            report = planning.plan_cells(connection, survey)
            digests = connection.execute(text("SELECT inputs_digest FROM cell ORDER BY col"))
            return report, list(digests.scalars())

        _, first = planned(west="b.tif", east="d.tif")
        report, renamed = planned(west="a.tif", east="c.tif")
        assert (report, renamed) == (PlanReport(50, 0, 0, 0), first)
        report, swapped = planned(west="c.tif", east="a.tif")
        assert report == PlanReport(total=50, added=0, redone=4, dropped=0)
        assert [n for n in range(50) if swapped[n] != first[n]] == [23, 24, 25, 26]
        assert planned(west="c.tif", east="a.tif")[0] == PlanReport(50, 0, 0, 0)


def test_imagery_off_the_road_is_refused_with_advice(engine: Engine) -> None:
    with database(engine) as connection:
        survey = scene.add_survey(connection)
        scene.add_imagery(connection, survey.id, road=3)
    with pytest.raises(BadInput, match="check the CRS"), database(engine) as connection:
        planning.plan_cells(connection, survey)
    assert cells_in(engine, "waiting") == []


def test_a_survey_without_imagery_is_refused_with_advice(engine: Engine) -> None:
    with database(engine) as connection:
        survey = scene.add_survey(connection)
    with pytest.raises(BadInput, match="upload"), database(engine) as connection:
        planning.plan_cells(connection, survey)


def test_an_unknown_survey_can_not_be_planned(engine: Engine, survey: SurveyRow) -> None:
    with database(engine) as connection:
        connection.execute(text("DELETE FROM survey"))
    with pytest.raises(NotFound), database(engine) as connection:
        planning.plan_cells(connection, survey)


def test_the_pavement_that_a_window_meets(
    engine: Engine, survey: SurveyRow, segments: NDArray[np.int64]
) -> None:
    """The window of the cell at the end of the first segment reaches into the second."""
    window = scene.GRID.window(Cell(scene.COL + 9, scene.ROW)).box()
    degrees = reproject(window, scene.UTM, WGS84)
    with database(engine) as connection:
        found = pavements.segments_meeting(connection, survey.id, degrees)
        tiles = orthophotos.orthophotos_near(connection, survey.id, degrees)
    assert [segment for segment, _ in found] == segments[:2].tolist()
    area = reproject(found[0][1], WGS84, scene.UTM).area
    assert area == pytest.approx(800.0, rel=1e-9)
    assert [tile.name for tile in tiles] == ["all.tif"]


def test_a_cell_is_made_of_what_was_planned_where_edges_coincide(engine: Engine) -> None:
    """Tiles that end where windows do meet them in one CRS and miss them by rounding in another."""
    halo_m = scene.GRID.halo_m
    with database(engine) as connection:
        survey = scene.add_survey(connection)
        for start in range(0, 500, 10):
            scene.add_imagery(
                connection,
                survey.id,
                name=f"{start}.tif",
                from_m=start + halo_m,
                to_m=start + scene.CELL_M - halo_m,
            )
        planning.plan_cells(connection, survey)
        survey = surveys.get_survey(connection, survey.id)
        planned = connection.execute(text('SELECT col, "row", inputs_digest FROM cell')).all()
        assert len(planned) == 50
        for col, row, digest in planned:
            cell = Cell(col, row)
            window = reproject(scene.GRID.window(cell).box(), scene.UTM, WGS84)
            near = orthophotos.orthophotos_near(connection, survey.id, window)
            tiles, made_of = imagery_of(survey, cell, near)
            assert made_of == digest, (cell, [tile.name for tile in tiles])


def test_ten_thousand_segments_are_planned_in_seconds(engine: Engine) -> None:
    with database(engine) as connection:
        survey = scene.add_survey(connection, roads=100, length_m=10_000.0)
        for road in range(100):
            scene.add_imagery(connection, survey.id, to_m=10_000.0, name=f"{road}.tif", road=road)
    started = time.process_time()
    with database(engine) as connection:
        report = planning.plan_cells(connection, survey)
    assert report.total == 100_000
    assert time.process_time() - started < 15.0  # 4 s on an idle core
