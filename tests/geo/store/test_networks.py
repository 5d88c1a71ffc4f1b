"""Networks and models: stored once under a name, found again, never silently replaced."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import shapely
from sqlalchemy import Engine, text

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput, Conflict, NotFound, Unavailable
from pavemap.geo.store import model_versions, networks, surveys
from pavemap.geo.store.engine import database, translated
from pavemap.geo.store.segment_history import segment_conditions


@dataclass(frozen=True)
class Note:
    feature: str
    problem: str


def test_a_network_is_stored_with_its_roads_and_segments(engine: Engine) -> None:
    with database(engine) as connection:
        stored = scene.add_road(connection, roads=3)
    with database(engine) as connection:
        assert networks.get_network(connection, stored.id) == stored
        assert networks.get_network(connection, str(stored.id)) == stored
        assert networks.get_network(connection, "Town") == stored
        assert networks.list_networks(connection) == [stored]
        row = connection.execute(
            text(
                "SELECT road.road_key, s.segment_key, s.length_m, s.pavement_m2, s.from_m, "
                "ST_AsBinary(s.geom), ST_AsBinary(s.pavement), ST_Area(s.pavement::geography) "
                "FROM segment s JOIN road ON road.id = s.road_id "
                "WHERE segment_key = 'A2:100'"
            )
        ).one()
    assert (stored.road_count, stored.segment_count) == (3, 15)
    assert stored.length_m == pytest.approx(1500.0 / scene.SCALE)
    west, south, east, north = stored.bounds
    assert 13.5 < west < east < 13.6
    assert 52.3 < south < north < 52.4
    assert tuple(row[:3]) == ("A2", "A2:100", pytest.approx(100.0 / scene.SCALE))
    assert row[3] == pytest.approx(row[7], rel=1e-5)  # PostGIS's own geodesic area
    shapes = reproject(shapely.from_wkb([row[5], row[6]]), WGS84, scene.UTM)
    assert shapely.length(shapes[0]) == pytest.approx(100.0)
    assert shapely.area(shapes[1]) == pytest.approx(800.0)


def test_the_same_network_is_stored_once(engine: Engine) -> None:
    with database(engine) as connection:
        first = scene.add_road(connection)
    with database(engine) as connection:
        assert scene.add_road(connection) == first
        assert connection.scalar(text("SELECT count(*) FROM segment")) == 5


def test_imports_of_one_name_at_once_store_it_once(engine: Engine) -> None:
    frames = scene.road_frames(roads=20)

    def add(_: int) -> tuple[networks.NetworkRow, bool]:
        with database(engine) as connection:
            return networks.add_network(
                connection,
                name="Town",
                digest="d",
                source_crs="EPSG:32633",
                segment_length_m=scene.SEGMENT_M,
                roads=frames.roads,
                segments=frames.segments,
            )

    with ThreadPoolExecutor(3) as pool:
        rows, created = zip(*pool.map(add, range(3)), strict=True)
    assert rows[0] == rows[1] == rows[2]
    assert sorted(created) == [False, False, True], "one of them made it"
    with database(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM segment")) == 100


def test_of_deletions_at_once_one_finds_the_network(engine: Engine) -> None:
    with database(engine) as connection:
        stored = scene.add_road(connection, roads=20)

    def delete(_: int) -> bool:
        try:
            with database(engine) as connection:
                networks.delete_network(connection, "Town")
        except NotFound:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        with database(engine) as connection:
            networks.hold_network(connection, stored.id)
            deleting = [pool.submit(delete, number) for number in range(3)]
            with pytest.raises(TimeoutError):
                deleting[0].result(timeout=0.5)
        assert sorted(one.result(timeout=20) for one in deleting) == [False, False, True]


def test_another_network_under_a_known_name_is_refused(engine: Engine) -> None:
    with database(engine) as connection:
        scene.add_road(connection)
    with pytest.raises(Conflict, match="another name"), database(engine) as connection:
        scene.add_road(connection, roads=2)


def test_the_report_of_an_import_is_kept(engine: Engine) -> None:
    frames = scene.road_frames()
    with database(engine) as connection:
        stored, _ = networks.add_network(
            connection,
            name="Noted",
            digest="d",
            source_crs="EPSG:4326",
            segment_length_m=None,
            roads=frames.roads,
            segments=frames.segments,
            report=[Note("7", "zero length"), {"feature": "8", "problem": "no width"}],
        )
        report = networks.network_report(connection, stored.id)
    assert stored.segment_length_m is None
    assert report == [
        {"feature": "7", "problem": "zero length"},
        {"feature": "8", "problem": "no width"},
    ]


def test_the_history_of_a_segment_goes_on_in_the_network_that_replaces_its_own(
    engine: Engine,
) -> None:
    with database(engine) as connection:
        spring = scene.add_survey(connection, name="Spring")
        previous = networks.previous_network(connection, "Town")
        frames = scene.road_frames()
        found = frames.segments.iloc[1:].assign(lineage=previous.first_id[1:])
        newer, _ = networks.add_network(
            connection,
            name="Town 2",
            digest="newer",
            source_crs="EPSG:32633",
            segment_length_m=scene.SEGMENT_M,
            replaces=spring.network_id,
            roads=frames.roads,
            segments=found,
        )
        autumn = surveys.create_survey(
            connection,
            surveys.NewSurvey(
                **{**SURVEY, "name": "Autumn", "network_id": newer.id, "model_id": spring.model_id}
            ),
        )
        for survey, on in ((spring, "2025-04-01"), (autumn, "2025-10-01")):
            dated = {"id": survey.id, "on": on}
            connection.execute(text("UPDATE survey SET captured_on = :on WHERE id = :id"), dated)
            connection.execute(_CONDITIONS, {"id": survey.id, "network_id": survey.network_id})
        ids = connection.execute(text("SELECT segment_key, id FROM segment ORDER BY id")).all()
        history = {
            (key, at): [row.survey_name for row in segment_conditions(connection, segment)]
            for at, (key, segment) in enumerate(ids)
        }
        again = networks.previous_network(connection, "Town 2")

    assert newer.replaces == spring.network_id
    # Five segments of the old network, then four of the new one: the first is gone.
    assert history["A1:0", 0] == ["Spring"]
    assert history["A1:100", 1] == history["A1:100", 5] == ["Autumn", "Spring"]
    assert history["A1:400", 4] == history["A1:400", 8] == ["Autumn", "Spring"]
    assert again.first_id.tolist() == previous.first_id[1:].tolist()
    assert (again.name, again.by, again.length_m) == ("Town 2", "length", scene.SEGMENT_M)


def test_a_network_that_was_deleted_meanwhile_is_not_replaced(engine: Engine) -> None:
    with database(engine) as connection:
        old = scene.add_road(connection)
    frames = scene.road_frames()

    def follow() -> None:
        with database(engine) as connection:
            networks.add_network(
                connection,
                name="Town 2",
                digest="newer",
                source_crs="EPSG:32633",
                segment_length_m=scene.SEGMENT_M,
                replaces=old.id,
                roads=frames.roads,
                segments=frames.segments,
            )

    with ThreadPoolExecutor(1) as pool:
        with database(engine) as connection:
            networks.delete_network(connection, old.id)
            following = pool.submit(follow)
            with pytest.raises(TimeoutError):
                following.result(timeout=0.5)
        with pytest.raises(NotFound, match=str(old.id)):
            following.result(timeout=20)
    with database(engine) as connection:
        assert networks.list_networks(connection) == []


SURVEY: dict[str, Any] = {
    "crs": "EPSG:32633",
    "gsd_m": scene.GRID.gsd_m,
    "cell_px": scene.GRID.cell_px,
    "halo_px": scene.GRID.halo_px,
    "params": {},
}
_CONDITIONS = text("""
    INSERT INTO condition (survey_id, segment_id, crack_length_m, cracked_area_m2, imaged_m2,
        pavement_m2, coverage, crack_count)
    SELECT :id, segment.id, 0, 0, 0, 1, 0, 0 FROM segment WHERE network_id = :network_id
