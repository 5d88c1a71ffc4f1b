"""Imagery: the same file is one row, a new file under an old name takes its place."""

from __future__ import annotations

import dataclasses
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import shapely
from sqlalchemy import Engine

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import NotFound
from pavemap.geo.store import orthophotos
from pavemap.geo.store.engine import database
from pavemap.geo.store.orthophotos import OrthophotoRow
from pavemap.geo.store.surveys import SurveyRow


@pytest.fixture
def bare(engine: Engine) -> SurveyRow:
    """A survey without imagery."""
    with database(engine) as connection:
        return scene.add_survey(connection)


def add(engine: Engine, survey: SurveyRow, name: str, sha256: str) -> tuple[OrthophotoRow, bool]:
    with database(engine) as connection:
        return orthophotos.add_orthophoto(
            connection,
            survey_id=survey.id,
            name=name,
            sha256=sha256,
            bytes=5,
            key=f"orthophotos/{sha256}.tif",
            info=scene.orthophoto(name),
            warnings=["too coarse"],
        )


def listed(engine: Engine, survey: SurveyRow) -> list[tuple[str, str]]:
    with database(engine) as connection:
        rows = orthophotos.list_orthophotos(connection, survey.id)
        return [(row.name, row.sha256) for row in rows]


def test_a_row_gives_back_all_that_reading_the_file_needs(engine: Engine, bare: SurveyRow) -> None:
    row, created = add(engine, bare, "a.tif", "aa")
    assert created
    assert row.info == scene.orthophoto("a.tif")
    assert row.info.at("/data/a.tif").path == "/data/a.tif"
    assert (row.name, row.bytes, row.warnings) == ("a.tif", 5, ("too coarse",))
    with database(engine) as connection:
        assert orthophotos.list_orthophotos(connection, bare.id) == [row]


def test_the_same_file_twice_is_one(engine: Engine, bare: SurveyRow) -> None:
    first, _ = add(engine, bare, "a.tif", "aa")
    assert add(engine, bare, "a.tif", "aa") == (first, False)
    assert add(engine, bare, "copy of a.tif", "aa") == (first, False)
    assert listed(engine, bare) == [("a.tif", "aa")]


def test_another_file_under_the_same_name_takes_its_place(engine: Engine, bare: SurveyRow) -> None:
    """As a new row: who keeps rows by id sees that the pixels changed."""
    first, _ = add(engine, bare, "a.tif", "aa")
    second, created = add(engine, bare, "a.tif", "bb")
    assert created
    assert second.id != first.id
    assert listed(engine, bare) == [("a.tif", "bb")]


def test_a_name_that_comes_to_hold_a_known_file_leaves_that_file_alone(
    engine: Engine, bare: SurveyRow
) -> None:
    add(engine, bare, "a.tif", "aa")
    b, _ = add(engine, bare, "b.tif", "bb")
    assert add(engine, bare, "a.tif", "bb") == (b, False)
    assert listed(engine, bare) == [("b.tif", "bb")]


def test_the_same_file_sent_many_times_at_once_is_one(engine: Engine, bare: SurveyRow) -> None:
    with ThreadPoolExecutor(4) as pool:
        names = ["a.tif", "a.tif", "b.tif", "b.tif"]
        made = list(pool.map(lambda name: add(engine, bare, name, "aa"), names))
    assert [created for _, created in made].count(True) == 1
    assert len({row.id for row, _ in made}) == 1


def test_two_surveys_keep_their_imagery_apart(engine: Engine, bare: SurveyRow) -> None:
    with database(engine) as connection:
        other = scene.add_survey(connection, name="Autumn")
    add(engine, bare, "a.tif", "aa")
    _, created = add(engine, other, "a.tif", "aa")
    assert created


def test_imagery_is_listed_finest_first(engine: Engine, bare: SurveyRow) -> None:
    with database(engine) as connection:
        for name, gsd_m in (("b.tif", 0.002), ("a.tif", 0.002), ("c.tif", 0.001)):
            info = dataclasses.replace(scene.orthophoto(name), gsd_m=gsd_m)
            orthophotos.add_orthophoto(
                connection,
                survey_id=bare.id,
                name=name,
                sha256=name,
                bytes=1,
                key=name,
                info=info,
            )
    assert [name for name, _ in listed(engine, bare)] == ["c.tif", "a.tif", "b.tif"]


def test_only_imagery_that_meets_a_place_is_read(engine: Engine, bare: SurveyRow) -> None:
    with database(engine) as connection:
        scene.add_imagery(connection, bare.id, to_m=90.0, name="west.tif")
        scene.add_imagery(connection, bare.id, from_m=110.0, name="east.tif")
        here = shapely.box(scene.X + 80.0, scene.Y, scene.X + 100.0, scene.Y + 10.0)
        degrees = reproject(here, scene.UTM, WGS84)
        found = orthophotos.orthophotos_meeting(connection, bare.id, degrees)
    assert [row.name for row in found] == ["west.tif"]


def test_imagery_of_an_unknown_survey_is_refused(engine: Engine, bare: SurveyRow) -> None:
    with pytest.raises(NotFound):
        add(engine, dataclasses.replace(bare, id=uuid.uuid4()), "a.tif", "aa")
