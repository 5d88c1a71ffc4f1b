"""Measuring: figures counted by hand, whole or not at all, the same however often it is done."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, text

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import Conflict
from pavemap.geo.lines.pieces import cut_by_segments
from pavemap.geo.measures import neighbours
from pavemap.geo.store import (
    bulk,
    cells,
    crack_pages,
    held_pieces,
    leases,
    measuring,
    measuring_leases,
    planning,
    segment_pages,
    survey_summary,
    surveys,
)
from pavemap.geo.store import conditions as block_by_block
from pavemap.geo.store.engine import database
from pavemap.geo.store.measuring import MeasureReport
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.survey_cell import CellResult
from pavemap.geo.vectorizing.trust import Trust
from segment_rows import SegmentRow, read_rows

Ids = NDArray[np.int64]

SEEN = 10 * scene.CELL_PAVEMENT_M2


def survey_cells(
    engine: Engine,
    segments: Ids,
    *,
    imaged: dict[int, float] | None = None,
    failed: tuple[int, ...] = (),
    coarse: tuple[int, ...] = (),
) -> None:
    """Survey every waiting cell; `imaged` has the share seen by cell, where it is not 1.

    What is seen of `coarse` cells is in imagery too coarse for the model.
    """
    with database(engine) as connection:
        for claimed in leases.claim(connection, worker="w", lease_s=60.0, limit=1000):
            index = claimed.cell.col - scene.COL
            if index in failed:
                cells.fail(connection, claimed=claimed, worker="w", error="bad", max_attempts=1)
                continue
            share = (imaged or {}).get(index, 1.0)
            result = scene.found_in(claimed.cell, segments, imaged=share)
            if index in coarse:
                result = replace(result, coarse=result.imaged)
            assert cells.complete(connection, claimed=claimed, result=result, worker="w")


def measure(engine: Engine, survey_id: Any) -> MeasureReport | None:
    with database(engine) as connection:
        return measuring.measure_survey(connection, surveys.get_survey(connection, survey_id))


def conditions(engine: Engine, survey: SurveyRow) -> list[SegmentRow]:
    with database(engine) as connection:
        features, following = segment_pages.segment_features(
            connection, survey.id, sort="segment_key", descending=False
        )
    assert following is None
    return read_rows(features)


def content(engine: Engine) -> list[tuple[Any, ...]]:
    """All results, without the numbers that the database gives."""
    statements = (
        "SELECT survey_id, model_id, ST_AsText(geom), length_m, width_mean_mm, area_m2 FROM crack",
        "SELECT p.segment_id, ST_AsText(p.geom), p.length_m, p.area_m2, ST_AsText(c.geom) "
        "FROM piece p JOIN crack c ON c.id = p.crack_id",
        "SELECT survey_id, segment_id, crack_length_m, cracked_area_m2, imaged_m2, coverage, "
        "density_m_per_m2, crack_count, reason FROM condition",
    )
    with database(engine) as connection:
        return [
            tuple(row)
            for statement in statements
            for row in connection.execute(text(f"{statement} ORDER BY 1, 2, 3"))
        ]


def test_one_crack_through_fifty_cells_is_one_crack_of_its_true_length(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    assert measure(engine, survey.id) == MeasureReport(cracks=1, pieces=5, segments=5)
    with database(engine) as connection:
        (crack,), _ = crack_pages.cracks_page(connection, survey.id)
        sums = survey_summary.summary(connection, survey.id)
        assert surveys.get_survey(connection, survey.id).state == "done"
    assert crack.length_m == pytest.approx(500.0 / scene.SCALE, rel=1e-6)
    widths = (crack.width_mean_mm, crack.width_p95_mm, crack.width_max_mm)
    assert widths == pytest.approx((4.0, 4.0, 4.0))
    assert crack.area_m2 == pytest.approx(500.0 / scene.SCALE * 0.004, rel=1e-6)
    assert crack.model_id == survey.model_id
    assert crack.confidence == pytest.approx(scene.CONFIDENCE)
    line = shapely.get_coordinates(reproject(crack.line, WGS84, scene.UTM), include_z=True)
    assert sorted(line[[0, -1], 0]) == pytest.approx([scene.X, scene.X + 500.0], abs=1e-6)
    assert line[:, 2] == pytest.approx(4.0)
    assert (sums.segments, sums.segments_imaged, sums.crack_count) == (5, 5, 1)
    assert sums.coverage == pytest.approx(1.0)
    assert sums.crack_length_m == pytest.approx(crack.length_m, rel=1e-6)


@pytest.mark.parametrize(("least_m", "cracks"), [(240.0, 1), (260.0, 0)])
def test_a_crack_is_kept_for_the_length_of_it_that_is_sure(
    engine: Engine, survey: SurveyRow, segments: Ids, least_m: float, cracks: int
) -> None:
    """Half of 500 m (less the scale) is sure."""
    survey_cells(engine, segments)
    with database(engine) as connection:
        connection.execute(
            text(
                "UPDATE survey SET params = jsonb_build_object('min_length_m', CAST(:m AS float8))"
            ),
            {"m": least_m / scene.SCALE},
        )
    found = measure(engine, survey.id)
    assert found is not None
    assert found.cracks == cracks


def test_a_crack_beside_the_pavement_is_none_of_the_surveys(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    with database(engine) as connection:
        for claimed in leases.claim(connection, worker="w", lease_s=60.0, limit=1000):
            result = scene.found_in(claimed.cell, segments)
            beside = shapely.transform(
                result.lines, lambda points: points + [0.0, 4.2, 0.0], include_z=True
            )
            both = replace(
                result,
                lines=np.concatenate([result.lines, beside]),
                trust=Trust.unknown(2 * len(result.lines)),
            )
            assert cells.complete(connection, claimed=claimed, result=both, worker="w")
    report = measure(engine, survey.id)
    assert report is not None
    assert (report.cracks, report.pieces) == (1, 5)
    with database(engine) as connection:
        (crack,), _ = crack_pages.cracks_page(connection, survey.id)
        assert survey_summary.summary(connection, survey.id).crack_count == 1
        assert connection.scalar(text("SELECT sum(length_m) FROM piece")) == pytest.approx(
            crack.length_m, rel=1e-6
        )


def test_fragments_kept_before_there_was_trust_count_whole(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    with database(engine) as connection:
        connection.execute(text("UPDATE fragment SET confidence = NULL, sure_share = DEFAULT"))
    measure(engine, survey.id)
    with database(engine) as connection:
        (crack,), _ = crack_pages.cracks_page(connection, survey.id)
    assert crack.confidence is None


def test_density_is_crack_length_over_imaged_pavement(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    """Per segment 100 m of crack on 100 m x 8 m: 0.125 m/m2, times the scale that areas have twice."""
    survey_cells(engine, segments)
    measure(engine, survey.id)
    rows = conditions(engine, survey)
    assert [row.segment_key for row in rows] == [f"A1:{start}" for start in (0, 100, 200, 300, 400)]
    for row in rows:
        assert row.crack_length_m == pytest.approx(100.0 / scene.SCALE, rel=1e-6)
        assert row.cracked_area_m2 == pytest.approx(100.0 / scene.SCALE * 0.004, rel=1e-6)
        assert row.imaged_m2 == pytest.approx(SEEN, rel=1e-6)
        assert row.coverage == pytest.approx(1.0)
        assert row.density_m_per_m2 == pytest.approx(0.125 * scene.SCALE, rel=1e-6)
        assert (row.crack_count, row.reason, row.road_key) == (1, "", "A1")


def test_what_was_not_imaged_is_said_and_never_counted_as_sound(
    engine: Engine,
) -> None:
    """
    cells      0-2  3  4-14 15  16-19 | 20-29   | 30-39 | 40-44 45-49
    seen        1   F    1  1/2   1   |   0     |   1   |   1   no imagery
    cracks     [---]  [---------------]           [--------------]
    """
    with database(engine) as connection:
        survey = scene.planned_survey(connection, to_m=450.0)
        ids = connection.execute(text("SELECT id FROM segment ORDER BY from_m")).scalars().all()
    nothing = dict.fromkeys(range(20, 30), 0.0)
    survey_cells(engine, np.array(ids), imaged={15: 0.5, **nothing}, failed=(3,))
    assert measure(engine, survey.id) == MeasureReport(cracks=3, pieces=5, segments=5)
    rows = conditions(engine, survey)
    assert [row.reason for row in rows] == ["failed", "no data", "no data", "", "no imagery"]
    assert [row.coverage for row in rows] == pytest.approx([0.9, 0.95, 0.0, 1.0, 0.5], rel=1e-6)
    assert [row.crack_count for row in rows] == [2, 1, None, 1, 1]
    assert (rows[2].crack_length_m, rows[2].cracked_area_m2) == (None, None)
    lengths = np.array([row.crack_length_m for row in rows if row.crack_count]) * scene.SCALE
    assert lengths == pytest.approx([90.0, 100.0, 100.0, 50.0], rel=1e-6)
    density = [row.density_m_per_m2 for row in rows]
    assert density[2] is None
    expected = 0.125 * scene.SCALE
    assert [density[at] for at in (0, 3, 4)] == pytest.approx([expected] * 3, rel=1e-6)
    assert density[1] == pytest.approx(expected / 0.95, rel=1e-6)


def test_a_survey_in_which_every_cell_failed_has_no_density(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments, failed=tuple(range(50)))
    assert measure(engine, survey.id) == MeasureReport(cracks=0, pieces=0, segments=5)
    rows = conditions(engine, survey)
    assert [(row.density_m_per_m2, row.reason, row.coverage) for row in rows] == [
        (None, "failed", 0.0)
    ] * 5
    with database(engine) as connection:
        sums = survey_summary.summary(connection, survey.id)
    assert (sums.segments, sums.segments_imaged, sums.density_m_per_m2) == (5, 0, None)


def test_segments_that_no_cell_meets_are_not_in_the_survey(engine: Engine) -> None:
    """Cells 0 to 19 meet the first two of five segments; the third only touches the last cell."""
    with database(engine) as connection:
        survey = scene.planned_survey(connection, to_m=200.0)
        ids = connection.execute(text("SELECT id FROM segment ORDER BY from_m")).scalars().all()
    survey_cells(engine, np.array(ids))
    assert measure(engine, survey.id) == MeasureReport(cracks=1, pieces=2, segments=2)
    assert [row.coverage for row in conditions(engine, survey)] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(("to_m", "reached"), [(195.0, 2), (200.0, 2), (200.025, 2), (200.1, 3)])
def test_segments_beside_the_imagery_are_not_in_the_survey_though_a_cell_meets_them(
    engine: Engine, to_m: float, reached: int
) -> None:
    """A cell of 70 m spans 190 to 260 m; of the third segment, from 200 m, 4 pixels (5 cm) are an edge."""
    survey = survey_in_wide_cells(engine, to_m=to_m)
    for claimed in claim_all(engine):
        done(engine, claimed, imaged={})
    measure(engine, survey.id)
    rows = conditions(engine, survey)
    assert [row.segment_key for row in rows] == ["A1:0", "A1:100", "A1:200"][:reached]
    assert [row.coverage for row in rows] == [0.0] * reached


def test_a_segment_that_was_seen_is_in_the_survey_though_its_imagery_is_gone(
    engine: Engine,
) -> None:
    survey = survey_in_wide_cells(engine, to_m=195.0)
    with database(engine) as connection:
        third = connection.execute(
            text("SELECT id FROM segment WHERE segment_key = 'A1:200'")
        ).scalar_one()
    first, *others = claim_all(engine)
    done(engine, first, imaged={third: 80.0})
    for claimed in others:
        done(engine, claimed, imaged={})
    measure(engine, survey.id)
    assert [row.imaged_m2 for row in conditions(engine, survey)] == [0.0, 0.0, 80.0]


def survey_in_wide_cells(engine: Engine, *, to_m: float) -> SurveyRow:
    with database(engine) as connection:
        survey = scene.add_survey(connection)
        connection.execute(text("UPDATE survey SET cell_px = 5600"))
        scene.add_imagery(connection, survey.id, to_m=to_m)
        planning.plan_cells(connection, surveys.get_survey(connection, survey.id))
        return surveys.get_survey(connection, survey.id)


def claim_all(engine: Engine) -> list[leases.ClaimedCell]:
    with database(engine) as connection:
        return leases.claim(connection, worker="w", lease_s=60.0, limit=1000)


def done(engine: Engine, claimed: leases.ClaimedCell, *, imaged: dict[int, float]) -> None:
    """Say that nothing was found in a cell, and what of each segment was seen."""
    result = CellResult(
        lines=np.empty(0, object),
        imaged=imaged,
        imaged_m2=sum(imaged.values()),
        seconds={},
    )
    with database(engine) as connection:
        assert cells.complete(connection, claimed=claimed, result=result, worker="w")


def test_no_more_is_imaged_than_there_is_pavement_unless_ground_is_counted_twice(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    """One segment counted 0.3 % too large, as pixels at its border do; the next 20 %, as they can't."""
    counted = dict.fromkeys(range(10), 1.003) | dict.fromkeys(range(10, 20), 1.2)
    survey_cells(engine, segments, imaged=counted)
    measure(engine, survey.id)
    rounded, wrong, *others = conditions(engine, survey)
    for row in (rounded, *others):
        assert row.imaged_m2 == pytest.approx(row.pavement_m2, rel=1e-9)
        assert row.imaged_m2 <= row.pavement_m2
    assert wrong.imaged_m2 == pytest.approx(1.2 * wrong.pavement_m2)
    for row in (rounded, wrong):
        assert row.coverage == 1.0
        assert row.density_m_per_m2 is not None
        assert row.crack_length_m == pytest.approx(row.density_m_per_m2 * row.imaged_m2)
        assert row.cracked_area_m2 is not None
        assert row.cracked_area_share == pytest.approx(100 * row.cracked_area_m2 / row.imaged_m2)