""")


def test_what_the_file_says_of_a_road_is_stored_with_its_segments(engine: Engine) -> None:
    with database(engine) as connection:
        scene.add_road(connection)
        for table in ("road", "segment"):
            facts = connection.execute(
                text(f"SELECT DISTINCT width_source, lanes, oneway, surface FROM {table}")
            ).all()
            assert [tuple(row) for row in facts] == [("field", 2, False, "asphalt")]


def test_what_the_file_does_not_say_of_a_road_is_not_made_up(engine: Engine) -> None:
    frames = scene.road_frames()
    unsaid = {"lanes": None, "oneway": None, "surface": ""}
    with database(engine) as connection:
        networks.add_network(
            connection,
            name="Unsaid",
            digest="d",
            source_crs="EPSG:4326",
            segment_length_m=100.0,
            roads=frames.roads.assign(**unsaid),
            segments=frames.segments.assign(**unsaid),
        )
        for table in ("road", "segment"):
            facts = connection.execute(
                text(f"SELECT DISTINCT lanes, oneway, surface FROM {table}")
            ).all()
            assert [tuple(row) for row in facts] == [(None, None, "")]


def test_a_network_without_roads_is_refused(engine: Engine) -> None:
    frames = scene.road_frames()
    with pytest.raises(BadInput, match="without roads"), database(engine) as connection:
        networks.add_network(
            connection,
            name="Empty",
            digest="d",
            source_crs="EPSG:4326",
            segment_length_m=100.0,
            roads=frames.roads.iloc[:0],
            segments=frames.segments.iloc[:0],
        )


def test_an_unknown_network_is_not_found(engine: Engine) -> None:
    with database(engine) as connection:
        for key in ("Nowhere", uuid.uuid4(), ""):
            with pytest.raises(NotFound):
                networks.get_network(connection, key)
        with pytest.raises(NotFound):
            networks.network_report(connection, uuid.uuid4())


def test_a_model_is_registered_once_and_never_replaced(engine: Engine) -> None:
    with database(engine) as connection:
        first = model_versions.add_model(
            connection, name="fan", digest="abcdef0123", card={"gsd_m": 0.001}, uri="fan/"
        )
        again = model_versions.add_model(
            connection, name="fan", digest="abcdef0123", card={}, uri="elsewhere/"
        )
        assert first == again == model_versions.get_model(connection, "fan-abcdef01")
        assert model_versions.list_models(connection) == [first]
        with pytest.raises(Conflict):
            model_versions.add_model(
                connection, name="fan", digest="abcdef01ff", card={}, uri="fan/"
            )
        with pytest.raises(NotFound):
            model_versions.get_model(connection, "fan-00000000")


def test_a_database_that_takes_no_changes_is_away(engine: Engine) -> None:
    """As a standby, or a server that went read-only because its disk is full."""
    with engine.connect() as connection:
        connection.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(Unavailable, match="read-only"), translated():
            model_versions.add_model(connection, name="fan", digest="ab" * 8, card={}, uri="fan/")


def test_who_registers_the_same_model_waits_until_the_first_is_done(engine: Engine) -> None:
    with database(engine) as first, database(engine) as second:
        assert model_versions.lock_model(first, name="fan", digest="abcdef0123") is None
        second.execute(text("SET LOCAL lock_timeout = '100ms'"))
        assert model_versions.lock_model(second, name="fan", digest="0123abcdef") is None
        with pytest.raises(Unavailable, match="took too long"), translated():
            model_versions.lock_model(second, name="fan", digest="abcdef0123")
