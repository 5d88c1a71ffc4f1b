"""Carries the files of training data from the server to a folder, as a ZIP that is never held whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pavemap.geo.errors import Unavailable
from pavemap.geo.zips import UNREADABLE

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the archive: the same set is the same bytes."""

MAX_FILE_BYTES = 64 << 20
"""An image of 2048 pixels a side has 12 MiB at most."""


def zipped(files: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield an archive of files piece by piece; images are compressed already."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content)
            yield sink.taken()
    yield sink.taken()


def unzipped(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an archive. Raises Unavailable for one that did not come whole."""
    try:
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                if info.file_size > MAX_FILE_BYTES:
                    raise Unavailable(f"the server sent a file of {info.file_size:,} bytes")
                yield info.filename, file.read(info)
    except UNREADABLE as exc:
        raise Unavailable(
            "the training data did not come whole: the server failed half way (its log has the reason), "
            "or the connection broke; run the same command again"
        ) from exc


class _Sink(io.RawIOBase):
    """What is written, until it is taken; it can't be sought, as the network can't."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._parts.append(bytes(data))
        return len(self._parts[-1])

    def taken(self) -> bytes:
        whole, self._parts = b"".join(self._parts), []
        return whole
