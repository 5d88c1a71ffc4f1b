"""Where imagery is kept: a local folder or an S3 bucket, behind keys that only pavemap makes."""

from __future__ import annotations

import errno
import logging
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, S3Store

from pavemap.geo.errors import BadInput, NotFound, StorageFull, Unavailable

log = logging.getLogger(__name__)

KEY = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
"""No user text is ever a key, so this may be narrow: no leading dot, no empty part, no '..'."""

ORTHOPHOTOS = "orthophotos"
"""Below it lies all imagery."""

PROBE = "probe/writable"
"""Written to see whether that is possible. Always the same and never removed: of every new name, a bucket
with versioning would keep a version and a delete marker."""

_BUCKET_FULL = re.compile(r"No space left|StorageFull|QuotaExceeded|status: 507")
"""What folders and S3 look-alikes answer when they are full; obstore has no error of its own for it."""

STORAGE_VARIABLE = "PAVEMAP_STORAGE_URL"
"""The environment variable that names the location."""

OUT_OF_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def orthophoto_key(survey_id: uuid.UUID, sha256: str) -> str:
    """Return the key of an orthophoto, made of ids alone: no name that a user chose is in it."""
    return f"{ORTHOPHOTOS}/{survey_id}/{sha256}.tif"


class Storage:
    """A local folder (made when missing) or `s3://bucket/prefix`; S3 reads AWS_* as obstore does."""

    def __init__(self, location: str) -> None:
        """Open a location. Raises BadInput for one that is neither a folder nor a bucket to be reached."""
        self.location = location
        self.folder: Path | None = None
        self._store: ObjectStore
        if location.startswith("s3://"):
            endpoint = _endpoint()
            plain_http = endpoint is not None and endpoint.scheme == "http"
            self._store = S3Store.from_url(location, client_options={"allow_http": plain_http})
        elif "://" in location and not location.startswith("file://"):
            raise BadInput(f"storage {location} is neither a folder nor s3://bucket/prefix")
        else:
            self.folder = Path(location.removeprefix("file://")).expanduser().resolve()
            with _translated("can't be used as storage", self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
            self._store = LocalStore(self.folder)

    def put_file(self, key: str, path: Path) -> None:
        """Store a finished file; a local one on the same file system is moved, not copied.

        After the return the bytes are on disk (or in the bucket) and whole; before it, nothing is
        seen under the key. Raises StorageFull or Unavailable.
        """
        _check(key)
        with _stored(key):
            if self.folder is not None and _same_device(path, self.folder):
                target = self.folder / key
                target.parent.mkdir(parents=True, exist_ok=True)
                _flush(path)
                path.replace(target)
                _flush(target.parent)
            else:
                self._put(key, path)
                path.unlink()

    def gdal_path(self, key: str) -> str:
        """Return what GDAL opens: an absolute path, or /vsis3/bucket/prefix/key."""
        _check(key)
        if self.folder is not None:
            return str(self.folder / key)
        bucket = urlsplit(self.location)
        prefix = bucket.path.strip("/")
        return "/".join(part for part in ("/vsis3", bucket.netloc, prefix, key) if part)

    def gdal_environment(self) -> dict[str, str]:
        """Return the environment variables GDAL needs to reach the same place (S3 look-alikes)."""
        endpoint = _endpoint()
        if self.folder is not None or endpoint is None:
            return {}
        return {
            "AWS_S3_ENDPOINT": endpoint.netloc,
            "AWS_HTTPS": "NO" if endpoint.scheme == "http" else "YES",
            "AWS_VIRTUAL_HOSTING": "FALSE",
        }

    def fetch_file(self, key: str, path: Path) -> None:
        """Copy what is stored under a key to a file, in bounded memory; the file is whole or absent.

        Raises NotFound, StorageFull or Unavailable.
        """
        _check(key)
        temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}")
        try:
            with _translated("could not be fetched", key), temporary.open("wb") as file:
                for block in obstore.get(self._store, key).stream():
                    file.write(block)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def read(self, key: str) -> bytes:
        """Return the few bytes that are stored under a key. Raises NotFound or Unavailable."""
        _check(key)
        with _translated("could not be read", key):
            return bytes(obstore.get(self._store, key).bytes())

    def write(self, key: str, content: bytes) -> None:
        """Store a few bytes, whole and lasting as `put_file` does. Raises StorageFull or Unavailable."""
        _check(key)
        with _stored(key):
            self._put(key, content)

    def _put(self, key: str, content: bytes | Path) -> None:
        obstore.put(self._store, key, content)
        if self.folder is not None:
            _flush(self.folder / key)

    def exists(self, key: str) -> bool:
        """Tell whether something is stored under a key. Raises Unavailable."""
        return self.size(key) is not None

    def size(self, key: str) -> int | None:
        """Return how many bytes are stored under a key, None where nothing is. Raises Unavailable."""
        _check(key)
        try:
            with _translated("could not be looked up", key):
                return int(obstore.head(self._store, key)["size"])
        except NotFound:
            return None

    def keys(self, prefix: str, *, older_than_s: float = 0.0) -> list[str]:
        """Return the keys that begin with `prefix` and '/', stored at least so many seconds ago."""
        _check(prefix)
        latest = datetime.now(UTC) - timedelta(seconds=older_than_s)
        with _translated("could not be listed", prefix):
            blocks = list(obstore.list(self._store, prefix=prefix))
        return [
            str(each["path"])
            for block in blocks
            for each in block
            if each["last_modified"] <= latest
        ]

    def delete(self, key: str) -> None:
        """Remove what is stored under a key, if anything is."""
        _check(key)
        try:
            with _translated("could not be removed", key):
                obstore.delete(self._store, key)
        except NotFound:
            log.info("%s was gone already", key)

    def check_writable(self) -> None:
        """Write a few bytes over those of the last check. Raises StorageFull or Unavailable."""
        with _translated("is not writable", self.location):
            obstore.put(self._store, PROBE, b"pavemap")


