"""Receiving a body: whole or refused, hashed, in bounded memory, and without leftovers."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import inspect
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pavemap.geo.errors import StorageFull
from pavemap.platform.errors import UploadCutOff, UploadStalled, UploadTooLarge
from pavemap.platform.uploads import Received, receive, scratch, sweep


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


def test_a_scratch_folder_leaves_nothing(tmp_path: Path) -> None:
    def cut_off() -> None:
        with scratch(tmp_path / "incoming") as folder:
            folder.joinpath("upload.tif").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        cut_off()
    assert list((tmp_path / "incoming").iterdir()) == []


def test_a_sweep_takes_the_folders_of_the_dead_alone(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from pavemap.platform.uploads import scratch\n"
        "with scratch(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'upload.tif').write_bytes(b'half'); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == 9
    (leftover,) = tmp_path.glob("*/")
    with scratch(tmp_path) as living:
        assert sweep(tmp_path) == 1
        assert living.is_dir()
        assert not leftover.exists()
        assert sweep(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


def nfs_lock(handle: int, how: int) -> None:
    """`flock` as NFS has it: a lock of bytes in a file open for writing; of a folder nobody else hears."""
    if not stat.S_ISDIR(os.fstat(handle).st_mode):
        fcntl.lockf(handle, how)


def test_a_sweep_on_another_machine_leaves_the_folders_of_the_living(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", nfs_lock)
    code = (
        "import fcntl, os, stat, sys; from pathlib import Path\n"
        "from pavemap.platform.uploads import sweep\n"
        f"{inspect.getsource(nfs_lock)}\n"
        "fcntl.flock = nfs_lock; sys.exit(sweep(Path(sys.argv[1])))"
    )
    with scratch(tmp_path) as living:
        (living / "upload.tif").write_bytes(b"half")
        swept = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
        assert swept.returncode == 0
        assert (living / "upload.tif").exists()


def test_where_there_are_no_locks_uploads_go_on_and_nothing_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without)
    with scratch(tmp_path) as living:
        assert sweep(tmp_path) == 0
        assert living.is_dir()


def test_nothing_to_sweep_is_fine(tmp_path: Path) -> None:
    assert sweep(tmp_path / "never made") == 0
