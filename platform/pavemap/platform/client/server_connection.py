"""A connection to the HTTP API: answers as plain values, problems as pavemap's own errors, patience."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice
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
from pavemap.platform.default_server import API_PREFIX, DEFAULT_SERVER

log = logging.getLogger(__name__)

TIMEOUT = httpx.Timeout(60.0, connect=5.0)
PATIENT = httpx.Timeout(None, connect=5.0)
"""A large file is checked and rewritten before the server answers: as long as that takes."""

CHUNK_BYTES = 1 << 20
PAGE = 2000

ATTEMPTS = 4
"""Tries that every step has which may be repeated."""
PATIENCE_S = 120.0
"""For how long a server is tried that is there but away: upgrades have it answer 503 meanwhile."""
LONGEST_PAUSE_S = 5.0
"""Of our own choice: so long an upload may take to notice that its user has stopped it."""
LONGEST_RETRY_AFTER_S = 30.0

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


class ServerAway(Unavailable):
    """The server does not answer for now, or says so itself."""

    def __init__(
        self,
        detail: str,
        *,
        server: ServerConnection | None = None,
        retry_after_s: float = 0.0,
    ) -> None:
        """Take what to say, the connection, and how long the server asks to be left alone."""
        super().__init__(detail)
        self.server, self.retry_after_s = server, retry_after_s


class ServerConnection:
    """Requests to one server; paths are those below the API's root."""

    def __init__(self, server: str, *, transport: httpx.BaseTransport | None = None) -> None:
        """Take the server's URL; nothing is asked yet. Raises BadInput when it is none."""
        self.server = server.rstrip("/")
        self.has_answered = False
        self._waited_for = False
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
            answer = self._http.request(method, API_PREFIX + path, **options)
        self.has_answered = True
        if not answer.is_success:
            raise self._problem(answer)
        self._waited_for = False
        return answer

    def note_wait(self) -> None:
        """Say that the server is waited for, once until it is back, however many files wait."""
        if not self._waited_for:
            self._waited_for = True
            log.warning("%s is away; it is tried again for a while, Ctrl-C ends that", self.server)

    def document(self, method: str, path: str, **options: Any) -> Json:
        """Return an answer that is one document."""
        answer: Json = _read(self.request(method, path, **options))
        return answer

    def documents(self, path: str, **query: str) -> list[Json]:
        """Return an answer that is a list of documents."""
        answer: list[Json] = _read(self.request("GET", path, params=query))
        return answer

    def pages(
        self,
        path: str,
        query: Mapping[str, Any],
        *,
        at_most: int | None = None,
        page_size: int = PAGE,
    ) -> Iterator[list[Json]]:
        """Yield pages of GeoJSON features, no larger than is wanted; a query's None is left out."""
        limit = page_size if at_most is None else min(at_most, page_size)
        return self.paged(path, {**query, "limit": limit}, member="features")

    def paged(self, path: str, query: Mapping[str, Any], *, member: str) -> Iterator[list[Json]]:
        """Yield what pages of any kind have in a member; a query's None is left out."""
        parameters = {key: value for key, value in query.items() if value is not None}
        while True:
            page = insistent(lambda: self.document("GET", path, params=parameters))
            yield page[member]
            if (following := _next_of(page)) is None:
                return
            parameters["after"] = cursor_of(following)

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
            self._http.stream("GET", API_PREFIX + path, params=query, timeout=PATIENT) as answer,
        ):
            self.has_answered = True
            if not answer.is_success:
                answer.read()
                raise self._problem(answer)
            yield answer

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            raise ServerAway(
                f"no pavemap answers at {self.server}; start one with `pavemap up`, or name another "
                "with --server or PAVEMAP_SERVER",
                server=self,
            ) from exc
        except httpx.HTTPError as exc:
            raise ServerAway(
                f"the connection to {self.server} broke ({type(exc).__name__}); run the same command again",
                server=self,
            ) from exc

    def _problem(self, answer: httpx.Response) -> PavemapError:
        """Make an error of a problem document (RFC 9457), or of whatever else a proxy may answer."""
        try:
            problem = answer.json()
            kind, detail = str(problem.get("type")), str(problem["detail"])
        except (ValueError, KeyError, TypeError, AttributeError):
            kind, detail = "", _not_ours(answer)
        if kind == "urn:pavemap:problem:upload-damaged":
            return Unavailable(detail)
        fallback = PavemapError if answer.is_server_error else BadInput
        error = ERRORS.get(answer.status_code, fallback)
        if error is Unavailable:
            return ServerAway(detail, server=self, retry_after_s=_retry_after_s(answer))
        return error(detail)


def features(pages: Iterable[list[Json]], at_most: int | None = None) -> Iterator[Json]:
    """Yield the features of pages one by one, so many at most."""
    return islice(chain.from_iterable(pages), at_most)


def insistent(step: Callable[[], Result]) -> Result:
    """Try a step that may be repeated until the server is back, for some PATIENCE_S.

    Where no server was met at all, and where it is the step itself that fails, ATTEMPTS tries are enough.
    Raises the last try's error.
    """
    attempt, spent_s = 0, 0.0
    while True:
        attempt, began = attempt + 1, time.monotonic()
        try:
            return step()
        except Unavailable as exc:
            pause_s = _pause_s(exc, attempt)
            spent_s += pause_s
            if attempt > 1:  # the first may have gone well for hours
                spent_s += time.monotonic() - began
            away = exc.server if isinstance(exc, ServerAway) else None
            lasting = away is not None and away.has_answered
            if attempt >= ATTEMPTS and not (lasting and spent_s <= PATIENCE_S):
                raise
            if away is not None:
                away.note_wait()
        time.sleep(pause_s)


def _pause_s(error: Unavailable, attempt: int) -> float:
    asked_s = error.retry_after_s if isinstance(error, ServerAway) else 0.0
    return max(min(2.0**attempt / 2, LONGEST_PAUSE_S), asked_s)


def _retry_after_s(answer: httpx.Response) -> float:
    """Return how long a server asks to be left alone (RFC 9110, 10.2.3); its dates are not heeded."""
    given = answer.headers.get("retry-after", "").strip()
    known = given.isascii() and given.isdigit()
    return min(float(given), LONGEST_RETRY_AFTER_S) if known else 0.0


def _next_of(page: Json) -> str | None:
    """The address of the page after one: GeoJSON has it among its links, a list as `next`."""
    if "links" not in page:
        following: str | None = page["next"]
        return following
    return next((link["href"] for link in page["links"] if link["rel"] == "next"), None)


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


def _not_ours(answer: httpx.Response) -> str:
    said = f"the server answered {answer.status_code} {answer.reason_phrase} to "
    said += f"{answer.request.method} {answer.request.url}"
    elsewhere = answer.headers.get("location")
    if answer.is_redirect and elsewhere:
        return (
            f"{said}, which points to {elsewhere}; give --server the address that this begins with"
        )
    return f"{said}; is it a pavemap server?"
