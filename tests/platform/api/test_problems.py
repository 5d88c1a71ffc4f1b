"""Every failure is a problem document (RFC 9457) that says what to do, and never a stack trace."""

from __future__ import annotations

import asyncio
import http.client
import importlib
import json
import pkgutil
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import SecretStr
from sqlalchemy import text

from api_world import API, World, import_street, serving, tile
from pavemap.geo import errors as ground
from pavemap.geo.errors import BadInput, NotAGeoTiff, PavemapError, Unavailable
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.schema import upgrade
from pavemap.platform import api, errors
from pavemap.platform.api.bodies import MAX_DOCUMENT_BYTES, DocumentRoute, has_document
from pavemap.platform.api.csrf import refuse_cross_site_changes
from pavemap.platform.api.main import create_app
from pavemap.platform.api.problems import STATUS, status_of
from pavemap.platform.api.services import Services
from pavemap.platform.errors import CrossSiteRequest
from pavemap.platform.private_postgres import PrivatePostgres
from pavemap.platform.settings import Settings
from pavemap.platform.stack import Stack
from pavemap.serving.listening import free_port


def check(answer: httpx.Response, status: int) -> dict[str, object]:
    """Check that an answer is a problem document of a status; return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, object] = answer.json()
    assert {"type", "title", "status", "detail"} <= set(document)
    assert document["status"] == status
    assert "Traceback" not in answer.text
    assert ".py" not in answer.text
    return document


def test_a_misspelt_filter_is_refused_not_left_out(client: httpx.Client) -> None:
    known = client.get(f"{API}/surveys", params={"network": "nowhere"})
    assert "network" in known.json()["detail"]
    answer = client.get(f"{API}/surveys", params={"netwrok": "Old town"})
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["errors"][0]["in"], problem["errors"][0]["pointer"]) == ("query", "#/netwrok")
    assert problem["detail"].startswith("netwrok: not known here; check its spelling")


def test_head_is_answered_as_get_without_the_body(client: httpx.Client) -> None:
    for path, status in ((f"{API}/surveys", 200), ("/nowhere", 404)):
        got, asked = client.get(path), client.head(path)
        assert asked.status_code == got.status_code == status
        assert asked.content == b""
        for name in ("content-type", "content-length"):
            assert asked.headers[name] == got.headers[name]
    assert client.get(f"{API}/surveys").json() is not None, "the connection is still in step"


def test_an_unknown_path_and_a_wrong_method_are_problems(client: httpx.Client) -> None:
    nowhere = check(client.get("/nowhere"), 404)
    check(client.get(f"{API}/nowhere"), 404)
    missing = check(client.get(f"{API}/networks/nowhere"), 404)
    assert (nowhere["type"], missing["type"]) == ("about:blank", "urn:pavemap:problem:not-found")
    assert nowhere["title"] == missing["title"] == "Not Found"
    answer = client.delete(f"{API}/surveys")
    detail = check(answer, 405)["detail"]
    assert "does not take DELETE" in str(detail)
    assert answer.headers["allow"] == "GET, HEAD, POST"
    assert "it takes GET, HEAD, POST" in str(detail)


def test_a_body_that_is_no_json_is_a_problem(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (b"{", b"\xff\xfe", b'"text"', b"[1]", b"", b'{"name": "\xed\xa0\x80"}'):
        answer = client.post(f"{API}/surveys", content=body, headers=headers)
        assert answer.status_code in {400, 422}, (body, answer.text)
        check(answer, answer.status_code)


def test_a_body_that_is_wrong_as_a_whole_is_pointed_at_as_a_whole(client: httpx.Client) -> None:
    answer = client.post(f"{API}/surveys", json=["Spring"])
    assert str(check(answer, 422)["detail"]).startswith("body: ")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["#"]


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "application/x-www-form-urlencoded"}], ids=["none", "curl -d"]
)
def test_json_that_comes_as_something_else_is_told_how_to_be_sent(
    client: httpx.Client, headers: dict[str, str]
) -> None:
    body = b'{"name": "Spring", "network": "nowhere"}'
    answer = client.post(f"{API}/surveys", content=body, headers=headers)
    detail = str(check(answer, 415)["detail"])
    assert detail.endswith("is not taken; send it as Content-Type: application/json")
    as_json = {"Content-Type": "application/json; charset=utf-8"}
    check(client.post(f"{API}/surveys", content=body, headers=as_json), 404)


@pytest.mark.parametrize("path", ["surveys", "training-jobs", "models/any/promote"])
def test_a_document_of_any_size_is_not_taken_in(client: httpx.Client, path: str) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * (MAX_DOCUMENT_BYTES // 10)

    headers = {"Content-Type": "application/json"}
    for content in (b" " * (MAX_DOCUMENT_BYTES + 1), endless()):
        answer = client.post(f"{API}/{path}", content=content, headers=headers)
        assert "less" in str(check(answer, 413)["detail"])


def test_every_document_has_a_bound() -> None:
    parts = [
        importlib.import_module(f"{api.__name__}.{m.name}")
        for m in pkgutil.iter_modules(api.__path__)
    ]
    routes = [route for part in parts if hasattr(part, "router") for route in part.router.routes]
    typed = [route for route in routes if isinstance(route, APIRoute) and has_document(route)]
    assert len(typed) >= 3
    assert all(isinstance(route, DocumentRoute) for route in typed)


def test_wrong_fields_are_named_and_not_echoed(client: httpx.Client) -> None:
    body = {"name": "<script>", "captured_on": "<script>", "colour": "<script>"}
    answer = client.post(f"{API}/surveys", json=body)
    document = check(answer, 422)
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "#/network",
        "#/captured_on",
        "#/colour",
    }
    assert "network: Field required" in str(document["detail"])
    assert "<script>" not in answer.text


def test_a_fault_of_ours_says_nothing_of_the_inside(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret of the inside")

    monkeypatch.setattr("pavemap.platform.api.networks.store.list_networks", broken)
    with serving(settings) as client:
        answer = client.get(f"{API}/networks")
    document = check(answer, 500)
    assert "secret" not in answer.text
    assert str(document["reference"]) in str(document["detail"])
    assert str(document["reference"]) in caplog.text
    assert "secret of the inside" in caplog.text


def test_a_nonsensical_length_is_refused(client: httpx.Client, tmp_path: Path) -> None:
    world = World.make(client, tmp_path)
    connection = http.client.HTTPConnection("127.0.0.1", client.base_url.port or 80, timeout=30)
    connection.putrequest("PUT", f"{world.survey_url}/orthophotos/t.tif")
    connection.putheader("Content-Length", "many")
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_every_error_has_a_status() -> None:
    def below(kind: type[PavemapError]) -> list[type[PavemapError]]:
        found = [kind]
        for child in kind.__subclasses__():
            found += below(child)
        return found

    for kind in below(PavemapError):
        if kind.__module__.startswith("pavemap."):
            assert 400 <= status_of(kind("x")) < 600
    assert status_of(NotAGeoTiff("x")) == 422
    assert status_of(errors.UploadCutOff("x")) == 400
    assert status_of(errors.ClusterAway("x")) == 503
    assert STATUS[ground.StorageFull] == 507


def test_without_a_database_the_app_says_which_setting_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="PAVEMAP_DATABASE_URL"):
        create_app(Settings(home=tmp_path, database_url=None))


def test_the_bare_address_leads_to_the_description(client: httpx.Client) -> None:
    answer = client.get("/", follow_redirects=True)
    assert answer.status_code == 200
    assert answer.url.path == "/docs"


def test_it_is_alive_and_ready(client: httpx.Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_pages_of_named_origins_may_read_and_change_nothing(settings: Settings) -> None:
    open_to = settings.model_copy(update={"cors_origins": "https://maps.org, http://b.org:8080"})
    with serving(open_to) as client:
        for origin, allowed in [
            ("http://b.org:8080", "http://b.org:8080"),
            ("https://c.org", None),
        ]:
            headers = {"Origin": origin}
            answers = [client.get(f"{API}/surveys", headers=headers)]
            answers.append(client.get(f"{API}/nowhere", headers=headers))
            for answer in answers:
                assert answer.headers.get("access-control-allow-origin") == allowed
            headers["Access-Control-Request-Method"] = "DELETE"
            assert client.options(f"{API}/surveys/1", headers=headers).status_code == 400
    with serving(settings) as client:
        answer = client.get(f"{API}/surveys", headers={"Origin": "https://maps.org"})
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://behind-a-proxy.org"}, 404),
        ({"Origin": "http://a.org", "X-Forwarded-Host": "a.org"}, 404),
        ({"Sec-Fetch-Site": "none"}, 404),
        ({}, 404),
    ],
)
def test_a_page_of_another_server_changes_nothing(
    client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    url = f"{API}/surveys/00000000-0000-0000-0000-000000000000/run"
    check(client.post(url, headers=headers), status)
    assert client.get(f"{API}/surveys", headers=headers).status_code == 200


REBOUND = {
    "Host": "evil.example:8000",
    "Origin": "http://evil.example:8000",
    "Sec-Fetch-Site": "same-origin",
}
"""What a browser sends to this machine for a page whose name leads here since it is open."""


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (REBOUND, 403),
        ({**REBOUND, "X-Forwarded-Host": "localhost"}, 403),
        ({"Host": "evil.example", "Origin": "http://evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example", "Origin": "http://127.0.0.1.evil.example"}, 403),
        ({"Host": "[", "Origin": "http://["}, 403),
        ({"Host": "roads.example.org", "Origin": "https://roads.example.org"}, 404),
        ({"Host": "localhost:9000", "Origin": "http://localhost:9000"}, 404),
        ({"Host": "LOCALHOST", "Origin": "http://LOCALHOST"}, 404),
        ({"Host": "[::1]:8000", "Origin": "http://[::1]:8000"}, 404),
        ({"Host": "127.0.0.1", "Origin": "http://127.0.0.1"}, 404),
        ({"Host": "my-tunnel:8000"}, 404),
    ],
)
def test_a_name_that_leads_to_this_machine_opens_nothing(
    settings: Settings, headers: dict[str, str], status: int
) -> None:
    url = f"{API}/surveys/00000000-0000-0000-0000-000000000000/run"
    named = settings.model_copy(update={"cors_origins": "*,https://roads.example.org"})
    with serving(named) as client:
        check(client.post(url, headers=headers), status)


@pytest.mark.parametrize(
    ("listening_on", "came_in_at", "refused"),
    [
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "::1", True),
        ("localhost", "127.0.0.1", True),
        ("0.0.0.0", "127.0.0.1", False),
        ("127.0.0.1", "10.0.0.7", False),
        ("127.0.0.1", "/run/pavemap.socket", False),
    ],
)
def test_who_is_open_to_others_may_have_any_name(
    settings: Settings, listening_on: str, came_in_at: str, refused: bool
) -> None:
    """An image tells uvicorn, not the settings, where to listen: what counts is where a request came in."""
    services = Services.open(settings.model_copy(update={"api_host": listening_on}))
    headers = [(name.lower().encode(), value.encode()) for name, value in REBOUND.items()]
    scope = {"type": "http", "method": "POST", "headers": headers, "server": (came_in_at, 8000)}
    try:
        with pytest.raises(CrossSiteRequest) if refused else nullcontext():
            asyncio.run(refuse_cross_site_changes(Request(scope), services))
    finally:
        services.close()


def test_it_is_not_ready_on_an_empty_schema(tmp_path: Path, empty_database_url: str) -> None:
    settings = Settings(home=tmp_path, database_url=SecretStr(empty_database_url))
    with serving(settings) as client:
        assert client.get("/healthz").status_code == 200
        document = check(client.get("/readyz"), 503)
        assert "migrate it" in str(document["detail"])
        assert "migrations" in str(check(client.get(f"{API}/networks"), 503)["detail"])


def test_it_is_not_ready_on_a_newer_version_s_schema(tmp_path: Path, database_url: str) -> None:
    engine = make_engine(database_url)
    with database(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    engine.dispose()
    settings = Settings(home=tmp_path, database_url=SecretStr(database_url))
    with serving(settings) as client:
        document = check(client.get("/readyz"), 503)
        assert "newer pavemap (0099); run that version" in str(document["detail"])


def test_it_is_not_ready_where_storage_can_t_be_written(
    client: httpx.Client, settings: Settings
) -> None:
    probe = Path(settings.storage_location) / "probe"
    probe.write_text("a file where a folder must be")
    document = check(client.get("/readyz"), 503)
    assert "not writable" in str(document["detail"])
    probe.unlink()
    assert client.get("/readyz").status_code == 200


def test_storage_that_was_written_is_not_written_again_at_every_question(
    client: httpx.Client, settings: Settings
) -> None:
    """With a bucket's versioning, each writing would leave a version of the file."""
    written = Path(settings.storage_location) / "probe" / "writable"
    times = set()
    for _ in range(3):
        assert client.get("/readyz").status_code == 200
        times.add(written.stat().st_mtime_ns)
    assert len(times) == 1


