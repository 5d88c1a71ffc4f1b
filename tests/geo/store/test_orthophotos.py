"""Imagery: what was last sent under each name is there, and the same content is one file."""

from __future__ import annotations

import dataclasses
import uuid
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import NotFound
from pavemap.geo.store import orthophotos
from pavemap.geo.store.cell_inputs import imagery_digest, stored_imagery_digest
from pavemap.geo.store.engine import database
from pavemap.geo.store.orthophotos import OrthophotoRow
from pavemap.geo.store.surveys import SurveyRow


@pytest.fixture
def bare(engine: Engine) -> SurveyRow:
    """A survey without imagery."""
    with database(engine) as connection:
        return scene.add_survey(connection)


def register(
    connection: Connection,
    survey: SurveyRow,
    name: str,
    sha256: str,
    *,
    stored_bytes: int | None = None,
) -> tuple[OrthophotoRow, bool]:
    return orthophotos.add_orthophoto(
        connection,
        survey_id=survey.id,
        name=name,
        sha256=sha256,
        bytes=5,
        key=f"orthophotos/{sha256}.tif",
        info=dataclasses.replace(scene.orthophoto(name), stored_bytes=stored_bytes),
        warnings=["too coarse"],
    )


def add(engine: Engine, survey: SurveyRow, name: str, sha256: str) -> tuple[OrthophotoRow, bool]:
    with database(engine) as connection:
        return register(connection, survey, name, sha256)


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
    both = dataclasses.replace(first, names=("a.tif", "copy of a.tif"))
    assert add(engine, bare, "copy of a.tif", "aa") == (both, False)
    assert add(engine, bare, "copy of a.tif", "aa") == (both, False)
    assert listed(engine, bare) == [("a.tif", "aa")]


def test_all_names_of_a_file_that_is_stored_anew_know_its_new_size(
    engine: Engine, bare: SurveyRow
) -> None:
    for name in ("a.tif", "b.tif"):
        add(engine, bare, name, "aa")
    add(engine, bare, "c.tif", "cc")
    with database(engine) as connection:
        again, created = register(connection, bare, "b.tif", "aa", stored_bytes=7)
        assert (again.info.name, again.info.stored_bytes, created) == ("a.tif", 7, False)
        orthophotos.remove_orthophoto(connection, bare.id, name="a.tif")
        left = orthophotos.list_orthophotos(connection, bare.id)
    assert [(row.info.name, row.info.stored_bytes) for row in left] == [
        ("b.tif", 7),
        ("c.tif", None),
    ]


def test_a_copy_that_other_content_replaces_takes_nothing_with_it(
    engine: Engine, bare: SurveyRow
) -> None:
    """Sent under b.tif by mistake, and mended: a.tif is still what it was."""
    add(engine, bare, "a.tif", "aa")
    add(engine, bare, "b.tif", "aa")
    _, created = add(engine, bare, "b.tif", "bb")
    assert created
    assert listed(engine, bare) == [("a.tif", "aa"), ("b.tif", "bb")]


def test_two_files_may_swap_their_names(engine: Engine, bare: SurveyRow) -> None:
    for name, sha256 in (("a.tif", "aa"), ("b.tif", "bb"), ("a.tif", "bb"), ("b.tif", "aa")):
        add(engine, bare, name, sha256)
    assert listed(engine, bare) == [("a.tif", "bb"), ("b.tif", "aa")]


@pytest.mark.parametrize("by", [1, -1])
def test_the_names_of_a_series_may_be_shifted(engine: Engine, bare: SurveyRow, by: int) -> None:
    for number in range(1, 6):
        add(engine, bare, f"{number}.tif", f"content {number}")
    for number in range(1, 6):
        add(engine, bare, f"{number + by}.tif", f"content {number}")
    assert {sha256 for _, sha256 in listed(engine, bare)} == {f"content {n}" for n in range(1, 6)}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("wxyz")), max_size=10))
