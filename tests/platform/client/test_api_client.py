"""The client of the API: problems become errors, uploads insist, pages are followed to the end."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from pavemap.geo.errors import BadInput, Conflict, NotFound, PavemapError, StorageFull, Unavailable
from pavemap.geo.file_digest import file_digest
from pavemap.platform.client.api_client import Client
from pavemap.platform.client.server_connection import ServerAway
from pavemap.serving.listening import free_port

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def answering(answer: Answer) -> Client:
    """A client whose server is a function."""
    return Client("http://pavemap.test", transport=httpx.MockTransport(answer))


def failing_at_first(times: int, error: Callable[[httpx.Request], httpx.Response]) -> Answer:
    """A server that fails some times and then answers with what it was sent."""
    left = iter(range(times))

    def answer(request: httpx.Request) -> httpx.Response:
        if next(left, None) is not None:
            return error(request)
        return httpx.Response(201, json={"sha256": hashlib.sha256(request.read()).hexdigest()})

    return answer


def problem(status: int) -> httpx.Response:
    return httpx.Response(status, json={"title": "…", "status": status, "detail": "do this next"})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, NotFound),
        (409, Conflict),
        (413, BadInput),
        (422, BadInput),
        (500, PavemapError),
        (503, ServerAway),
        (507, StorageFull),
    ],
)
def test_a_problem_becomes_the_error_it_was(status: int, kind: type[PavemapError]) -> None:
    with pytest.raises(PavemapError, match=r"^do this next$") as raised:
        answering(lambda _: problem(status)).networks()

    assert type(raised.value) is kind


def test_what_is_no_pavemap_is_named() -> None:
    with pytest.raises(Unavailable, match=r"502 Bad Gateway to GET .*is it a pavemap server\?"):
        answering(lambda _: httpx.Response(502, text="<html>")).networks()
    with pytest.raises(BadInput, match="is no address of a server"):
        Client("localhost:8000")


def broken(request: httpx.Request) -> httpx.Response:
    raise httpx.WriteError("broken pipe", request=request)


@pytest.mark.parametrize("error", [broken, lambda _: problem(503)])
def test_an_upload_is_sent_again_from_its_start(tmp_path: Path, error: Answer) -> None:
    path = tmp_path / "tile.tif"
    path.write_bytes(b"0123456789" * 300_000)
    heard: list[int] = []

    answer = answering(failing_at_first(2, error)).upload(
        "id", path, name="a b.tif", sha256=file_digest(path), on_bytes=heard.append
    )

    assert answer["sha256"] == file_digest(path)
    assert heard.count(0) == 3
    assert heard[-1] == 3_000_000


class AwayFor:
    """A server that is away for so many seconds; pauses are slept in no time."""

    def __init__(self, seconds: float, away: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take how it answers meanwhile."""
        self.left_s, self.away, self.pauses = seconds, away, list[float]()
        monkeypatch.setattr(time, "sleep", self.pause)

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        self.pauses.append(seconds)
        self.left_s -= seconds

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer, or be away; who it is, it says at any time."""
        if request.method == "GET" or self.left_s <= 0:
            return httpx.Response(200, json=[])
        return self.away(request)


def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def unready(asked: str) -> httpx.Response:
    headers = [(b"Retry-After", asked.encode())]
    return httpx.Response(503, headers=headers, json={"detail": "the schema is another one's"})


def send_tile(client: Client, folder: Path) -> None:
    (folder / "t.tif").write_bytes(b"tile")
    client.upload("spring", folder / "t.tif", name="t.tif", sha256="0" * 64)


@pytest.mark.parametrize(
    "away", [lambda _: unready("5"), broken, refused], ids=["503", "broken", "gone"]
)
def test_an_upload_outlasts_an_upgrade_of_its_server(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    away: Answer,
) -> None:
    server = AwayFor(100.0, away, monkeypatch)
    with answering(server) as client:
        client.networks()
        send_tile(client, tmp_path)
        assert 100 <= sum(server.pauses) < 110
        assert [record.getMessage()[:27] for record in caplog.records] == [
            "http://pavemap.test is away"
        ]
        server.left_s = 1000.0
        server.pauses.clear()
        with pytest.raises(Unavailable):
            send_tile(client, tmp_path)
        assert 100 <= sum(server.pauses) <= 120


def test_a_server_that_never_was_there_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = AwayFor(1000.0, refused, monkeypatch)
    with answering(server) as client, pytest.raises(Unavailable, match="start one with"):
        send_tile(client, tmp_path)
    assert server.pauses == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("asked", "pauses"),
    [("7", [7.0, 7.0]), ("9999", [30.0]), ("1", [1.0, 2.0, 4.0, 5.0])]
    + [(odd, [1.0, 2.0, 4.0, 5.0]) for odd in ("-5", "²", "Sun, 29 Nov 2026 12:00:00 GMT")],
)
def test_a_server_is_left_alone_for_as_long_as_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: str, pauses: list[float]
) -> None:
    server = AwayFor(sum(pauses), lambda _: unready(asked), monkeypatch)
    with answering(server) as client:
        send_tile(client, tmp_path)
    assert server.pauses == pauses


def test_ctrl_c_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    server = AwayFor(1000.0, broken, monkeypatch)
    monkeypatch.setattr(time, "sleep", interrupted)
    with answering(server) as client, pytest.raises(KeyboardInterrupt):
        send_tile(client, tmp_path)


def test_an_upload_that_is_refused_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "tile.tif").write_bytes(b"no TIFF")
    calls: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.raw_path.decode())
        assert request.headers["content-sha256"] == "0" * 64
        return problem(422)

    with pytest.raises(BadInput):
        answering(refuse).upload("id", tmp_path / "tile.tif", name="a/b.tif", sha256="0" * 64)

    assert calls == ["/api/v1/surveys/id/orthophotos/a%2Fb.tif"]


def test_the_files_of_a_survey_are_listed_page_by_page() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/api/v1/surveys/id/orthophotos"
        first = "after" not in request.url.params
        following = "http://inside:80/x?limit=1&after=c%2B1" if first else None
        assert first or request.url.params["after"] == "c+1"
        return httpx.Response(200, json={"orthophotos": [{"id": first}], "next": following})

    assert list(answering(page).orthophotos("id")) == [[{"id": True}], [{"id": False}]]


def test_pages_are_followed_by_their_cursor_on_the_same_server() -> None:
    def page(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("after")
        assert request.url.host == "pavemap.test"
        assert request.url.params["sort"] == "density"
        links = [{"rel": "self", "href": str(request.url)}]
        if after is None:
            links.append({"rel": "next", "href": "http://inside:80/x?sort=density&after=c%2B1"})
        else:
            assert after == "c+1"
        return httpx.Response(200, json={"features": [{"id": after}], "links": links})

    pages = answering(page).segments("id", sort="density", bbox=None)

    assert [feature["id"] for page in pages for feature in page] == [None, "c+1"]


def test_a_server_that_takes_long_to_answer_is_asked_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, paused = [0.0], list[float]()
    took: Iterator[float] = iter([0.05, 3.0, 0.05])

    def survey(_: httpx.Request) -> httpx.Response:
        now[0] += next(took)
        return httpx.Response(200, json={"state": "running" if len(paused) < 2 else "done"})

    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(time, "sleep", paused.append)
    client = answering(survey)
    client.wait("id", on_progress=lambda _: None)
    assert paused == pytest.approx([1.0, 30.0])


def test_waiting_bears_a_server_that_is_away_for_a_while() -> None:
    states: Iterator[Any] = iter(["running", None, None, "measuring", "done"])

    def survey(_: httpx.Request) -> httpx.Response:
        state = next(states)
        return problem(503) if state is None else httpx.Response(200, json={"state": state})

    heard: list[str] = []
    done = answering(survey).wait("id", on_progress=lambda now: heard.append(now["state"]))

    assert heard == ["running", "measuring", "done"]
    assert done["state"] == "done"


def test_a_redirect_or_a_page_is_no_answer() -> None:
    """As from an ingress that wants https, or a proxy that shows its login."""
    client = answering(lambda _: httpx.Response(301, headers={"Location": "https://roads.test/x"}))
    with pytest.raises(BadInput, match=r"points to https://roads\.test/x; give --server"):
        client.delete_network("Ring")
    client = answering(lambda _: httpx.Response(200, html="<form>"))
    with pytest.raises(BadInput, match="is it a pavemap server"):
        client.networks()
    with pytest.raises(BadInput, match="no address of a server"):
        Client("http://host:80x")


class NoNetworks(BaseHTTPRequestHandler):
    """A proxy that answers whatever it is asked for itself."""

    def do_GET(self) -> None:
        """Answer with an empty list."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), NoNetworks) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.server_port}")
        port = free_port()
        for server in (f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
            with Client(server) as here, pytest.raises(Unavailable, match="no pavemap answers"):
                here.networks()
        with Client("http://roads.test") as elsewhere:
            assert elsewhere.networks() == []
        proxy.shutdown()


@pytest.mark.parametrize(
    "refusal",
    [
        httpx.Response(408, json={"detail": "the client stopped sending"}),
        httpx.Response(422, json={"type": "urn:pavemap:problem:upload-damaged", "detail": "again"}),
    ],
    ids=["stalled", "damaged"],
)
def test_a_file_that_came_badly_is_sent_again(tmp_path: Path, refusal: httpx.Response) -> None:
    path = tmp_path / "t.tif"
    path.write_bytes(b"tile")
    client = answering(failing_at_first(2, lambda _: refusal))
    sha256 = file_digest(path)
    assert client.upload("spring", path, name="t.tif", sha256=sha256)["sha256"] == sha256


def test_a_survey_is_looked_for_by_its_name_alone() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url.query, "ascii"))
        return httpx.Response(200, json=[{"id": "1", "name": "Old town"}])

    assert answering(answer).surveys_called("Old town")[0]["id"] == "1"
    assert asked == ["name=Old+town"]