def test_short_networks_are_dropped_by_their_length_over_all_cells(
    engine: Engine,
) -> None:
    """Three cells' worth of crack, and one cell alone: only the latter is under 15 m."""
    with database(engine) as connection:
        survey = scene.planned_survey(connection, to_m=100.0)
        connection.execute(
            text("UPDATE survey SET params = jsonb_build_object('min_length_m', 15.0)")
        )
        ids = connection.execute(text("SELECT id FROM segment ORDER BY from_m")).scalars().all()
    survey_cells(engine, np.array(ids), imaged={0: 0.0, 4: 0.0, 6: 0.0, 7: 0.0, 8: 0.0, 9: 0.0})
    measure(engine, survey.id)
    with database(engine) as connection:
        cracks, _ = crack_pages.cracks_page(connection, survey.id)
    assert [crack.length_m * scene.SCALE for crack in cracks] == pytest.approx([30.0])


def test_measuring_again_changes_nothing(engine: Engine, survey: SurveyRow, segments: Ids) -> None:
    survey_cells(engine, segments, imaged={7: 0.0}, failed=(21,))
    measure(engine, survey.id)
    first = content(engine)
    measure(engine, survey.id)
    assert content(engine) == first
    assert len(first) == 3 + 7 + 5  # cracks, pieces, conditions


