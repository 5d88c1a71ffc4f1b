"""Around every request: an id for its log lines, a line when it is over, its share of the metrics."""

from __future__ import annotations

import logging
import re
import time
import uuid

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pavemap.geo.logs import about, note_ids
from pavemap.platform.api.metrics import ApiMetrics

log = logging.getLogger(__name__)

HEADER = "X-Request-ID"
USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""A client's id may say anything else, but then it is not repeated in logs."""

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked every few seconds: worth a line only to who debugs."""

UPLOADS = ("/orthophotos", "/uploads")


class Observed:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, *, metrics: ApiMetrics) -> None:
        """Take the layer below."""
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if USABLE_ID.fullmatch(given) else uuid.uuid4().hex
        started, status = time.perf_counter(), 499

        async def counted() -> Message:
            message = await receive()
            if message["type"] == "http.request" and _is_upload(scope):
                self._metrics.uploaded.inc(len(message.get("body", b"")))
            return message

        async def identified(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with about(request_id=request_id):
            try:
                await self._app(scope, counted, identified)
            finally:
                self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        route = _route(scope)
        self._metrics.requests.labels(method, route, status).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        log.log(
            logging.DEBUG if route in QUIET else logging.INFO,
            "%s %s %d in %.3f s",
            method,
            scope.get("raw_path", b"").decode("ascii", "replace")[:500],
            status,
            seconds,
        )


async def note_path_ids(request: Request) -> None:
    """Bind what the path names, so that every line of an upload says its survey and its file."""
    path = request.path_params
    names = {"survey_id": "survey_id", "name": "orthophoto", "job_id": "job_id"}
    note_ids(**{ours: str(path[theirs])[:200] for theirs, ours in names.items() if theirs in path})


def _route(scope: Scope) -> str:
    """Return the path template, without /api/v1, of which there are few; other paths are one."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _is_upload(scope: Scope) -> bool:
    return any(part in _route(scope) for part in UPLOADS)
