"""Receives request bodies into scratch folders: bounded memory, a digest on the way."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from starlette.concurrency import run_in_threadpool

from pavemap.geo.errors import StorageFull
from pavemap.geo.storage import out_of_room
from pavemap.platform.errors import UploadCutOff, UploadStalled, UploadTooLarge

BATCH_BYTES = 1 << 20
"""Chunks are gathered to this before a thread hashes and writes them: bounds memory per upload, and
keeps the switches between event loop and threads few."""


@dataclass(frozen=True)
class Received:
    """A body that arrived whole."""

    path: Path
    sha256: str
    size: int


class _Digest(Protocol):
    def update(self, data: bytes | bytearray, /) -> None: ...


async def receive(
    chunks: AsyncIterator[bytes],
    target: Path,
    *,
    limit: int,
    idle_s: float,
    expected: int | None = None,
) -> Received:
    """Write a body to `target`, in memory bounded by BATCH_BYTES.

    `expected` is the announced length. Raises UploadTooLarge, UploadStalled after `idle_s` without
    a byte, UploadCutOff when fewer bytes came than were announced, StorageFull. The file is the
    caller's to remove, as by leaving its scratch folder.
    """
    check_length(expected, limit=limit, folder=target.parent)
    digest = hashlib.sha256()
    size = 0
    batch = bytearray()
    with translate_disk_full(), target.open("xb") as sink:
        async for chunk in guarded(chunks, limit=limit, idle_s=idle_s):
            size += len(chunk)
            batch += chunk
            if len(batch) >= BATCH_BYTES:
                await run_in_threadpool(_spill, batch, sink, digest)
                batch = bytearray()
        await run_in_threadpool(_spill, batch, sink, digest)
        await run_in_threadpool(sink.flush)
    if expected is not None and size != expected:
        raise UploadCutOff(f"{size} of {expected} bytes came; send the file again")
    return Received(target, digest.hexdigest(), size)


async def guarded(
    chunks: AsyncIterator[bytes], *, limit: int, idle_s: float
) -> AsyncIterator[bytes]:
    """Pass on a body's chunks. Raises UploadTooLarge, or UploadStalled after `idle_s` of silence."""
    size = 0
    while True:
        try:
            async with asyncio.timeout(idle_s):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError as exc:
            raise UploadStalled(f"nothing came for {idle_s:g} s; send the file again") from exc
        size += len(chunk)
        if size > limit:
            raise UploadTooLarge(_too_large(limit))
        yield chunk


def check_length(expected: int | None, *, limit: int, folder: Path) -> None:
    """Refuse an announced length before its first byte is read. UploadTooLarge or StorageFull."""
    if expected is None:
        return
    if expected > limit:
        raise UploadTooLarge(_too_large(limit))
    if expected > shutil.disk_usage(folder).free:
        raise StorageFull(
            f"the server has no room for {expected:,} bytes; free some there and send it again"
        )


def _spill(batch: bytearray, sink: BinaryIO, digest: _Digest) -> None:
    digest.update(batch)
    sink.write(batch)


@contextmanager
def translate_disk_full() -> Iterator[None]:
    """Translate a write that the kernel refuses for want of room into StorageFull."""
    try:
        yield
    except OSError as exc:
        if out_of_room(exc):
            raise StorageFull(
                "the server's disk filled up during the upload; free some and send it again"
            ) from exc
        raise


def _too_large(limit: int) -> str:
    return (
        f"the body is larger than {limit:,} bytes, the largest taken here; cut the file into tiles, "
        "or raise PAVEMAP_MAX_UPLOAD_BYTES or PAVEMAP_MAX_NETWORK_BYTES"
    )
