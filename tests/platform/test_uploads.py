"""Receiving a body: whole or refused, hashed, in bounded memory, and without leftovers."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pavemap.geo.errors import StorageFull
from pavemap.platform.errors import UploadCutOff, UploadStalled, UploadTooLarge
from pavemap.platform.uploads import Received, receive


async def body(*chunks: bytes, pause_s: float = 0.0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(pause_s)
        yield chunk


def received(
    chunks: AsyncIterator[bytes],
    target: Path,
    *,
    limit: int = 1 << 30,
    expected: int | None = None,
    idle_s: float = 5.0,
) -> Received:
    return asyncio.run(receive(chunks, target, limit=limit, idle_s=idle_s, expected=expected))


def test_a_body_arrives_whole_and_hashed(tmp_path: Path) -> None:
    parts = [os.urandom(700_001) for _ in range(5)]
    got = received(body(*parts), tmp_path / "upload", expected=3_500_005)
    assert got.path.read_bytes() == b"".join(parts)
    assert got.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()
    assert got.size == 3_500_005


def test_fewer_bytes_than_announced_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UploadCutOff, match="3 of 4 bytes came; send the file again"):
        received(body(b"abc"), tmp_path / "upload", expected=4)


@pytest.mark.parametrize("expected", [None, 11])
def test_a_body_over_the_limit_is_refused(tmp_path: Path, expected: int | None) -> None:
    with pytest.raises(UploadTooLarge, match="larger than 10 bytes"):
        received(body(b"12345", b"123456"), tmp_path / "upload", limit=10, expected=expected)


def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    with pytest.raises(StorageFull, match="no room"):
        received(never(), tmp_path / "upload", limit=1 << 62, expected=1 << 61)
    assert not (tmp_path / "upload").exists()


def test_a_silent_client_is_dropped(tmp_path: Path) -> None:
    with pytest.raises(UploadStalled, match=r"nothing came for 0\.05 s"):
        received(body(b"a", b"b", pause_s=0.5), tmp_path / "upload", idle_s=0.05)


def test_a_full_disk_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pavemap.platform.uploads._spill", full)
    with pytest.raises(StorageFull, match="filled up during the upload"):
        received(body(b"x"), tmp_path / "upload")
