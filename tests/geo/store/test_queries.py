"""Questions to the results: pages that neither skip nor repeat, boxes, histories, and their plans."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from sqlalchemy import Engine, text

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput, Conflict, NotFound
from pavemap.geo.store import (
    boxes,
    crack_pages,
    figures,
    segment_history,
    segment_pages,
    survey_summary,
    surveys,
    tables,
)
from pavemap.geo.store.bulk import copy_frame, reserve_ids
from pavemap.geo.store.cursors import Cursor
from pavemap.geo.store.engine import database
from pavemap.geo.store.figures import Sort
from pavemap.geo.store.places import Bbox
from pavemap.geo.store.surveys import SurveyRow
from segment_rows import SegmentRow, read_rows

Ids = NDArray[np.int64]

DENSITIES = [None, 0.0, 0.0, 0.5, 0.5, 0.5, None, 0.25, 1.0]
"""Dealt out in turn: many equal keys, and nulls."""


A_DIGIT = 10.0**-segment_pages.DIGITS
"""A vertex of GeoJSON is nearer than this to what was stored."""


@pytest.fixture
def measured(engine: Engine) -> SurveyRow:
    """A survey of 12 roads by 5 segments, its figures dealt out by number."""
    with database(engine) as connection:
        survey = scene.add_survey(connection, roads=12)
        ids = np.array(
            connection.execute(text("SELECT id FROM segment ORDER BY id")).scalars().all()
        )
        number = np.arange(len(ids))
        density = np.array([DENSITIES[at % 9] for at in number], dtype=float)
        copy_frame(
            connection,
            tables.Condition,
            {
                "survey_id": survey.id,
                "segment_id": ids,
                "imaged_m2": np.where(np.isnan(density), 0.0, 400.0),
                "pavement_m2": 800.0,
                "coverage": np.where(np.isnan(density), 0.0, 0.5),
                "density_m_per_m2": density,
                "reason": ["" if known else "no data" for known in ~np.isnan(density)],
                "confident": number % 2 == 0,
                **{name: density * 3.0 for name in figures.NULLABLE if name != "density_m_per_m2"},
                "crack_length_m": (number % 4) / 3.0,
                "cracked_area_m2": number % 2,
                "crack_count": number % 3,
            },
        )
        return survey


def walk(engine: Engine, survey: SurveyRow, *, limit: int, **asked: Any) -> list[SegmentRow]:
    rows: list[SegmentRow] = []
    after: str | None = None
    with database(engine) as connection:
        while True:
            page, after = segment_pages.segment_features(
                connection, survey.id, limit=limit, after=after, **asked
            )
            assert len(page) <= limit
            rows += read_rows(page)
            if after is None:
                return rows


def figure(row: SegmentRow, sort: Sort) -> Any:
    return row.density_m_per_m2 if sort == "density" else getattr(row, sort)


@pytest.mark.parametrize("descending", [True, False])
def test_pages_neither_skip_nor_repeat_and_are_in_order(
    engine: Engine, measured: SurveyRow, descending: bool
) -> None:
    """Whatever the size of a page, though keys are equal; nulls come last in both directions."""
    for sort in get_args(Sort):
        whole = walk(engine, measured, limit=1000, sort=sort, descending=descending)
        assert len({row.segment_id for row in whole}) == len(whole) == 60
        keyed = [figure(row, sort) for row in whole if figure(row, sort) is not None]
        assert keyed == sorted(keyed, reverse=descending)
        assert all(figure(row, sort) is None for row in whole[len(keyed) :])
        for limit in (1, 7, 20, 59, 60):
            assert walk(engine, measured, limit=limit, sort=sort, descending=descending) == whole


def test_the_last_page_has_no_cursor_even_when_it_is_full(
    engine: Engine, measured: SurveyRow
) -> None:
    with database(engine) as connection:
        page, after = segment_pages.segment_features(connection, measured.id, limit=60)
    assert (len(page), after) == (60, None)


def test_rows_that_come_between_two_pages_shift_nothing(
    engine: Engine, measured: SurveyRow
) -> None:
    with database(engine) as connection:
        first, after = segment_pages.segment_features(connection, measured.id, limit=10)
        expected, _ = segment_pages.segment_features(connection, measured.id, limit=10, after=after)
        connection.execute(  # the worst of all are gone by now
            text("DELETE FROM condition WHERE segment_id = ANY(:ids)"),
            {"ids": [row.id for row in first]},
        )
        assert (
            segment_pages.segment_features(connection, measured.id, limit=10, after=after)[0]
            == expected
        )


@pytest.mark.parametrize("page", [segment_pages.segment_features, crack_pages.cracks_page])
def test_pages_from_before_and_after_a_measuring_do_not_go_together(
    engine: Engine, measured: SurveyRow, page: Callable[..., tuple[list[Any], str | None]]
) -> None:
    add_cracks(engine, measured, 25)
    with database(engine) as connection:
        _, after = page(connection, measured.id, limit=4)
        page(connection, measured.id, limit=4, after=after)
        connection.execute(text("UPDATE survey SET finished_at = clock_timestamp()"))
        with pytest.raises(Conflict, match="begin again"):
            page(connection, measured.id, limit=4, after=after)


def test_by_default_the_worst_come_first_whichever_end_that_is(
    engine: Engine, measured: SurveyRow
) -> None:
    for sort in get_args(Sort):
        descending = sort not in {"pci_cracking", "coverage", "segment_key"}
        expected = walk(engine, measured, limit=100, sort=sort, descending=descending)
        assert walk(engine, measured, limit=100, sort=sort) == expected


def test_a_least_density_leaves_out_what_is_less_or_unknown(
    engine: Engine, measured: SurveyRow
) -> None:
    rows = walk(engine, measured, limit=7, min_density=0.5)
    assert {row.density_m_per_m2 for row in rows} == {0.5, 1.0}
    assert len(rows) == sum((DENSITIES[at % 9] or 0.0) >= 0.5 for at in range(60))
    assert len(walk(engine, measured, limit=7, min_density=0.0)) == sum(
        DENSITIES[at % 9] is not None for at in range(60)
    )


def box(west: float, south: float, east: float, north: float) -> Bbox:
    """A box in degrees within a rectangle of metres from the corner of the scene."""
    area = shapely.box(scene.X + west, scene.Y + south, scene.X + east, scene.Y + north)
    bounds = reproject(area, scene.UTM, WGS84).bounds
    return bounds[0], bounds[1], bounds[2], bounds[3]


def test_a_box_asks_for_the_segments_that_cross_it(engine: Engine, measured: SurveyRow) -> None:
    """Roads 2 and 3 (at 205 m and 305 m north), segments from 150 m to 250 m along."""
    rows = walk(engine, measured, limit=2, bbox=box(150.0, 200.0, 250.0, 310.0), sort="segment_key")
    assert {row.segment_key for row in rows} == {"A3:100", "A3:200", "A4:100", "A4:200"}
    assert walk(engine, measured, limit=2, bbox=(0.0, 0.0, 1.0, 1.0)) == []


@pytest.mark.parametrize("descending", [True, False])
def test_a_box_with_few_segments_and_one_with_many_are_asked_alike(
    engine: Engine, measured: SurveyRow, monkeypatch: pytest.MonkeyPatch, descending: bool
) -> None:
    """By place and then sorted, or down the order of densities: the same pages, nulls last."""
    asked: dict[str, Any] = {"bbox": box(120.0, 100.0, 420.0, 810.0), "descending": descending}
    whole = walk(engine, measured, limit=1000, **asked)
    everything = walk(engine, measured, limit=1000, descending=descending)
    inside = [
        row
        for row in everything
        if row.segment_key.split(":")[0] in {f"A{n}" for n in range(2, 10)}
    ]
    assert whole == [
        row for row in inside if row.from_m * scene.SCALE < 420.0 and row.from_m > 90.0
    ]
    assert {row.density_m_per_m2 for row in whole} >= {None, 0.0, 0.5}
    for many in (0, 1000):
        monkeypatch.setattr(boxes, "MANY", many)
        for limit in (1, 7, 1000):
            assert walk(engine, measured, limit=limit, **asked) == whole
        dense = walk(engine, measured, limit=3, min_density=0.5, **asked)
        assert dense == [row for row in whole if (row.density_m_per_m2 or 0.0) >= 0.5]


def test_a_box_is_asked_alike_where_nothing_is_known_of_how_many_it_holds(
    engine: Engine, measured: SurveyRow
) -> None:
    """A database that was just restored has no statistics yet."""
    asked: dict[str, Any] = {"bbox": box(120.0, 100.0, 420.0, 810.0)}
    whole = walk(engine, measured, limit=7, **asked)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM pg_statistic WHERE starelid = 'segment'::regclass"))
    engine.dispose()
    assert walk(engine, measured, limit=7, **asked) == whole


def test_a_box_over_the_180th_meridian_is_two(engine: Engine, measured: SurveyRow) -> None:
    everything: Bbox = (179.0, -90.0, 178.0, 90.0)
    assert len(walk(engine, measured, limit=7, bbox=everything)) == 60
    assert walk(engine, measured, limit=7, bbox=(179.0, -90.0, -179.0, 90.0)) == []


def test_features_are_what_is_stored_as_geojson(engine: Engine, measured: SurveyRow) -> None:
    """Written by the server: figures to the last digit, text whatever is in it."""
    odd = 'Quote " and \\ and : and é'
    with database(engine) as connection:
        connection.execute(text("UPDATE segment SET name = :odd"), {"odd": odd})
        connection.execute(
            text("UPDATE condition SET density_m_per_m2 = 1e-7 WHERE crack_count = 1")
        )
        connection.execute(
            text("""UPDATE condition SET r85 = '{"transverse": {"1": {"length_m": 0.1}}}'""")
        )
        stored = connection.execute(
            text("""
                SELECT s.*, r.road_key, c.*, ST_AsBinary(s.geom) AS line,
                    ST_AsBinary(s.pavement) AS polygon
                FROM condition c JOIN segment s ON s.id = c.segment_id JOIN road r ON r.id = s.road_id
            """)
        )
        known = {row.segment_id: row._mapping for row in stored}
    for geometry, column in (("pavement", "polygon"), ("line", "line")):
        rows = walk(engine, measured, limit=60, geometry=geometry)
        assert {row.segment_id for row in rows} == set(known)
        for row in rows:
            of_row = known[row.segment_id]
            properties = {name: value for name, value in vars(row).items() if name != "shape"}
            assert properties == {name: of_row[name] for name in properties}
            assert row.shape.equals_exact(shapely.from_wkb(of_row[column]), A_DIGIT)
        assert {row.name for row in rows} == {odd}


def test_a_row_has_all_that_a_reader_asks_for(engine: Engine, measured: SurveyRow) -> None:
    rows = walk(engine, measured, limit=60)
    (row,) = (row for row in rows if row.segment_key == "A2:100")
    (drawn,) = (
        row
        for row in walk(engine, measured, limit=60, geometry="line")
        if row.segment_key == "A2:100"
    )
    assert (row.road_key, row.name) == ("A2", "Street 2")
    assert (row.from_m, row.width_m) == (100.0 / scene.SCALE, scene.WIDTH_M)
    laid = scene.road_frames(roads=12).segments.set_index("segment_key").loc["A2:100"]
    assert drawn.shape.equals_exact(laid["line"], A_DIGIT)
    assert row.shape.equals_exact(laid["geometry"], A_DIGIT)
    assert (row.density_m_per_m2, row.reason, row.coverage) == (None, "no data", 0.0)


@pytest.mark.parametrize(
    "bad",
    [
        {"bbox": (0.0, 10.0, 1.0, 5.0)},
        {"bbox": (0.0, -91.0, 1.0, 5.0)},
        {"bbox": (float("nan"), 0.0, 1.0, 5.0)},
        {"sort": "colour"},
        {"limit": 0},
        {"limit": 100_000},
        {"after": "garbage"},
        {"after": Cursor("density-asc").at(0.5, 1)},
        {"after": Cursor("density-desc").at("x", 1)},
        {"after": Cursor("density-desc").at(0.5, -1)},
        {"after": Cursor("density-desc").at(0.5, 2**63)},
        {"after": Cursor("density-desc").at(float("inf"), 1)},
        {"after": base64.urlsafe_b64encode(json.dumps({"a": 1}).encode()).decode()},
        {"after": "\u00e9"},
        {"after": base64.urlsafe_b64encode(b"[" * 1400).decode()},
        {"after": Cursor("segment_key-desc").at("\ud800", 1), "sort": "segment_key"},
    ],
)
def test_questions_that_make_no_sense_are_refused(
    engine: Engine, measured: SurveyRow, bad: dict[str, Any]
) -> None:
    with database(engine) as connection, pytest.raises(BadInput):
        segment_pages.segment_features(connection, measured.id, **bad)


def test_unknown_surveys_and_segments_are_not_found(engine: Engine, measured: SurveyRow) -> None:
    with database(engine) as connection:
        for call in (
            segment_pages.segment_features,
            crack_pages.cracks_page,
            survey_summary.summary,
        ):
            with pytest.raises(NotFound):
                call(connection, uuid.uuid4())
        with pytest.raises(NotFound):
            segment_history.segment_conditions(connection, 10**12)


def test_a_segment_has_a_history_over_surveys(engine: Engine, measured: SurveyRow) -> None:
    with database(engine) as connection:
        connection.execute(text("UPDATE survey SET captured_on = '2025-04-01'"))
        later = scene.add_survey(connection, name="Autumn", roads=12)
        connection.execute(
            text("UPDATE survey SET captured_on = '2025-10-01' WHERE id = :id"), {"id": later.id}
        )
        connection.execute(
            text(
                "INSERT INTO condition (survey_id, segment_id, crack_length_m, cracked_area_m2, "
                "imaged_m2, pavement_m2, coverage, density_m_per_m2, crack_count, pci_cracking) "
                "SELECT :id, segment_id, crack_length_m + 1, cracked_area_m2, imaged_m2, pavement_m2, "
                "coverage, density_m_per_m2, crack_count, 71.5 FROM condition"
            ),
            {"id": later.id},
        )
        segment = connection.scalar(text("SELECT min(id) FROM segment"))
        assert segment is not None
        history = segment_history.segment_conditions(connection, segment)
        unseen = scene.add_road(connection, name="Elsewhere", roads=2)
        other = connection.scalar(
            text("SELECT min(id) FROM segment WHERE network_id = :id"), {"id": unseen.id}
        )
        assert other is not None
        assert segment_history.segment_conditions(connection, other) == []
    assert [(row.survey_name, row.crack_length_m) for row in history] == [
        ("Autumn", 1.0),
        ("Spring", 0.0),
    ]
    assert history[0].survey_id == later.id


def add_cracks(engine: Engine, survey: SurveyRow, count: int) -> None:
    """Lay a metre of crack every ten metres, going east."""
    start = scene.X + 10.0 * np.arange(count)
    middle = np.full(count, scene.Y + 5.0)
    z = np.full(count, 4.0)
    ends = np.stack([np.stack([start, middle, z], 1), np.stack([start + 1.0, middle, z], 1)], 1)
    lines = reproject(shapely.linestrings(ends), scene.UTM, WGS84)
    with database(engine) as connection:
        copy_frame(
            connection,
            tables.Crack,
            {
                "id": reserve_ids(connection, tables.Crack, count),
                "survey_id": survey.id,
                "model_id": survey.model_id,
                "geom": lines,
                "length_m": np.arange(count) + 1.0,
                "width_mean_mm": 4.0,
                "width_p95_mm": 4.5,
                "width_max_mm": 5.0,
                "area_m2": 0.004,
            },
        )


def test_cracks_come_in_pages_and_by_box(engine: Engine, measured: SurveyRow) -> None:
    add_cracks(engine, measured, 25)
    with database(engine) as connection:
        seen: list[float] = []
        after = None
        while True:
            page, after = crack_pages.cracks_page(connection, measured.id, limit=4, after=after)
            seen += [crack.length_m for crack in page]
            if after is None:
                break
        boxed, _ = crack_pages.cracks_page(
            connection, measured.id, bbox=box(95.0, 0.0, 120.5, 10.0)
        )
    assert seen == [at + 1.0 for at in range(25)]
    assert [crack.length_m for crack in boxed] == [11.0, 12.0, 13.0]
    coordinates = shapely.get_coordinates(boxed[0].line, include_z=True)
    assert coordinates[:, 2].tolist() == [4.0, 4.0]
    assert boxed[0].width_max_mm == 5.0


def plan(engine: Engine, statement: str, parameters: dict[str, Any]) -> str:
    """Return the plan, with whole-table reads and sorts as the last resort they are on big tables."""
    with database(engine) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_sort = off"))
        connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        rows = connection.execute(text(f"EXPLAIN {statement}"), parameters)
        return "\n".join(rows.scalars())


@pytest.mark.parametrize("descending", [True, False])
def test_a_page_by_density_walks_its_index_from_the_cursor(
    engine: Engine, measured: SurveyRow, descending: bool
) -> None:
    """No sort, no filter over the survey: the cursor is an index condition."""
    cursor = Cursor("density", key=0.5, id=7)
    order, *_ = segment_pages._orders("density", descending=descending, cursor=cursor, least=False)
    statement = segment_pages._statement("c.segment_id", "density", order, box=None)
    parameters = {"survey_id": measured.id, "key": 0.5, "id": 7, "limit": 10}
    shown = plan(engine, statement, parameters)
    way = "Backward " if descending else ""
    assert f"Index Scan {way}using ix_condition_density" in shown.replace("Only ", "")
    assert "ROW(density_m_per_m2, segment_id)" in " ".join(
        line for line in shown.splitlines() if "Index Cond" in line
    )


@pytest.mark.parametrize("descending", [True, False])
def test_a_page_by_key_begins_in_the_index_of_keys_at_the_cursor(
    engine: Engine, measured: SurveyRow, descending: bool
) -> None:
    """An export reads all pages: each would walk all keys before its own."""
    cursor = Cursor("segment_key", key="A5:100", id=7)
    order, *_ = segment_pages._orders(
        "segment_key", descending=descending, cursor=cursor, least=False
    )
    statement = segment_pages._statement("c.segment_id", "segment_key", order, box=None)
    parameters = {"survey_id": measured.id, "key": "A5:100", "id": 7, "limit": 10}
    shown = plan(engine, statement, parameters)
    (begun,) = (line for line in shown.splitlines() if "segment_key" in line and "Cond" in line)
    assert f"segment_key {'<' if descending else '>'} 'A5:100'" in begun


def test_the_worst_in_a_box_are_read_from_indexes_alone(
    engine: Engine, measured: SurveyRow
) -> None:
    """Either by place, or down the order of densities; the planner's guess at a box decides nothing."""
    area = boxes.BoxFilter.of(box(0.0, 0.0, 250.0, 500.0))
    statement = segment_pages.worst_statement(area)
    with database(engine) as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        connection.execute(text("SET LOCAL enable_bitmapscan = off"))
        rows = connection.execute(
            text(f"EXPLAIN {statement}"),
            {"survey_id": measured.id, "limit": 10, **area.parameters},
        )
        shown = "\n".join(rows.scalars())
    assert "Index Only Scan using ix_condition_place" in shown
    assert "Index Only Scan Backward using ix_condition_density" in shown
    assert shown.count("One-Time Filter") >= 2  # one of the two ways is run