def test_it_is_not_ready_where_all_known_imagery_is_gone(
    client: httpx.Client, settings: Settings, tmp_path: Path
) -> None:
    """As where the storage's disk is not mounted: nothing starts on the empty folder beneath."""
    world = World.make(client, tmp_path)
    assert world.put("tile.tif", tile(tmp_path)).status_code == 201
    mounted = Path(settings.storage_location) / "orthophotos"
    mounted.rename(tmp_path / "away")
    assert "mounted" in str(check(client.get("/readyz"), 503)["detail"])
    free = settings.model_copy(update={"api_port": 0, "serve_port": 0})
    with pytest.raises(Unavailable, match="PAVEMAP_STORAGE_URL"), Stack(free):
        pass
    (tmp_path / "away").rename(mounted)
    assert client.get("/readyz").status_code == 200


def test_with_the_database_away_it_says_so_and_recovers(tmp_path: Path) -> None:
    cluster = PrivatePostgres(tmp_path / "postgres", options={"fsync": "off"})
    url = cluster.start()
    try:
        engine = make_engine(url)
        upgrade(engine)
        engine.dispose()
        with serving(Settings(home=tmp_path / "home", database_url=SecretStr(url))) as client:
            world = World.make(client, tmp_path)
            content = tile(tmp_path)
            cluster.stop()
            for method, path in [
                ("GET", f"{API}/networks"),
                ("GET", world.survey_url),
                ("POST", f"{world.survey_url}/run"),
                ("PUT", f"{world.survey_url}/orthophotos/tile.tif"),
                ("GET", f"{world.survey_url}/segments"),
                ("GET", "/readyz"),
            ]:
                answer = client.request(method, path, content=content if method == "PUT" else None)
                document = check(answer, 503)
                assert "database" in str(document["detail"])
                assert int(answer.headers["retry-after"]) > 0
                assert "password" not in answer.text
            assert import_street(client, tmp_path).status_code == 503
            assert client.get("/healthz").status_code == 200
            cluster.start()
            assert client.get("/readyz").status_code == 200
            assert world.put("tile.tif", content).status_code == 201
            assert client.post(f"{world.survey_url}/run").status_code == 202
    finally:
        cluster.stop()


def test_with_the_cluster_away_training_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    away = settings.model_copy(update={"ray_jobs_url": f"http://127.0.0.1:{free_port()}"})
    config = {"name": "n", "output": str(tmp_path), "data": [{"folder": str(tmp_path)}]}
    with serving(away) as client:
        for method, path, body in [
            ("POST", "", json.dumps(config)),
            ("GET", "/train-0123456789abcdef", None),
            ("GET", "/train-0123456789abcdef/logs", None),
            ("GET", "/train-0123456789abcdef/logs?follow=true", None),
            ("DELETE", "/train-0123456789abcdef", None),
        ]:
            headers = {"Content-Type": "application/json"}
            url = f"{API}/training-jobs{path}"
            answer = client.request(method, url, content=body, headers=headers)
            document = check(answer, 503)
            assert "pavemap up" in str(document["detail"])
            assert "retry-after" in answer.headers


def test_a_training_configuration_is_checked_before_the_cluster_is_asked(
    client: httpx.Client,
) -> None:
    config = {"name": "Not A Name", "output": "x", "data": [], "batch_size": 7, "workers": 2}
    answer = client.post(f"{API}/training-jobs", json=config)
    check(answer, 422)
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert {"#/name", "#/data"} <= pointers
