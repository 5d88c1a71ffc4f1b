"""Scratch folders that leave nothing behind, not those of killed processes either."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

INCOMING = "incoming"
"""The folder of all scratch folders on the disk of local storage: files are moved to it, not copied."""

BESIDE = ".pavemap-unfinished"
"""The folder of one user's scratch folders beside files that are to be made, but for the user's number."""

LOCK = ".lock"
"""Ending of the file beside a scratch folder that tells whether its process lives."""


@contextmanager
def scratch(incoming: Path) -> Iterator[Path]:
    """Yield a new folder below `incoming`, removed with all it holds whatever happens.

    A file beside it is locked as long as its process lives, which is how `sweep` knows a dead one's,
    on other machines that share the volume too. A file, open for writing: NFS tells its server of no
    other locks. Beside the folder: NFS removes none that holds an open file.
    """
    folder, handle = _claimed(incoming)
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _lock_of(folder).unlink(missing_ok=True)
        os.close(handle)


@contextmanager
def beside(target: Path) -> Iterator[Path]:
    """Yield a scratch folder on the disk of a file to be made, from which it is moved into place whole.

    What killed processes left there goes. Raises OSError where there is no folder, or it takes no files.
    """
    incoming = target.absolute().parent / f"{BESIDE}-{os.getuid()}"
    sweep(incoming)
    incoming.mkdir(exist_ok=True)
    try:
        with scratch(incoming) as folder:
            yield folder
    finally:
        with suppress(OSError):  # others are at work in it
            incoming.rmdir()


def sweep(incoming: Path) -> int:
    """Remove the scratch folders of processes that died; return how many there were.

    What can't be locked is left: it may live.
    """
    swept = 0
    for lock in incoming.glob(f"*{LOCK}"):
        with suppress(OSError), lock.open("r+b") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink()
            swept += 1
    if swept:
        log.info("removed what %d earlier processes left unfinished", swept)
    return swept


def _claimed(incoming: Path) -> tuple[Path, int]:
    """Return a name for a folder that is none yet, and the open file that locks it."""
    while True:
        incoming.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # another process has just removed it as empty
            handle, name = tempfile.mkstemp(dir=incoming)
            break
    with suppress(OSError):  # a file system without locks gives a sweep none either
        fcntl.flock(handle, fcntl.LOCK_EX)
    folder = Path(name)
    folder.rename(_lock_of(folder))  # no sweep sees it before it is locked
    return folder, handle


def _lock_of(folder: Path) -> Path:
    return folder.with_name(folder.name + LOCK)
