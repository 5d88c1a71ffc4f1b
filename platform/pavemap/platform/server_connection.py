"""A connection to the HTTP API: answers as plain values, problems as pavemap's own errors, patience."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import httpx

from pavemap.geo.errors import (
    BadInput,
    Conflict,
    NotFound,
    PavemapError,
    StorageFull,
    Unavailable,
)

DEFAULT_SERVER = "http://127.0.0.1:8000"
API = "/api/v1"

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
PATIENT = httpx.Timeout(None, connect=5.0)
"""A large file is checked and rewritten before the server answers: as long as that takes."""

CHUNK_BYTES = 1 << 20
PAGE = 2000
ATTEMPTS = 4

DIRECT: Mapping[str, None] = {f"all://{host}": None for host in ("127.0.0.1", "localhost", "[::1]")}
"""What a proxy is never asked for, whatever HTTP_PROXY says: the proxy's own machine is another one."""

ERRORS: Mapping[int, type[PavemapError]] = {
    404: NotFound,
    408: Unavailable,  # the connection stood still: sent again it may come through
    409: Conflict,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: StorageFull,
}

Json = dict[str, Any]
Result = TypeVar("Result")


class ServerConnection:
    """Requests to one server; paths are those below the API's root."""

    def __init__(self, server: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Take the server's URL; nothing is asked yet. Raises BadInput when it is none."""
        self.server = server.rstrip("/")
        if urlsplit(self.server).scheme not in {"http", "https"}:
            raise BadInput(f"'{server}' is no address of a server; give one like {DEFAULT_SERVER}")
        try:
            self._http = httpx.Client(
                base_url=self.server, timeout=TIMEOUT, transport=transport, mounts=DIRECT
            )
        except httpx.InvalidURL as exc:
            raise BadInput(f"'{server}' is no address of a server: {exc}") from exc

    def close(self) -> None:
        """Close what is open to the server."""
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the answer to one request. Raises what its status or its absence means."""
        with self._translated():
            answer = self._http.request(method, API + path, **options)
        if not answer.is_success:
            raise _problem(answer)
        return answer

    def document(self, method: str, path: str, **options: Any) -> Json:
        """Return an answer that is one document."""
        answer: Json = _read(self.request(method, path, **options))
        return answer

    def documents(self, path: str) -> list[Json]:
        """Return an answer that is a list of documents."""
        answer: list[Json] = _read(self.request("GET", path))
        return answer

    def pages(self, path: str, query: Mapping[str, Any]) -> Iterator[list[Json]]:
        """Yield pages of GeoJSON features; what is None in the query is left out."""
        parameters = {key: value for key, value in query.items() if value is not None}
        parameters.setdefault("limit", PAGE)
        while True:
            page = insistent(lambda: self.document("GET", path, params=parameters))
            yield page["features"]
            following = [link["href"] for link in page["links"] if link["rel"] == "next"]
            if not following:
                return
            parameters["after"] = cursor_of(following[0])

    def text(self, path: str, **query: Any) -> Iterator[str]:
        """Yield an answer as it comes."""
        with self._streamed(path, query) as answer:
            yield from answer.iter_text()

    def save(self, path: str, target: Path, **query: Any) -> None:
        """Write an answer to a new file, as it comes. Raises FileExistsError."""
        with self._streamed(path, query) as answer, target.open("xb") as file:
            for chunk in answer.iter_bytes(CHUNK_BYTES):
                file.write(chunk)

    @contextmanager
    def _streamed(self, path: str, query: Mapping[str, Any]) -> Iterator[httpx.Response]:
        with (
            self._translated(),
            self._http.stream("GET", API + path, params=query, timeout=PATIENT) as answer,
        ):
            if not answer.is_success:
                answer.read()
                raise _problem(answer)
            yield answer

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise Unavailable(
                f"no pavemap answers at {self.server}; start one with `pavemap up`, or name another "
                "with --server"
            ) from exc
        except httpx.HTTPError as exc:
            raise Unavailable(
                f"the connection to {self.server} broke ({type(exc).__name__}); run the same command again"
            ) from exc


def insistent(step: Callable[[], Result]) -> Result:
    """Try a step that may be repeated a few times while the server is away."""
    for attempt in range(1, ATTEMPTS):
        try:
            return step()
        except Unavailable:
            time.sleep(2.0**attempt / 2)
    return step()


def cursor_of(link: str) -> str:
    """The cursor alone: behind a proxy a link to the next page may name an address not ours to use."""
    return parse_qs(urlsplit(link).query)["after"][0]


def chunks(path: Path, on_bytes: Callable[[int], None] | None) -> Iterator[bytes]:
    """Yield a file piece by piece; `on_bytes` hears how many bytes were taken so far."""
    sent = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
            sent += len(chunk)
            if on_bytes is not None:
                on_bytes(sent)


def _read(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError as exc:
        raise BadInput(_not_ours(answer)) from exc


def _problem(answer: httpx.Response) -> PavemapError:
    """Make an error of a problem document (RFC 9457), or of whatever else a proxy may answer."""
    try:
        problem = answer.json()
        kind, detail = str(problem.get("type")), str(problem["detail"])
    except (ValueError, KeyError, TypeError, AttributeError):
        kind, detail = "", _not_ours(answer)
    if kind == "urn:pavemap:problem:upload-damaged":
        return Unavailable(detail)
    fallback = PavemapError if answer.is_server_error else BadInput
    return ERRORS.get(answer.status_code, fallback)(detail)


def _not_ours(answer: httpx.Response) -> str:
    said = f"the server answered {answer.status_code} {answer.reason_phrase} to "
    said += f"{answer.request.method} {answer.request.url}"
    elsewhere = answer.headers.get("location")
    if answer.is_redirect and elsewhere:
        return (
            f"{said}, which points to {elsewhere}; give --server the address that this begins with"
        )
    return f"{said}; is it a pavemap server?"
