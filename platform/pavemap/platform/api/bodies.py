"""What the operations that take files have in common: lengths, encodings, and bodies cut off."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request, Response
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect
from starlette.types import Message

from pavemap.platform.errors import BadRequest, UnsupportedMedia, UploadCutOff, UploadTooLarge
from pavemap.platform.uploads import guarded

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

MAX_DOCUMENT_BYTES = 1 << 20
"""Of a body that is one JSON document: settings of a survey, a training, a promotion."""


def announced_length(request: Request) -> int | None:
    """Return the Content-Length, None where the body comes in chunks of unknown number."""
    text = request.headers.get("content-length")
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise BadRequest("Content-Length is no number; leave it to the HTTP client")
    return int(text)


def refuse_encoded(request: Request) -> None:
    """Refuse a compressed body: a few bytes of it could stand for any number."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in {"", "identity"}:
        raise UnsupportedMedia(
            f"Content-Encoding {encoding[:40]} is not taken; send the file as it is"
        )


class DocumentRoute(APIRoute):
    """A route that, where its body is one JSON document, takes `MAX_DOCUMENT_BYTES` of it and no more."""

    def get_route_handler(self) -> Handler:
        """Return what answers a request: FastAPI's own handler, given a body that was read with care."""
        below = super().get_route_handler()
        if not has_document(self):
            return below

        async def handle(request: Request) -> Response:
            idle_s = request.app.state.services.settings.upload_idle_s
            body = await read_body(
                request, limit=MAX_DOCUMENT_BYTES, idle_s=idle_s, advice="send less at once"
            )
            if body:
                _require_json(request)

            async def receive() -> Message:
                return {"type": "http.request", "body": body, "more_body": False}

            return await below(Request(request.scope, receive))

        return handle


def _require_json(request: Request) -> None:
    """Refuse a body that does not say it is JSON: FastAPI would take it for a text."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not re.fullmatch(r"application/([^/]+\+)?json", kind):
        sent_as = f"Content-Type {kind[:40]}" if kind else "a body without Content-Type"
        raise UnsupportedMedia(f"{sent_as} is not taken; send it as Content-Type: application/json")


def has_document(route: APIRoute) -> bool:
    """Whether FastAPI would take in a route's body whole."""
    return route.body_field is not None and not isinstance(route.body_field.field_info, Form)


async def read_body(
    request: Request, *, limit: int, idle_s: float, advice: str = "send fewer features at once"
) -> bytes:
    """Return a whole body of at most `limit` bytes.

    Raises UploadTooLarge, UploadStalled after `idle_s` without a byte, UploadCutOff, UnsupportedMedia.
    """
    refuse_encoded(request)
    too_large = f"the body is larger than {limit >> 20} MiB; {advice}"
    if (announced_length(request) or 0) > limit:
        raise UploadTooLarge(too_large)
    try:
        with translate_disconnect():
            chunks = guarded(request.stream(), limit=limit, idle_s=idle_s)
            return b"".join([chunk async for chunk in chunks])
    except UploadTooLarge as exc:
        raise UploadTooLarge(too_large) from exc


@contextmanager
def translate_disconnect() -> Iterator[None]:
    """Translate a connection that ends before the body does."""
    try:
        yield
    except ClientDisconnect as exc:
        raise UploadCutOff(
            "the connection ended before the file did; nothing was kept, send it again"
        ) from exc
