"""What an existing GeoJSON or CSV file holds, told from its beginning."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable
from pathlib import Path

HEAD_CHARACTERS = 1 << 20
"""The first feature ends before that, unless it is of tens of thousands of points."""

_PROPERTIES = re.compile(r'"properties"\s*:\s*(?=\{)')


def columns_beyond(path: Path, known: Iterable[str]) -> list[str]:
    """Name the columns of an existing file that are not known ones: someone's work.

    Of a GeoJSON those of its first feature. What is no such file, or is empty, has none.
    """
    if not path.is_file():
        return []
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        head = file.read(HEAD_CHARACTERS)
    columns = _of_csv(head) if path.suffix.lower() == ".csv" else _of_geojson(head)
    ours = set(known)
    return [column for column in columns if column not in ours]


def _of_csv(head: str) -> list[str]:
    return next(csv.reader(head.splitlines()[:1]), [])


def _of_geojson(head: str) -> list[str]:
    found = _PROPERTIES.search(head)
    if found is None:
        return []
    try:
        properties, _ = json.JSONDecoder().raw_decode(head, found.end())
    except ValueError:
        return []
    return list(properties)
