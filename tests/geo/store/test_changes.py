"""Two surveys of the drawn road compared: on common ground, by key, page by page, in sums by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import shapely
from sqlalchemy import Connection, Engine, text

import store_scene as scene
from pavemap.geo.change_lines import default_tolerance_m
from pavemap.geo.errors import BadInput, Conflict
from pavemap.geo.store import cells, changes, leases, measuring, model_versions, planning, surveys
from pavemap.geo.store.change_summary import change_summary
from pavemap.geo.store.changed_cracks import common_ground
from pavemap.geo.store.changes import ChangePage
from pavemap.geo.store.comparison import BOTH, Comparison, compare_surveys
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import SurveyRow

CARD = {
    "gsd_m": 0.0125,
    "metrics": {"validation": [{"pooled": {"precision": 0.9, "recall": 0.9}}]},
}


def add_survey(connection: Connection, *, name: str, network: str = "Town") -> SurveyRow:
    """Plan a survey of the whole road by a model whose card states its accuracy."""
    stored = scene.add_road(connection, name=network)
    model = model_versions.add_model(
        connection, name="known", digest="fedcba9876543210", card=CARD, uri="known/"
    )
    survey = surveys.create_survey(
        connection,
        surveys.NewSurvey(
            name=name,
            network_id=stored.id,
            model_id=model.id,
            crs="EPSG:32633",
            gsd_m=scene.GRID.gsd_m,
            cell_px=scene.GRID.cell_px,
            halo_px=scene.GRID.halo_px,
            params={"threshold": 0.5},
        ),
    )
    scene.add_imagery(connection, survey.id)
    planning.plan_cells(connection, survey)
    return survey


def run(
    connection: Connection,
    survey: SurveyRow,
    *,
    north_m: float = 0.0,
    cracked: range = range(50),
    unseen: tuple[int, ...] = (),
) -> SurveyRow:
    """Survey and measure: a crack along the cells `cracked`, `north_m` off the centre-line."""
    found = connection.execute(
        text("SELECT id FROM segment WHERE network_id = :id ORDER BY from_m"),
        {"id": survey.network_id},
    )
    ids = np.array(found.scalars().all())
    for claimed in leases.claim(connection, worker="w", lease_s=60.0, limit=100):
        at = claimed.cell.col - scene.COL
        result = scene.found_in(claimed.cell, ids, imaged=0.0 if at in unseen else 1.0)
        moved = shapely.transform(
            result.lines, lambda points: points + [0.0, north_m, 0.0], include_z=True
        )
        lines = moved if at in cracked else moved[:0]
        assert cells.complete(
            connection, claimed=claimed, result=replace(result, lines=lines), worker="w"
        )
    measuring.measure_survey(connection, surveys.get_survey(connection, survey.id))
    return surveys.get_survey(connection, survey.id)


@pytest.fixture
def compared(engine: Engine) -> tuple[Engine, Comparison]:
    """
    cells         0-9      10-19     20-29     30-39     40-49
    before      [---------------]               |  unseen 35-39
    after       [--------------------------]    |        [-----]    0.2 m further north: no other crack
    """
    with database(engine) as connection:
        before = run(
            connection,
            add_survey(connection, name="Spring"),
            cracked=range(16),
            unseen=tuple(range(35, 40)),
        )
        after = run(
            connection,
            add_survey(connection, name="Autumn"),
            north_m=0.05,
            cracked=range(27),
        )
        return engine, compare_surveys(connection, after.id, since=before.id)


def page(engine: Engine, comparison: Comparison, **asked: Any) -> ChangePage:
    with database(engine) as connection:
        return changes.changes_page(connection, comparison, **asked)


def test_each_segment_says_what_changed_on_the_ground_both_saw(
    compared: tuple[Engine, Comparison],
) -> None:
    engine, comparison = compared
    found = page(engine, comparison, sort="segment").segments
    metres = {
        kind: np.array([getattr(row, f"{kind}_m") for row in found]) * scene.SCALE
        for kind in ("new", "grown", "gone", "unchanged")
    }
    assert metres["unchanged"] == pytest.approx([100, 60, 0, 0, 0], abs=0.05)
    assert metres["grown"] == pytest.approx([0, 40, 0, 0, 0], abs=0.05)
    assert metres["new"] == pytest.approx([0, 0, 70, 0, 0], abs=1e-3)
    assert metres["gone"] == pytest.approx([0, 0, 0, 0, 0], abs=1e-3)
    common = [1.0, 1.0, 1.0, 0.5, 1.0]
    assert [row.common_m2 for row in found] == pytest.approx(
        [scene.SEGMENT_PAVEMENT_M2 * share for share in common], rel=1e-5
    )
    assert [row.coverage_before for row in found] == pytest.approx(common, rel=1e-6)


def test_ground_that_one_survey_did_not_see_has_no_lengths(engine: Engine) -> None:
    with database(engine) as connection:
        before = run(
            connection,
            add_survey(connection, name="Spring"),
            cracked=range(50),
            unseen=(*range(30, 40),),
        )
        after = run(connection, add_survey(connection, name="Autumn"), cracked=range(50))
        comparison = compare_surveys(connection, after.id, since=before.id)
    found = page(engine, comparison, sort="segment").segments
    seen, unseen = found[2], found[3]
    assert (seen.new_m, seen.gone_m) == (0.0, 0.0)
    assert unseen.common_m2 == 0.0
    assert {unseen.new_m, unseen.grown_m, unseen.gone_m, unseen.unchanged_m} == {None}


def test_densities_differ_by_what_is_significant(compared: tuple[Engine, Comparison]) -> None:
    """Segment 1: 60 m, then 100 m on 800 m2: +0.05; 1.96 sqrt((61 + 101) 0.19) / 800 = 0.0136."""
    engine, comparison = compared
    found = page(engine, comparison, sort="segment").segments
    change = [row.density_change_m_per_m2 or 0.0 for row in found]
    assert change == pytest.approx([0.0, 0.05, 0.0875, 0.0, 0.0], abs=1e-4)
    assert found[1].uncertainty_m_per_m2 == pytest.approx(0.0136, abs=2e-4)
    assert [row.significant for row in found] == [False, True, True, False, False]
    with database(engine) as connection:
        whole = change_summary(connection, comparison)
    assert (whole.segments, whole.segments_compared, whole.worse, whole.better) == (5, 5, 2, 0)
    # 160 m on 3600 m2 (half of a segment unseen), then 270 m on 4000 m2
    assert whole.density_before_m_per_m2 == pytest.approx(160 / 3600, rel=1e-3)
    assert whole.density_after_m_per_m2 == pytest.approx(270 / 4000, rel=1e-3)
    assert whole.significant
    assert whole.accuracy_stated
    assert whole.precision_after == 0.9


def test_the_cracks_themselves_are_listed_by_kind(compared: tuple[Engine, Comparison]) -> None:
    engine, comparison = compared
    found = page(engine, comparison, sort="segment")
    of_kind = {
        kind: [each for each in found.cracks if each.kind == kind] for kind in ("new", "grown")
    }
    assert len(of_kind["new"]) == len(of_kind["grown"]) == 1
    assert of_kind["new"][0].segment_id == found.segments[2].segment_id
    assert of_kind["new"][0].width_mean_mm == pytest.approx(4.0)
    assert of_kind["new"][0].line.within(found.segments[2].pavement.buffer(1e-6))


def test_pages_are_in_order_and_neither_skip_nor_repeat(
    compared: tuple[Engine, Comparison],
) -> None:
    engine, comparison = compared
    with database(engine) as connection:
        connection.execute(
            text(
                "UPDATE condition SET density_m_per_m2 = NULL WHERE survey_id = :id AND segment_id IN "
                "(SELECT max(id) FROM segment UNION SELECT min(id) FROM segment)"
            ),
            {"id": comparison.before.id},
        )
    whole = page(engine, comparison).segments
    change = [
        None if row.density_before_m_per_m2 is None else row.density_change_m_per_m2
        for row in whole
    ]
    assert change[:2] == pytest.approx([0.0875, 0.05], abs=1e-4)
    assert change[3:] == [None, None]
    for sort in ("density_change", "segment"):
        expected = [row.segment_id for row in page(engine, comparison, sort=sort).segments]
        assert len(set(expected)) == 5
        for limit in (1, 2, 4):
            walked: list[int] = []
            after: str | None = None
            while True:
                part = page(engine, comparison, sort=sort, limit=limit, after=after)
                walked += [row.segment_id for row in part.segments]
                after = part.following
                if after is None:
                    break
            assert walked == expected


def test_a_survey_measured_anew_while_it_is_compared_gives_no_page_of_both(
    compared: tuple[Engine, Comparison], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, comparison = compared

    def measured_meanwhile(*arguments: Any, **named: Any) -> Any:
        with database(engine) as connection:
            connection.execute(
                text("UPDATE survey SET epoch = epoch + 1 WHERE id = :id"),
                {"id": comparison.before.id},
            )
        return common_ground(*arguments, **named)

    monkeypatch.setattr(changes, "common_ground", measured_meanwhile)
    with pytest.raises(Conflict, match="measured anew"):
        page(engine, comparison)


def follow(connection: Connection, before: SurveyRow, after: SurveyRow) -> None:
    """Have the segments of the later survey's network be those of the earlier one's, by their keys."""
    connection.execute(
        text(
            "UPDATE segment s SET lineage = t.id FROM segment t WHERE t.network_id = :old "
            "AND s.network_id = :new AND s.segment_key = t.segment_key"
        ),
        {"old": before.network_id, "new": after.network_id},
    )


def test_a_network_imported_again_goes_on_by_the_lineage_of_its_segments(engine: Engine) -> None:
    with database(engine) as connection:
        before = run(connection, add_survey(connection, name="Old", network="Town"))
        later = add_survey(connection, name="New", network="Town, corrected")
        after = run(connection, later, cracked=range(0))
        assert before.network_id != after.network_id
        apart = compare_surveys(connection, after.id, since=before.id)
        assert change_summary(connection, apart).segments == 0
        follow(connection, before, after)
        comparison = compare_surveys(connection, after.id, since=before.id, tolerance_m=0.3)
        found = changes.changes_page(connection, comparison).segments
        whole = change_summary(connection, comparison)
    assert [(row.gone_m or 0.0) * scene.SCALE for row in found] == pytest.approx(
        [100.0] * 5, abs=1e-3
    )
    assert (whole.worse, whole.better) == (0, 5)


def test_beside_the_pavement_of_the_earlier_network_nothing_is_new(engine: Engine) -> None:
    """The former network had 4 m of the 8 m; the same crack is there, 3 m from the centre-line."""
    with database(engine) as connection:
        earlier = add_survey(connection, name="Old", network="Town, narrow")
        connection.execute(
            text(
                "UPDATE segment SET pavement = ST_Multi(ST_Intersection(pavement, "
                "ST_Buffer(geom::geography, 2, 'endcap=flat')::geometry))"
            )
        )
        before = run(connection, earlier, north_m=3.0)
        after = run(connection, add_survey(connection, name="New"), north_m=3.0)
        follow(connection, before, after)
        comparison = compare_surveys(connection, after.id, since=before.id, tolerance_m=0.3)
        found = changes.changes_page(connection, comparison).segments
    assert [(row.new_m, row.grown_m) for row in found] == [(0.0, 0.0)] * 5
    assert [row.common_m2 for row in found] == pytest.approx(
        [scene.SEGMENT_PAVEMENT_M2 / 2.0] * 5, rel=2e-3
    )


def test_what_can_not_be_compared_is_refused(engine: Engine) -> None:
    with database(engine) as connection:
        one = run(connection, add_survey(connection, name="One"))
        other = add_survey(connection, name="Other")
        with pytest.raises(BadInput, match="itself"):
            compare_surveys(connection, one.id, since=one.id)
        with pytest.raises(Conflict, match="'Other' is running"):
            compare_surveys(connection, one.id, since=other.id)
        other = run(connection, other)
        for tolerance_m in (0.0, -1.0, 50.0, math.nan):
            with pytest.raises(BadInput, match="tolerance"):
                compare_surveys(connection, other.id, since=one.id, tolerance_m=tolerance_m)
        comparison = compare_surveys(connection, other.id, since=one.id)
        with pytest.raises(BadInput, match="1 to 1000"):
            changes.changes_page(connection, comparison, limit=0)


def test_the_tolerance_counts_ground_pixels_in_web_mercator_too(engine: Engine) -> None:
    """At 52.3 degrees north a pixel of 12.5 mm of web mercator shows 7.6 mm of ground."""
    mercator = text("UPDATE survey SET crs = 'EPSG:3857', state = 'done'")
    with database(engine) as connection:
        one, other = (add_survey(connection, name=name) for name in ("One", "Other"))
        connection.execute(mercator)
        comparison = compare_surveys(connection, other.id, since=one.id)
    ground_m = 0.0125 * math.cos(math.radians(52.34))
    expected = default_tolerance_m((ground_m, ground_m))
    assert comparison.tolerance_m == pytest.approx(expected, abs=1e-4)


def test_the_same_stretch_is_found_by_an_index(compared: tuple[Engine, Comparison]) -> None:
    """Of a country's segments, all pairs would be looked at otherwise."""
    engine, comparison = compared
    assert "coalesce(t.lineage, t.id) = coalesce(s.lineage, s.id)" in BOTH
    statement = text("""
        EXPLAIN SELECT id FROM segment t
        WHERE t.network_id = :former_network AND coalesce(t.lineage, t.id) = 7
    """)
    with database(engine) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = connection.execute(statement, comparison.parameters).scalars().all()
    assert "ix_segment_stretch" in plan[0], "\n".join(plan)