def test_measurings_at_once_end_as_one(engine: Engine, survey: SurveyRow, segments: Ids) -> None:
    survey_cells(engine, segments)
    with ThreadPoolExecutor(3) as pool:
        reports = list(pool.map(lambda _: measure(engine, survey.id), range(3)))
    assert any(reports)
    with database(engine) as connection:
        assert survey_summary.summary(connection, survey.id).crack_count == 1
        assert connection.scalar(text("SELECT count(*) FROM piece")) == 5


def test_readers_see_the_old_figures_or_the_new_never_a_part(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    measure(engine, survey.id)
    seen: set[tuple[int, int, float]] = set()
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            with database(engine) as connection:
                sums = survey_summary.summary(connection, survey.id)
                assert sums.crack_count is not None
                assert sums.crack_length_m is not None
                seen.add((sums.segments, sums.crack_count, round(sums.crack_length_m, 3)))

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for index in (15, 25, 35):  # a hole in the crack: one crack more, 10 m less
                with database(engine) as connection:
                    connection.execute(
                        text("DELETE FROM fragment WHERE col = :col"), {"col": scene.COL + index}
                    )
                with database(engine) as connection:
                    now = surveys.get_survey(connection, survey.id)
                    measuring.measure_survey(connection, now)
                    with database(engine) as other:
                        before = survey_summary.summary(other, survey.id)
                    assert before.segments == 5
        finally:
            stop.set()
        for reader in readers:
            reader.result()
    lengths = {cracks: round((510.0 - 10.0 * cracks) / scene.SCALE, 3) for cracks in (1, 2, 3, 4)}
    assert seen <= {(5, cracks, length) for cracks, length in lengths.items()}
    assert (5, 1, lengths[1]) in seen


def test_a_survey_with_cells_left_can_not_be_measured(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    with pytest.raises(Conflict, match="50 cells"):
        measure(engine, survey.id)
    with database(engine) as connection:
        empty = scene.add_survey(connection, name="Empty")
    with pytest.raises(Conflict, match="run it first"):
        measure(engine, empty.id)


def test_a_survey_planned_anew_before_it_is_measured_is_left_alone(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    with database(engine) as connection:
        claimed = measuring_leases.claim_measuring(connection, worker="w", lease_s=60.0)
        assert claimed is not None
    with database(engine) as connection:
        scene.add_imagery(connection, survey.id, to_m=50.0, name="better.tif")
        planning.plan_cells(connection, survey)
    with database(engine) as connection:
        assert measuring.measure_survey(connection, claimed) is None
        assert surveys.get_survey(connection, survey.id).state == "running"
    assert content(engine) == []


def test_a_survey_planned_anew_while_it_is_measured_keeps_nothing_of_it(
    engine: Engine, survey: SurveyRow, segments: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey_cells(engine, segments)
    write = block_by_block.write_conditions

    def plan_meanwhile(*arguments: Any, **named: Any) -> None:
        write(*arguments, **named)
        with database(engine) as connection:
            scene.add_imagery(connection, survey.id, to_m=50.0, name="better.tif")
            planning.plan_cells(connection, survey)

    monkeypatch.setattr(block_by_block, "write_conditions", plan_meanwhile)
    assert measure(engine, survey.id) is None
    assert content(engine) == []
    with database(engine) as connection:
        assert surveys.get_survey(connection, survey.id).state == "running"
        assert surveys.progress(connection, survey.id).waiting == 6


def test_a_deleted_survey_takes_everything_along(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    measure(engine, survey.id)
    with database(engine) as connection:
        connection.execute(text("DELETE FROM survey"))
        for table in (
            "cell",
            "fragment",
            "cell_segment",
            "crack",
            "piece",
            "condition",
            "orthophoto",
        ):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0, table
        assert connection.scalar(text("SELECT count(*) FROM segment")) == 5


def test_workers_plans_and_uploads_at_once_end_in_the_same_figures(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    """Four workers claim and store while imagery is replaced and planned six times over."""
    planned_out = threading.Event()

    def work(name: str) -> int:
        refused = 0
        while True:
            with database(engine) as connection:
                claimed = leases.claim(connection, worker=name, lease_s=60.0, limit=3)
            if not claimed and planned_out.is_set():
                return refused
            for one in claimed:
                with database(engine) as connection:
                    leases.heartbeat(connection, worker=name, lease_s=60.0)
                with database(engine) as connection:
                    result = scene.found_in(one.cell, segments)
                    stored = cells.complete(connection, claimed=one, result=result, worker=name)
                    refused += not stored

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work, f"w{index}") for index in range(4)]
        try:
            for version in range(6):
                with database(engine) as connection:
                    scene.add_imagery(
                        connection,
                        survey.id,
                        to_m=300.0,
                        name="again.tif",
                        content=f"version {version}",
                    )
                with database(engine) as connection:
                    planning.plan_cells(connection, survey)
        finally:
            planned_out.set()
        for worker in workers:
            worker.result()
    with database(engine) as connection:
        how = surveys.progress(connection, survey.id)
        assert (how.done, how.cells_total) == (50, 50)
        assert connection.scalar(text("SELECT count(*) FROM fragment")) == 50
        assert connection.scalar(text("SELECT count(*) FROM cell_segment")) == 50
    assert measure(engine, survey.id) == MeasureReport(cracks=1, pieces=5, segments=5)


MEASURE_AND_HANG = """
import sys, time, uuid
from pavemap.geo.store import measuring, measuring_leases
from pavemap.geo.store.engine import database, make_engine

engine = make_engine(sys.argv[1])
with database(engine) as connection:
    survey = measuring_leases.claim_measuring(connection, worker="killed", lease_s=0.1)
with database(engine) as connection:
    assert measuring.measure_survey(connection, survey)
    print("measured, not committed", flush=True)
    time.sleep(600)
"""


def test_a_worker_killed_while_measuring_leaves_nothing_and_another_does_it(
    engine: Engine, database_url: str, survey: SurveyRow, segments: Ids
) -> None:
    survey_cells(engine, segments)
    here = Path(scene.__file__).parent
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", MEASURE_AND_HANG, database_url],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(here)},
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        process.kill()
    assert said == "measured, not committed"
    assert content(engine) == []
    with database(engine) as connection:
        taken = measuring_leases.claim_measuring(connection, worker="next", lease_s=60.0)
    assert taken is not None
    with database(engine) as connection:
        assert measuring.measure_survey(connection, taken) == MeasureReport(1, 5, 5)


def stored(engine: Engine, statement: str) -> list[dict[str, Any]]:
    with database(engine) as connection:
        return [dict(row) for row in connection.execute(text(statement)).mappings()]


def test_every_measure_is_stored_with_what_it_rests_on(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    """A crack 4 mm wide along 8 m x 100 m of road, on its centre-line.

    Longitudinal, low. Two lanes of 4 m in three strips: 600 cells; it runs on the border of two of them,
    and in no wheel path. Cells 20 to 29 are not seen, of 30 to 39 seven are: less than the least
    coverage of 0.8.
    """
    unseen = dict.fromkeys([*range(20, 30), 37, 38, 39], 0.0)
    survey_cells(engine, segments, imaged=unseen)
    measure(engine, survey.id)
    rows = stored(engine, "SELECT * FROM condition ORDER BY segment_id")
    whole, dark, part = rows[0], rows[2], rows[3]
    assert whole["length_longitudinal_m"] == pytest.approx(100.0 / scene.SCALE, rel=1e-6)
    assert whole["length_low_m"] == pytest.approx(whole["crack_length_m"], rel=1e-6)
    assert whole["length_transverse_m"] == whole["alligator_m2"] == whole["length_high_m"] == 0.0
    assert whole["cracked_area_share"] == pytest.approx(0.05 * scene.SCALE, rel=1e-5)
    assert whole["zeb_evaluated"] == 600
    assert whole["zeb_share"] == pytest.approx(100 / 6, abs=0.2) or whole[
        "zeb_share"
    ] == pytest.approx(200 / 6, abs=0.4)
    assert whole["cracking_percent"] == 0.0
    assert whole["cracking_rating"] == "good"
    assert 0.0 < whole["pci_cracking"] < 100.0
    zones = whole["r85"]["longitudinal"]
    assert sum(zone["length_m"] for zone in zones.values() if zone["length_m"]) == pytest.approx(
        100.0 / scene.SCALE, rel=1e-3
    )
    assert [row["confident"] for row in rows] == [True, True, False, False, True]
    figures = [
        name for name in dark if name.startswith(("length_", "zeb", "pci", "cracking", "r85"))
    ]
    assert len(figures) >= 15
    assert all(dark[name] is None for name in figures)
    assert part["coverage"] == pytest.approx(0.7, rel=1e-6)
    assert part["zeb_evaluated"] == 420
    assert part["length_longitudinal_m"] == pytest.approx(70.0 / scene.SCALE, rel=1e-6)
    pieces = stored(engine, "SELECT DISTINCT type, severity FROM piece")
    assert pieces == [{"type": "longitudinal", "severity": "low"}]


def test_the_measures_are_those_that_the_survey_asks_for(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    with database(engine) as connection:
        connection.execute(
            text("UPDATE survey SET measures = CAST(:measures AS jsonb)"),
            {"measures": '{"min_coverage": 0.5, "severity_mm": [2.0, 3.0], "zeb_cell_m": 2.0}'},
        )
    survey_cells(engine, segments, imaged=dict.fromkeys(range(36, 40), 0.0))
    measure(engine, survey.id)
    rows = stored(engine, "SELECT * FROM condition ORDER BY segment_id")
    assert rows[0]["zeb_evaluated"] == 300
    assert rows[0]["length_high_m"] == pytest.approx(100.0 / scene.SCALE, rel=1e-6)
    assert [row["confident"] for row in rows] == [True, True, True, True, True]
    assert rows[3]["coverage"] == pytest.approx(0.6)


def test_ground_seen_in_too_coarse_imagery_counts_as_cells_counted_it(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    """
    Ten cells a segment: three of the first are seen in coarse imagery, one of the second is, and two of
    the third, where two others failed.
    """
    survey_cells(engine, segments, coarse=(0, 1, 2, 10, 20, 21), failed=(28, 29))
    measure(engine, survey.id)
    rows = conditions(engine, survey)
    assert [row.too_coarse for row in rows] == pytest.approx([0.3, 0.1, 0.2, 0.0, 0.0], abs=1e-3)
    assert [row.confident for row in rows] == [False, True, False, True, True]
    assert [row.reason for row in rows] == ["too coarse", "too coarse", "failed", "", ""]
    with database(engine) as connection:
        sums = survey_summary.summary(connection, survey.id)
    assert sums.too_coarse_m2 == pytest.approx(6 * scene.CELL_PAVEMENT_M2, rel=1e-3)


def test_cells_from_before_coarse_ground_was_counted_go_by_the_frames_of_imagery(
    engine: Engine,
) -> None:
    """The model is meant for 5 mm a pixel at most; the imagery has 12.5."""
    with database(engine) as connection:
        survey = scene.planned_survey(connection)
        connection.execute(
            text("UPDATE model_version SET card = card || '{\"gsd_range_m\": [0.001, 0.005]}'")
        )
        ids = np.array(
            connection.execute(text("SELECT id FROM segment ORDER BY from_m")).scalars().all()
        )
    survey_cells(engine, ids)
    with database(engine) as connection:
        connection.execute(text("UPDATE cell_segment SET coarse_m2 = NULL"))
    measure(engine, survey.id)
    for row in conditions(engine, survey):
        assert row.coverage == pytest.approx(1.0)
        assert row.density_m_per_m2 is not None
        assert (row.reason, row.confident) == ("too coarse", False)
    with database(engine) as connection:
        sums = survey_summary.summary(connection, survey.id)
    assert sums.too_coarse_m2 == pytest.approx(sums.pavement_m2)


def test_blocks_of_segments_make_no_difference(
    engine: Engine, survey: SurveyRow, segments: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    survey_cells(engine, segments, imaged={7: 0.0, 21: 0.5})
    measure(engine, survey.id)
    figures = "SELECT c.*, NULL AS created_at FROM condition c ORDER BY segment_id"
    kinds = "SELECT segment_id, type, severity, length_m FROM piece ORDER BY 1, 4"
    first, first_kinds = stored(engine, figures), stored(engine, kinds)
    monkeypatch.setattr(neighbours, "SEGMENTS_AT_A_TIME", 2)
    measure(engine, survey.id)
    assert stored(engine, figures) == first
    assert stored(engine, kinds) == first_kinds


@pytest.mark.parametrize("at", [1, 4, 7])
def test_a_measuring_ends_at_the_next_block_when_its_survey_is_being_deleted(
    engine: Engine, survey: SurveyRow, segments: Ids, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Who deletes it waits for the measuring; what was measured before stays until then."""
    survey_cells(engine, segments)
    assert measure(engine, survey.id)
    before = content(engine)
    monkeypatch.setattr(bulk, "BLOCK_ROWS", 10)
    steps = 0

    def delete_meanwhile() -> None:
        nonlocal steps
        steps += 1
        if steps == at:
            with database(engine) as other:
                surveys.set_state(other, survey.id, "failed", error="being deleted")

    with database(engine) as connection:
        row = surveys.get_survey(connection, survey.id)
        assert measuring.measure_survey(connection, row, on_progress=delete_meanwhile) is None
    assert steps == at
    assert content(engine) == before
    with database(engine) as connection:
        surveys.delete_survey(connection, survey.id)


def test_progress_is_told_at_each_block_of_cracks_and_of_segments(
    engine: Engine, survey: SurveyRow, segments: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty fragments ten at a time, then five segments one by one."""
    survey_cells(engine, segments)
    monkeypatch.setattr(bulk, "BLOCK_ROWS", 10)
    monkeypatch.setattr(neighbours, "SEGMENTS_AT_A_TIME", 1)
    steps: list[str] = []

    def noted(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            steps.append(name)
            return step(*arguments, **named)

        return call

    monkeypatch.setattr(measuring, "from_ewkb", noted("lines read", bulk.from_ewkb))
    monkeypatch.setattr(
        block_by_block, "_write_block", noted("measured", block_by_block._write_block)
    )
    with database(engine) as connection:
        row = surveys.get_survey(connection, survey.id)
        measuring.measure_survey(connection, row, on_progress=lambda: steps.append("progress"))
    for step in ("lines read", "measured"):
        blocks = [at for at, name in enumerate(steps) if name == step]
        assert len(blocks) == 5
        for one, following in zip(blocks, [*blocks[1:], len(steps)], strict=True):
            assert "progress" in steps[one:following]


def test_the_pavements_are_indexed_once_for_all_blocks_of_cracks(
    engine: Engine, survey: SurveyRow, segments: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells that found nothing end a crack in each block of fragments."""
    survey_cells(engine, segments, imaged=dict.fromkeys((5, 15, 25, 35, 45), 0.0))
    monkeypatch.setattr(bulk, "BLOCK_ROWS", 10)
    trees: list[shapely.STRtree | None] = []

    def cut(*arguments: Any, tree: shapely.STRtree | None = None) -> Any:
        trees.append(tree)
        return cut_by_segments(*arguments, tree=tree)

    monkeypatch.setattr(measuring, "cut_by_segments", cut)
    assert measure(engine, survey.id) == MeasureReport(cracks=6, pieces=10, segments=5)
    assert len(trees) > 3
    assert trees[0] is not None
    assert all(tree is trees[0] for tree in trees)


def held(connection: Connection, rows: str) -> None:
    """Put pieces aside: a query's segment_id, crack_id, line."""
    held_pieces.hold_pieces(connection)
    connection.execute(text(f"INSERT INTO held_piece {rows}"))
    held_pieces.index_pieces(connection)


def test_a_block_knows_where_its_cracks_run_on_to_and_has_each_piece_once(engine: Engine) -> None:
    """
    segment    1     2     3     4
    crack 7   [-]   [- -]  [-]            two pieces of it on segment 2
    crack 8         [-]
    crack 9                [-]   [-]      on none of the segments asked for
    """
    pieces = [
        (1, 7, "a"),
        (2, 7, "b"),
        (2, 7, "c"),
        (3, 7, "d"),
        (2, 8, "e"),
        (3, 9, "f"),
        (4, 9, "g"),
    ]
    rows = ", ".join(f"({segment}, {crack}, '{line}'::bytea)" for segment, crack, line in pieces)
    with database(engine) as connection:
        held(connection, f"VALUES {rows}")
        runs_on = held_pieces.segments_run_on_to(connection, np.array([1, 2]))
        found = connection.execute(held_pieces._PIECES, {"ids": [1, 2]}).all()
    assert sorted(runs_on) == [1, 2, 3]
    assert [(row.segment_id, row.crack_id, bytes(row.line).decode()) for row in found] == [
        (1, 7, "a"),
        (2, 7, "b"),
        (2, 7, "c"),
        (2, 8, "e"),
    ]


def test_a_block_reads_its_own_pieces_however_many_are_held(engine: Engine) -> None:
    """Twenty pieces on each of 5,000 segments; a crack in ten runs on to the next piece."""
    block = list(range(1000, 1000 + neighbours.SEGMENTS_AT_A_TIME))
    with database(engine) as connection:
        held(
            connection,
            "SELECT piece / 20, piece * 10 / 11, decode(repeat('00', 400), 'hex') "
            "FROM generate_series(0, 99999) AS piece",
        )
        plan = "\n".join(
            line
            for query in (held_pieces._RUNS_ON, held_pieces._PIECES)
            for line in connection.execute(text(f"EXPLAIN {query.text}"), {"ids": block}).scalars()
        )
    scans = [line for line in plan.splitlines() if " on held_piece" in line]
    assert len(scans) == 3
    assert all("Index Scan" in scan for scan in scans)
    assert "Index Cond: (segment_id = ANY" in plan
    assert "Index Cond: (crack_id = " in plan
