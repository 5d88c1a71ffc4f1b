"""What the operations that take files have in common: lengths, encodings, and bodies cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from pavemap.platform.errors import BadRequest, UnsupportedMedia, UploadCutOff


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


@contextmanager
def cut_off_told() -> Iterator[None]:
    """Translate a connection that ends before the body does."""
    try:
        yield
    except ClientDisconnect as exc:
        raise UploadCutOff(
            "the connection ended before the file did; nothing was kept, send it again"
        ) from exc
