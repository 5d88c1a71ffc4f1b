"""Reads uploaded rasters in processes of their own, so that a hostile file can hurt no other upload.

The child speaks one JSON object a line: a job on stdin, its answer on stdout. It ends when its stdin
does, so it can't outlive the server, however that ends.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pavemap.geo.errors import BadInput, PavemapError, StorageFull, Unavailable
from pavemap.geo.imagery.cog import is_cog, to_cog
from pavemap.geo.imagery.orthophoto import Orthophoto
from pavemap.geo.imagery.raster import inspect
from pavemap.geo.storage import out_of_room
from pavemap.platform.errors import ReaderCrashed

log = logging.getLogger(__name__)


class Readers:
    """A few reader processes, started when first needed and kept."""

    def __init__(self, count: int, *, limit_s: float) -> None:
        """Take how many may work at once, and how long one job may take before it is killed."""
        self.count = count
        self._idle: queue.LifoQueue[_Reader] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(_Reader(limit_s))

    def inspect(self, path: Path, *, name: str) -> Orthophoto:
        """Read and check a raster as `pavemap.geo.imagery.raster.inspect` does, and raise what it raises.

        Also raises ReaderCrashed when the file kills its reader or holds it longer than allowed.
        """
        return self._run({"job": "inspect", "path": str(path), "name": name})

    def to_cog(self, path: Path, target: Path, *, name: str) -> Orthophoto:
        """Make a raster cloud-optimised at `target`, by renaming when it is so already; check it."""
        return self._run({"job": "to_cog", "path": str(path), "target": str(target), "name": name})

    def close(self) -> None:
        """End the processes."""
        while not self._idle.empty():
            self._idle.get().close()

    def __enter__(self) -> Self:
        """Use as a context manager to end the processes."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the processes."""
        self.close()

    def _run(self, job: dict[str, str]) -> Orthophoto:
        with self._reader() as reader:
            answer = reader.ask(job)
        if "error" in answer:
            raise _error_class(answer["error"])(answer["message"])
        return Orthophoto.from_dict(answer["orthophoto"], path=answer["path"])

    @contextmanager
    def _reader(self) -> Iterator[_Reader]:
        reader = self._idle.get()
        try:
            yield reader
        finally:
            self._idle.put(reader)


class _Reader:
    """One child process; a new one takes the place of one that died."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._child: subprocess.Popen[bytes] | None = None

    def ask(self, job: dict[str, str]) -> dict[str, Any]:
        kept, latest = self._child is not None, time.monotonic() + self.limit_s
        line = self._line(job)
        if not line and kept and time.monotonic() < latest:
            line = self._line(job)  # the system may have killed it since its last job
        if not line:
            log.error("the reader of %s died", job["path"])
            raise ReaderCrashed(
                "the file stopped the program that reads it; write it anew with gdal_translate "
                f"(a file that needs more than {self.limit_s:g} s is best cut into tiles)"
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _line(self, job: dict[str, str]) -> bytes:
        """Return the child's answer; nothing when it died, or had to be killed."""
        child = self._alive()
        assert child.stdin is not None
        assert child.stdout is not None
        guard = threading.Timer(self.limit_s, child.kill)
        guard.start()
        try:
            child.stdin.write(json.dumps(job).encode() + b"\n")
            child.stdin.flush()
            line = child.stdout.readline()
        except BrokenPipeError:
            line = b""
        finally:
            guard.cancel()
        if not line:
            self.close()
        return line

    def close(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _alive(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is not None:
            self.close()
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "pavemap.platform.raster_readers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        return self._child


def _error_class(name: str) -> type[PavemapError]:
    known = [PavemapError]
    for kind in known:
        if kind.__name__ == name:
            return kind
        known.extend(kind.__subclasses__())
    return BadInput


def _answer(job: dict[str, str]) -> dict[str, Any]:
    path, name = Path(job["path"]), job["name"]
    try:
        if job["job"] == "to_cog":
            path = _cloud_optimised(path, Path(job["target"]))
        photo = inspect(path, name=name)
        return {"orthophoto": photo.to_dict(), "path": photo.path}
    except PavemapError as exc:
        # On disk the file bears a name of ours; the user knows it by another.
        return {"error": type(exc).__name__, "message": str(exc).replace(path.name, name)}
    except OSError as exc:
        if not out_of_room(exc):
            raise
        return {"error": StorageFull.__name__, "message": "the server's disk is full; free some"}
    except MemoryError:
        message = "the server has too little memory to read this file; cut it into tiles"
        return {"error": Unavailable.__name__, "message": message}


def _cloud_optimised(path: Path, target: Path) -> Path:
    if is_cog(path):
        return path.rename(target)
    to_cog(path, target)
    return target


def _serve() -> None:
    """Answer jobs until stdin ends; whatever a library prints goes to stderr."""
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        for line in sys.stdin.buffer:
            answers.write(json.dumps(_answer(json.loads(line))).encode() + b"\n")
            answers.flush()


if __name__ == "__main__":
    _serve()
