"""Vector tiles over HTTP: their media type, what caches are told, and the TileJSON that finds them."""

from __future__ import annotations

import math
import uuid
from pathlib import Path
from typing import Any

import httpx
import pyogrio
import pytest
from psycopg import connect

from api_world import API, World
from pavemap.geo.store import tiles
from pavemap.geo.store.tiles import CRACKS_ZOOM, MIN_ZOOM
from pavemap.platform.settings import Settings


@pytest.fixture
def measured(world: World, settings: Settings) -> World:
    """The drawn street with figures, as a measuring leaves them."""
    assert settings.database_url is not None
    with connect(settings.database_url.get_secret_value()) as connection:
        connection.execute(
            "INSERT INTO condition (survey_id, segment_id, crack_length_m, cracked_area_m2, imaged_m2, "
            "pavement_m2, coverage, density_m_per_m2, crack_count) "
            "SELECT %s, id, 4, 0.02, 200, 240, 200 / 240.0, 0.02, 1 FROM segment",
            [world.survey_id],
        )
        connection.execute("UPDATE survey SET state = 'done', finished_at = now()")
    return world


def first_tile(world: World) -> tuple[httpx.Response, str]:
    """The TileJSON's own template, filled in for the middle of the survey at its least zoom."""
    described = world.client.get(f"{world.survey_url}/tiles.json").json()
    zoom = described["minzoom"]
    lon, lat, _ = described["center"]
    row = (1.0 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2.0
    place = {"z": zoom, "x": int((lon + 180.0) / 360.0 * 2**zoom), "y": int(row * 2**zoom)}
    url = described["tiles"][0].format(**place)
    return world.client.get(url), url


def test_the_tilejson_leads_to_tiles_and_names_their_fields(
    measured: World, tmp_path: Path
) -> None:
    answer = measured.client.get(f"{measured.survey_url}/tiles.json")
    assert answer.status_code == 200
    described = answer.json()
    assert (described["tilejson"], described["minzoom"]) == ("3.0.0", MIN_ZOOM)
    assert [layer["id"] for layer in described["vector_layers"]] == ["segments", "cracks"]
    assert described["vector_layers"][1]["minzoom"] == CRACKS_ZOOM
    west, south, east, north = described["bounds"]
    assert west < described["center"][0] < east
    assert south < described["center"][1] < north
    tile, _ = first_tile(measured)
    assert tile.status_code == 200
    assert tile.headers["content-type"] == "application/vnd.mapbox-vector-tile"
    path = tmp_path / "tile.mvt"
    path.write_bytes(tile.content)
    found = pyogrio.read_dataframe(path, layer="segments", CLIP="NO")
    assert set(found.columns) - {"mvt_id", "geometry"} <= set(
        described["vector_layers"][0]["fields"]
    )
    assert set(found["density_m_per_m2"]) == {0.02}


def test_a_tile_at_hand_holds_until_the_figures_change(measured: World, settings: Settings) -> None:
    tile, url = first_tile(measured)
    known = {"If-None-Match": tile.headers["etag"]}
    again = measured.client.get(url, headers=known)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tile.headers["etag"]
    strong = tile.headers["etag"].removeprefix("W/")
    for lines in ([strong], ["*"], ['"a, b"', f'W/"c",{strong}'], [tile.headers["etag"], '"d"']):
        sent = [("If-None-Match", line) for line in lines]
        assert measured.client.get(url, headers=sent).status_code == 304, lines
    for line in ('"a"', f'"a{strong}', "nonsense", strong.strip('"')):
        answer = measured.client.get(url, headers={"If-None-Match": line})
        assert answer.status_code == 200, line
    assert "max-age" in tile.headers["cache-control"]
    assert settings.database_url is not None
    with connect(settings.database_url.get_secret_value()) as connection:
        connection.execute("UPDATE survey SET epoch = epoch + 1")
    assert measured.client.get(url, headers=known).status_code == 200


def test_a_new_tile_never_goes_by_the_etag_of_the_old(
    measured: World, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The survey is measured anew between the look at its version and the drawing of the tile."""
    old, url = first_tile(measured)
    draw = tiles.survey_tile
    drawn: list[bytes] = []
    assert settings.database_url is not None
    database_url = settings.database_url.get_secret_value()

    def measured_meanwhile(*arguments: Any) -> bytes:
        if not drawn:
            with connect(database_url) as connection:
                connection.execute("UPDATE survey SET epoch = epoch + 1")
                connection.execute("UPDATE condition SET density_m_per_m2 = 0.03")
        drawn.append(draw(*arguments))
        return drawn[-1]

    monkeypatch.setattr(tiles, "survey_tile", measured_meanwhile)
    new, later = measured.client.get(url), measured.client.get(url)
    assert new.content == later.content != old.content
    assert new.headers["etag"] == later.headers["etag"] != old.headers["etag"]


def test_empty_ground_and_far_zooms_have_no_content(measured: World) -> None:
    for place in ("14/0/0", "0/0/0"):
        answer = measured.client.get(f"{measured.survey_url}/tiles/{place}.mvt")
        assert (answer.status_code, answer.content) == (204, b"")


NOBODYS = uuid.UUID(int=1)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{NOBODYS}/tiles/8/0/0.mvt", 404),
        (f"{NOBODYS}/tiles.json", 404),
        ("no-id/tiles/8/0/0.mvt", 404),
    ],
)
def test_unknown_surveys_have_no_tiles(client: httpx.Client, path: str, status: int) -> None:
    assert client.get(f"{API}/surveys/{path}").status_code == status


@pytest.mark.parametrize("place", ["3/8/0", "23/0/0", "-1/0/0", "a/0/0", "3/99999999999999/0"])
def test_places_outside_the_pyramid_are_refused(world: World, place: str) -> None:
    answer = world.client.get(f"{world.survey_url}/tiles/{place}.mvt")
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
