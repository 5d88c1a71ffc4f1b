"""Storage: a file is there whole or not at all, under keys that no user can choose."""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from pavemap.geo.errors import BadInput, NotFound, StorageFull, Unavailable
from pavemap.geo.storage import PROBE, Storage, orthophoto_key, out_of_room

KEY = orthophoto_key(uuid.UUID(int=7), "ab" * 32)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system, where a move would have to be a copy."""
    try:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            yield Path(folder)
    except OSError:
        pytest.skip("no second file system on this machine")


def written(folder: Path, content: bytes = b"pixels") -> Path:
    path = folder / "incoming.tif"
    path.write_bytes(content)
    return path


def test_a_file_is_moved_into_place(storage: Storage, tmp_path: Path) -> None:
    path = written(tmp_path)
    inode = path.stat().st_ino
    storage.put_file(KEY, path)
    assert not path.exists()
    stored = Path(storage.gdal_path(KEY))
    assert stored.read_bytes() == b"pixels"
    assert stored.stat().st_ino == inode, "it was copied, not moved"


def test_a_file_from_another_disk_is_copied(storage: Storage, elsewhere: Path) -> None:
    path = written(elsewhere, b"x" * 12_000_000)
    storage.put_file(KEY, path)
    assert not path.exists()
    assert Path(storage.gdal_path(KEY)).stat().st_size == 12_000_000


def test_storing_again_replaces(storage: Storage, tmp_path: Path) -> None:
    storage.put_file(KEY, written(tmp_path, b"old"))
    storage.put_file(KEY, written(tmp_path, b"new"))
    assert Path(storage.gdal_path(KEY)).read_bytes() == b"new"


def test_exists_and_delete(storage: Storage, tmp_path: Path) -> None:
    assert not storage.exists(KEY)
    storage.put_file(KEY, written(tmp_path, b"seven b"))
    assert (storage.exists(KEY), storage.size(KEY)) == (True, 7)
    storage.delete(KEY)
    assert (storage.exists(KEY), storage.size(KEY)) == (False, None)
    storage.delete(KEY)


@pytest.mark.parametrize(
    "key", ["../secret", "/etc/passwd", "a//b", "a/../b", "", "a/.hidden", "a b", "a/b\x00", "a\n"]
)
def test_a_key_that_could_be_a_path_is_refused(storage: Storage, tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="never from names"):
        storage.put_file(key, written(tmp_path))
    with pytest.raises(ValueError, match="never from names"):
        storage.gdal_path(key)


def test_writable_is_tried_for_real(storage: Storage) -> None:
    assert storage.folder is not None
    storage.folder.joinpath("probe").write_text("a file where a folder must be")
    with pytest.raises(Unavailable, match="is not writable"):
        storage.check_writable()
    storage.folder.joinpath("probe").unlink()
    storage.check_writable()


def test_trying_leaves_one_small_file_that_is_no_imagery(storage: Storage) -> None:
    for _ in range(3):
        storage.check_writable()
    assert storage.folder is not None
    left = [path for path in storage.folder.rglob("*") if path.is_file()]
    assert [str(path.relative_to(storage.folder)) for path in left] == [PROBE]
    assert storage.keys("orthophotos") == []


def test_a_location_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="s3://"):
        Storage("ftp://host/imagery")
    with pytest.raises(Unavailable, match="can't be used as storage"):
        Storage(str(written(tmp_path)))


def test_no_room_left_is_told_apart(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    assert out_of_room(OSError(errno.ENOSPC, "No space left on device"))
    assert not out_of_room(OSError(errno.EACCES, "Permission denied"))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert storage.folder is not None
    path = written(storage.folder)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match="free some"):
        storage.put_file(KEY, path)
    assert not storage.exists(KEY)


def test_the_bucket_is_named_to_gdal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    bucket = Storage("s3://surveys/2026")
    assert bucket.gdal_path(KEY) == f"/vsis3/surveys/2026/{KEY}"
    assert bucket.gdal_environment() == {
        "AWS_S3_ENDPOINT": "127.0.0.1:9000",
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }


def test_what_is_stored_can_be_fetched_whole_or_not_at_all(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "storage"))
    given = tmp_path / "given.bin"
    given.write_bytes(bytes(range(256)) * 5000)
    storage.put_file("models/a/weights.bin", given)
    target = tmp_path / "fetched.bin"
    storage.fetch_file("models/a/weights.bin", target)
    assert target.read_bytes() == bytes(range(256)) * 5000
    with pytest.raises(NotFound):
        storage.fetch_file("models/b/weights.bin", tmp_path / "other.bin")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fetched.bin", "storage"]
