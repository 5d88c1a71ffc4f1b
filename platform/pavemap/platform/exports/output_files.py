"""Files that a command is to make: refused before its work where they can't be; failed writes told of."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyogrio.errors import DataLayerError, DataSourceError, FeatureError

from pavemap.geo.errors import BadInput
from pavemap.geo.scratch import beside

WRITE_ERRORS = (OSError, sqlite3.DatabaseError, DataSourceError, DataLayerError, FeatureError)


def check_output(file: Path) -> None:
    """Raise BadInput where a file can't be made: hours of work may go into it before it is written."""
    if file.is_dir():
        raise BadInput(f"{file} is a folder; name a file, in it or elsewhere")
    if not file.parent.is_dir():
        raise BadInput(f"there is no folder {file.parent}; make it first")
    try:
        with beside(file):
            pass
    except OSError as exc:
        raise BadInput(
            f"{file} can't be written: its folder takes no files ({exc.strerror}); name another place"
        ) from exc


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """Raise BadInput, by the name the user gave, when a write in the block fails."""
    try:
        yield
    except WRITE_ERRORS as exc:
        why = (exc.strerror if isinstance(exc, OSError) else None) or exc
        raise BadInput(f"{file} could not be written ({why}); is its disk full?") from exc
