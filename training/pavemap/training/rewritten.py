"""A folder that is written anew beside its place and takes it whole, whenever a run may be killed.

Processes at work beside the same place hold a shared lock on the folder around it, and the kernel gives
up those of the killed. Who gets that lock alone is the only one there: what lies about is left over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def rewritten(target: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces `target` at the end of the block; by an error `target` stays.

    What runs that were killed have left is cleared first, unless another run is at work beside it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with _at_work(target):
        temporary = _beside(target)
        temporary.mkdir()
        try:
            yield temporary
            _exchange(target, temporary)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _beside(target: Path, part: str = "") -> Path:
    return target.with_name(f".{target.name}-{part}{uuid.uuid4().hex[:8]}")


def _exchange(target: Path, temporary: Path) -> None:
    aside = _beside(target, "former-")
    if target.exists():
        target.replace(aside)
    temporary.replace(target)
    shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _at_work(target: Path) -> Iterator[None]:
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # another is at work, or the file system knows no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(target)
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _clear(target: Path) -> None:
    """Remove what was left over; a former folder that nothing has replaced yet goes back to its place."""
    ours = re.compile(rf"\.{re.escape(target.name)}-(former-)?[0-9a-f]{{8}}")
    for path in sorted(target.parent.iterdir()):
        name = ours.fullmatch(path.name)
        if name and name[1] and not target.exists():
            path.replace(target)
        elif name:
            shutil.rmtree(path, ignore_errors=True)