def test_a_history_and_a_page_of_cracks_use_their_indexes(
    engine: Engine, measured: SurveyRow
) -> None:
    shown = plan(engine, segment_history._HISTORY.text, {"segment_id": 1})
    assert "ix_condition_segment_id" in shown
    cracks = "SELECT id FROM crack WHERE survey_id = :id AND id > 3 ORDER BY id LIMIT 5"
    assert "pk_crack" in plan(engine, cracks, {"id": measured.id})
    boxed = "SELECT id FROM crack WHERE ST_Intersects(geom, ST_MakeEnvelope(0, 0, 1, 1, 4326))"
    assert "ix_crack_geom" in plan(engine, boxed, {})


def test_the_sums_of_a_survey_that_was_not_measured_are_nothing(engine: Engine) -> None:
    with database(engine) as connection:
        survey = scene.add_survey(connection)
        sums = survey_summary.summary(connection, survey.id)
        assert surveys.get_survey(connection, survey.id).state == "created"
    assert (sums.segments, sums.coverage, sums.density_m_per_m2) == (0, 0.0, None)


def test_only_the_confident_are_listed_when_asked_for(engine: Engine, measured: SurveyRow) -> None:
    """In a box too, where the index on density would be walked; the rest is what is left."""
    for asked in ({}, {"bbox": box(0.0, 0.0, 10_000.0, 10_000.0)}, {"sort": "pci_cracking"}):
        whole = walk(engine, measured, limit=1000, **asked)
        parts = [
            [row.segment_id for row in walk(engine, measured, limit=7, confident=wanted, **asked)]
            for wanted in (True, False)
        ]
        assert [len(part) for part in parts] == [30, 30]
        by_trust = [
            [row.segment_id for row in whole if row.confident is so] for so in (True, False)
        ]
        assert parts == by_trust


@pytest.mark.parametrize("page", [segment_pages.segment_features, crack_pages.cracks_page])
def test_a_page_is_refused_when_the_survey_is_measured_while_it_is_read(
    engine: Engine, measured: SurveyRow, page: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows would be of both: some twice, some not at all."""
    module = segment_pages if page is segment_pages.segment_features else crack_pages
    versions = iter(["before", "after"])
    monkeypatch.setattr(module, "survey_version", lambda *_: next(versions))
    with pytest.raises(Conflict, match="begin again"), database(engine) as connection:
        page(connection, measured.id, limit=3)
