"""What the operations that take files have in common: lengths, encodings, and bodies cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette.requests import ClientDisconnect

from pavemap.platform.errors import BadRequest, UnsupportedMedia, UploadCutOff, UploadTooLarge
from pavemap.platform.uploads import guarded


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


async def read_body(request: Request, *, limit: int, idle_s: float) -> bytes:
    """Return a whole body of at most `limit` bytes.

    Raises UploadTooLarge, UploadStalled after `idle_s` without a byte, UploadCutOff, UnsupportedMedia.
    """
    refuse_encoded(request)
    too_large = f"the body is larger than {limit >> 20} MiB; send fewer features at once"
    if (announced_length(request) or 0) > limit:
        raise UploadTooLarge(too_large)
    try:
        with cut_off_told():
            chunks = guarded(request.stream(), limit=limit, idle_s=idle_s)
            return b"".join([chunk async for chunk in chunks])
    except UploadTooLarge as exc:
        raise UploadTooLarge(too_large) from exc


@contextmanager
def cut_off_told() -> Iterator[None]:
    """Translate a connection that ends before the body does."""
    try:
        yield
    except ClientDisconnect as exc:
        raise UploadCutOff(
            "the connection ended before the file did; nothing was kept, send it again"
        ) from exc
