"""Networks and models: stored once under a name, found again, never silently replaced."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import shapely
from sqlalchemy import Engine, text

import store_scene as scene
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput, Conflict, NotFound
from pavemap.geo.store import model_versions, networks
from pavemap.geo.store.engine import database


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
    def add(_: int) -> uuid.UUID:
        with database(engine) as connection:
            return scene.add_road(connection, roads=20).id

    with ThreadPoolExecutor(3) as pool:
        ids = set(pool.map(add, range(3)))
    assert len(ids) == 1
    with database(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM segment")) == 100


def test_another_network_under_a_known_name_is_refused(engine: Engine) -> None:
    with database(engine) as connection:
        scene.add_road(connection)
    with pytest.raises(Conflict, match="another name"), database(engine) as connection:
        scene.add_road(connection, roads=2)


def test_the_report_of_an_import_is_kept(engine: Engine) -> None:
    frames = scene.road_frames()
    with database(engine) as connection:
        stored = networks.add_network(
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
