"""Making, running and looking at surveys over HTTP."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from unittest.mock import Mock

import httpx
import pytest
from sqlalchemy import Engine

from api_world import API, World, import_street, tile
from pavemap.geo.errors import Unavailable
from pavemap.geo.storage import Storage
from pavemap.geo.store import surveys
from pavemap.geo.store.engine import database
from pavemap.platform.settings import Settings
from pavemap.training.models.shipped_models import default_card

JSON = {"Content-Type": "application/json"}


def make(client: httpx.Client, **fields: object) -> httpx.Response:
    return client.post(f"{API}/surveys", json={"name": "Spring", "network": "street", **fields})


def test_a_survey_takes_the_network_s_zone_and_the_model_s_pixel(
    client: httpx.Client, tmp_path: Path
) -> None:
    import_street(client, tmp_path)
    answer = make(client, captured_on="2026-04-28")
    assert answer.status_code == 201, answer.text
    survey = answer.json()
    assert survey["crs"] == "EPSG:32616"
    assert survey["gsd_m"] == default_card().gsd_m
    assert survey["model"] == default_card().model_id
    assert survey["captured_on"] == "2026-04-28"
    assert survey["state"] == "created"
    assert survey["cells"] == {
        "total": 0, "waiting": 0, "leased": 0, "done": 0, "failed": 0, "retries": 0, "errors": {}
    }  # fmt: skip
    assert survey["coverage"] is None
    assert (survey["orthophotos"], survey["finest_gsd_m"]) == (0, None)
    assert client.get(f"{API}/surveys/{survey['id']}").json() == survey


def test_a_pixel_in_web_mercator_is_a_ground_pixel(client: httpx.Client, tmp_path: Path) -> None:
    import_street(client, tmp_path)
    survey = make(client, crs="EPSG:3857", gsd_m=0.01).json()
    assert survey["gsd_m"] == pytest.approx(0.01 / 0.8695, rel=3e-3)  # 1 / cos(29.6 degrees)
    assert survey["ground_gsd_m"] == pytest.approx(0.01)
    assert survey["smallest_width_mm"] == pytest.approx(10.0)
    (listed,) = client.get(f"{API}/surveys").json()
    assert listed["ground_gsd_m"] == survey["ground_gsd_m"]


def test_surveys_are_listed_latest_first_and_by_network(
    client: httpx.Client, tmp_path: Path
) -> None:
    import_street(client, tmp_path)
    names = ["one", "two", "three"]
    for name in names:
        make(client, name=name)
    listed = client.get(f"{API}/surveys").json()
    assert [survey["name"] for survey in listed] == names[::-1]
    assert client.get(f"{API}/surveys", params={"network": "street"}).json() == listed
    assert client.get(f"{API}/surveys", params={"network": "elsewhere"}).status_code == 404


def test_surveys_are_found_by_their_very_name(client: httpx.Client, tmp_path: Path) -> None:
    import_street(client, tmp_path)
    made = [make(client, name=name).json() for name in ("Frühling", "Frühling 2", "Frühling")]
    for name in ("Frühling", " Fru\u0308hling "):  # as macOS writes it
        found = client.get(f"{API}/surveys", params={"name": name, "network": "street"}).json()
        assert [each["id"] for each in found] == [made[2]["id"], made[0]["id"]]
    assert client.get(f"{API}/surveys", params={"name": "frühling"}).json() == []


def test_what_was_made_is_where_it_is_said_to_be(world: World) -> None:
    made = make(world.client)
    assert made.status_code == 201
    assert world.client.get(made.headers["location"]).json() == made.json()
    sent = world.put("Straße 1.tif", tile(world.folder))
    assert sent.status_code == 201
    assert world.client.get(sent.headers["location"]).json() == sent.json()


REFUSED: list[tuple[dict[str, object], int, str]] = [
    ({"network": "nowhere"}, 404, "import it first"),
    ({"network": "street\u0000"}, 422, "control characters"),
    ({"network": "street\ud800"}, 422, "control characters"),
    ({"name": "  "}, 422, "at least 1 character"),
    ({"name": "x" * 201}, 422, "at most 200 characters"),
    ({"crs": "EPSG:4326"}, 422, "needs a metric CRS"),
    ({"crs": "EPSG:2264"}, 422, "not in metres"),
    ({"crs": "mars"}, 422, "is no CRS"),
    ({"crs": "+proj=stere +lat_0=29.7 +lon_0=-85 +R=1737400"}, 422, "does not serve in the middle"),
    ({"gsd_m": 0}, 422, "greater than or equal to"),
    ({"gsd_m": float("inf")}, 422, "less than or equal to"),
    ({"gsd_m": float("nan")}, 422, "less than or equal to"),
    ({"captured_on": "yesterday"}, 422, "YYYY-MM-DD"),
    ({"captured_on": "2026-02-30"}, 422, "YYYY-MM-DD"),
    ({"captured_on": "20260512"}, 422, "YYYY-MM-DD"),
    ({"captured_on": 1778544000}, 422, "YYYY-MM-DD"),
    ({"captured_on": "2026-05-12T23:00:00-05:00"}, 422, "YYYY-MM-DD"),
    ({"measures": {"pattern_min_cells": 10**30}}, 422, "must be a whole number, not 1000"),
    ({"measures": {"sample_unit_m2": 10**400}}, 422, "must be a number, not 1000"),
    ({"measures": {"sample_unit_m2": 1e-300}}, 422, "sample_unit_m2 must be from 1 to 1,000,000"),
    ({"model": "/etc/passwd"}, 404, "no model version"),
    ({"colour": "red"}, 422, "colour: not known here"),
]


def test_a_survey_that_can_t_be_is_refused_with_advice(
    client: httpx.Client, tmp_path: Path
) -> None:
    import_street(client, tmp_path)
    for fields, status, said in REFUSED:
        # Not by json=, which would refuse to write Infinity; other clients do write it.
        body = json.dumps({"name": "Spring", "network": "street", **fields})
        answer = client.post(f"{API}/surveys", content=body, headers=JSON)
        assert answer.status_code == status, (fields, answer.text)
        assert said in answer.json()["detail"], (fields, answer.text)
    assert client.get(f"{API}/surveys").json() == []


@pytest.mark.parametrize(
    ("crs", "status"),
    [
        ("EPSG:2056", 422),  # Switzerland's
        ("EPSG:32633", 422),
        ("EPSG:3031", 422),
        ("+proj=gnom +lat_0=0 +lon_0=95 +units=m +type=crs", 422),
        ("EPSG:32617", 201),  # the zone beside
        ("EPSG:32614", 201),  # 12 degrees off its zone, as Norway is mapped in one
        ("EPSG:3857", 201),
        ("+proj=tmerc +lat_0=0 +lon_0=-84 +units=m +type=crs", 201),
    ],
)
def test_a_survey_s_crs_serves_on_its_network_s_ground(world: World, crs: str, status: int) -> None:
    answer = make(world.client, crs=crs)
    assert answer.status_code == status, answer.text
    if status == 422:
        assert "does not serve in the middle of the network (-8" in answer.json()["detail"]
        assert "or leave it out to have one chosen" in answer.json()["detail"]


def test_a_survey_without_imagery_can_t_run(world: World) -> None:
    answer = world.client.post(f"{world.survey_url}/run")
    assert answer.status_code == 422
    assert "upload orthophotos, then run it" in answer.json()["detail"]
    assert world.survey()["state"] == "created"


def test_a_run_plans_the_cells_and_twice_is_once(world: World) -> None:
    assert world.put("tile.tif", tile(world.folder)).status_code == 201
    first = world.client.post(f"{world.survey_url}/run")
    assert first.status_code == 202, first.text
    plan = first.json()
    assert plan["state"] == "running"
    assert plan["total"] == plan["added"] > 0
    again = world.client.post(f"{world.survey_url}/run").json()
    assert again == {**plan, "added": 0, "redone": 0, "dropped": 0, "retried": 0}
    survey = world.survey()
    assert (survey["state"], survey["cells"]["waiting"]) == ("running", plan["total"])


def test_a_run_after_more_imagery_adds_only_what_is_new(world: World) -> None:
    world.put("west.tif", tile(world.folder))
    before = world.client.post(f"{world.survey_url}/run").json()
    world.put("east.tif", tile(world.folder, east_m=60.0, seed=1))
    after = world.client.post(f"{world.survey_url}/run").json()
    assert after["added"] > 0
    assert (after["redone"], after["total"]) == (0, before["total"] + after["added"])


def test_a_deletion_that_was_cut_off_is_told_and_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        content = tile(world.folder, east_m=10.0 * number, seed=number)
        assert world.put(f"{number}.tif", content).status_code == 201
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "delete", Mock(side_effect=Unavailable("the bucket is away")))
        assert world.client.delete(world.survey_url).status_code == 503
    left = world.survey()
    assert left["state"] == "failed"
    assert "delete it again" in left["error"]
    again = world.client.post(f"{world.survey_url}/run")
    assert (again.status_code, again.json()["detail"]) == (409, left["error"])
    assert world.survey()["error"] == left["error"]
    assert world.client.delete(world.survey_url).status_code == 204
    assert world.client.get(world.survey_url).status_code == 404
    assert world.client.delete(world.survey_url).status_code == 404


def test_an_upload_to_a_survey_that_is_deleted_meanwhile_leaves_nothing(
    world: World, settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_file = Storage.put_file

    def delete_first(storage: Storage, key: str, path: Path) -> None:
        put_file(storage, key, path)
        with database(engine) as connection:
            surveys.delete_survey(connection, uuid.UUID(world.survey_id))

    monkeypatch.setattr(Storage, "put_file", delete_first)
    assert world.put("tile.tif", tile(world.folder)).status_code == 404
    assert list(Path(settings.storage_location).rglob("*.tif")) == []


def test_an_unknown_survey_is_not_found(client: httpx.Client) -> None:
    operations = [
        ("GET", ""),
        ("POST", "/run"),
        ("GET", "/segments"),
        ("GET", "/cracks"),
        ("GET", "/summary"),
        ("DELETE", ""),
        ("PUT", "/orthophotos/tile.tif"),
    ]
    for unknown in (str(uuid.UUID(int=0)), "spring", "%00", "x" * 500):
        for method, path in operations:
            answer = client.request(method, f"{API}/surveys/{unknown}{path}")
            assert answer.status_code == 404, (method, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert "survey" in answer.json()["detail"]