def test_what_was_last_sent_under_each_name_is_there_once_whatever_came_before(
    engine: Engine, sent: list[tuple[str, str]]
) -> None:
    """And it has all its names, and lies where the first of them puts it, whichever came first."""
    names = defaultdict(list)
    for name, sha256 in sorted(dict(sent).items()):
        names[sha256].append(name)
    with engine.connect() as connection:
        survey = scene.add_survey(connection)
        for name, sha256 in sent:
            registered, _ = register(connection, survey, name, sha256)
            assert (name in registered.names, registered.sha256) == (True, sha256)
        rows = orthophotos.list_orthophotos(connection, survey.id)
        connection.rollback()
    assert [(row.sha256, list(row.names)) for row in rows] == list(names.items())
    assert [(row.name, row.info.name) for row in rows] == [
        (each[0], each[0]) for each in names.values()
    ]


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
    add(engine, bare, "b.tif", "bb")
    row, created = add(engine, bare, "a.tif", "bb")
    assert (row.sha256, row.names, created) == ("bb", ("a.tif", "b.tif"), False)
    assert listed(engine, bare) == [("a.tif", "bb")]


def test_the_same_file_sent_many_times_at_once_is_one(engine: Engine, bare: SurveyRow) -> None:
    with ThreadPoolExecutor(4) as pool:
        names = ["a.tif", "a.tif", "b.tif", "b.tif"]
        made = list(pool.map(lambda name: add(engine, bare, name, "aa"), names))
    assert [created for _, created in made].count(True) == 1
    assert listed(engine, bare) == [("a.tif", "aa")]


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
        found = orthophotos.orthophotos_near(connection, bare.id, degrees)
    assert [row.name for row in found] == ["west.tif"]


def test_imagery_of_an_unknown_survey_is_refused(engine: Engine, bare: SurveyRow) -> None:
    with pytest.raises(NotFound):
        add(engine, dataclasses.replace(bare, id=uuid.uuid4()), "a.tif", "aa")


def test_pages_go_by_the_first_of_a_file_s_names(engine: Engine, bare: SurveyRow) -> None:
    for name, sha256 in [
        ("b.tif", "aa"),
        ("Z.tif", "bb"),
        ("ä.tif", "cc"),
        ("a.tif", "aa"),
        ("c.tif", "dd"),
    ]:
        add(engine, bare, name, sha256)
    pages, after = [], None
    with database(engine) as connection:
        while True:
            page, after = orthophotos.orthophotos_page(connection, bare.id, limit=2, after=after)
            pages.append([row.name for row in page])
            if after is None:
                break
        assert pages == [["Z.tif", "a.tif"], ["c.tif", "ä.tif"]]  # in the order of code points
        assert orthophotos.get_orthophoto(connection, bare.id, name="b.tif").name == "a.tif"
        with pytest.raises(NotFound, match="no orthophoto 'B"):
            orthophotos.get_orthophoto(connection, bare.id, name="B.tif")


def test_a_summary_says_what_the_files_say_without_reading_them(
    engine: Engine, bare: SurveyRow
) -> None:
    with database(engine) as connection:
        none = orthophotos.imagery_summary(connection, bare.id)
        assert none == orthophotos.ImagerySummary(count=0, finest_gsd_m=None)
        assert orthophotos.contents_as_laid(connection, bare.id) == []
        # Of the sizes the second and the third are equal to three digits: there the names decide.
        for name, sha256, gsd_m in (
            ("z.tif", "aa", 0.002),
            ("a.tif", "bb", 0.0040011),
            ("B.tif", "cc", 0.0040012),
            ("0.tif", "cc", 0.0040012),
            ("b.tif", "dd", 0.01),
        ):
            orthophotos.add_orthophoto(
                connection,
                survey_id=bare.id,
                name=name,
                sha256=sha256,
                bytes=5,
                key=f"orthophotos/{sha256}.tif",
                info=dataclasses.replace(scene.orthophoto(name), gsd_m=gsd_m),
            )
        files = orthophotos.list_orthophotos(connection, bare.id)
        summary = orthophotos.imagery_summary(connection, bare.id)
        assert summary == orthophotos.ImagerySummary(count=4, finest_gsd_m=0.002)
        contents = orthophotos.contents_as_laid(connection, bare.id)
        assert contents == ["aa", "cc", "bb", "dd"] == [file.sha256 for file in files]
        assert stored_imagery_digest(connection, bare.id) == imagery_digest(files)