def out_of_room(error: OSError) -> bool:
    """Tell whether the kernel refused a write for want of room (disk, quota or file size limit)."""
    return error.errno in OUT_OF_ROOM


def _endpoint() -> SplitResult | None:
    """Return the address of an S3 look-alike, if one is named. Raises BadInput where it has a path.

    GDAL takes host and port alone, and would read at another place than obstore writes.
    """
    given = os.environ.get("AWS_ENDPOINT_URL")
    if not given:
        return None
    endpoint = urlsplit(given)
    if endpoint.path.strip("/") or endpoint.query:
        raise BadInput(
            f"AWS_ENDPOINT_URL {given} has a path; name scheme, host and port alone, as "
            f"{endpoint.scheme}://{endpoint.netloc}, and let the bucket be reached there"
        )
    return endpoint


@contextmanager
def _translated(what: str, subject: object) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as exc:
        raise NotFound(f"{subject} is not in storage") from exc
    except OSError as exc:
        if out_of_room(exc):
            raise StorageFull(f"no room left: {subject} {what}; free some and try again") from exc
        raise Unavailable(f"{subject} {what} ({exc.strerror}); see to the storage folder") from exc
    except BaseError as exc:
        if _BUCKET_FULL.search(str(exc)):
            raise StorageFull(f"no room left: {subject} {what}; free some and try again") from exc
        raise Unavailable(f"{subject} {what}; check {STORAGE_VARIABLE} and its access") from exc


@contextmanager
def _stored(key: str) -> Iterator[None]:
    with _translated("could not be stored", key):
        try:
            yield
        except FileNotFoundError as exc:  # there is nothing to store it in
            raise Unavailable(
                f"{key} could not be stored: its folder or bucket is gone; check {STORAGE_VARIABLE}"
            ) from exc


def _check(key: str) -> None:
    if KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r} is no storage key; keys are made by pavemap, never from names")


def _same_device(path: Path, folder: Path) -> bool:
    return path.stat().st_dev == folder.stat().st_dev


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
