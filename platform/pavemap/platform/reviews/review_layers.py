"""Tells which layers of a GeoPackage hold reviewed cracks and areas."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from pavemap.geo.errors import BadInput
from pavemap.platform.exports.geopackage import has_pending_changes
from pavemap.platform.reviews.review_file import AREAS, LINES


def has_lines(path: Path, *, layer: str | None = None) -> bool:
    """Tell whether there are lines to read; not so in a GeoPackage of ours whose cracks are none."""
    elsewhere = layer not in (None, LINES) or layer_of(path, LINES) is None
    return (
        elsewhere
        or (layer is None and bool(_other_verdicts(path)))
        or bool(_asked(path, f"SELECT 1 FROM {LINES} LIMIT 1"))
    )


def has_areas(path: Path) -> bool:
    """Tell whether a file is a GeoPackage with a filled layer of reviewed areas."""
    return layer_of(path, AREAS) is not None and bool(
        _asked(path, f"SELECT 1 FROM {AREAS} LIMIT 1")
    )


def layer_of_lines(path: Path) -> str | None:
    """Return the name of our layer of lines where a file is a GeoPackage that has it.

    Raises BadInput where another layer may be meant.
    """
    layer = layer_of(path, LINES)
    if layer is not None and (others := _other_verdicts(path)):
        found = ", ".join([layer, *others])[:500]
        raise BadInput(
            f"'{path.name}' may hold verdicts in several layers: {found}; name the one to send (--layer)"
        )
    return layer


def layer_of(path: Path, name: str) -> str | None:
    """Return the name of a layer where a file is a GeoPackage that has it."""
    if path.suffix.lower() != ".gpkg":
        return None
    return name if (name,) in _asked(path, "SELECT table_name FROM gpkg_contents") else None


def _other_verdicts(path: Path) -> list[str]:
    """Return the names of further layers of lines with a field `verdict`, if a file is a GeoPackage."""
    if path.suffix.lower() != ".gpkg":
        return []
    found = _asked(
        path,
        "SELECT layer.table_name FROM gpkg_geometry_columns AS layer, "
        "pragma_table_info(layer.table_name) AS field "
        f"WHERE lower(field.name) = 'verdict' AND layer.table_name <> '{LINES}' "
        "AND NOT (geometry_type_name LIKE '%POINT' OR geometry_type_name LIKE '%POLYGON' "
        "OR geometry_type_name LIKE '%SURFACE') ORDER BY 1",
    )
    return [str(name) for (name,) in found]


def _asked(path: Path, question: str) -> list[tuple[Any, ...]]:
    """Ask a GeoPackage without GDAL, which looks into files before their format is checked."""
    # What a GIS has saved but not yet put into the file itself counts: then the file is not immutable.
    how = "mode=ro" if has_pending_changes(path) else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            return db.execute(question).fetchall()
    except sqlite3.Error:
        return []  # whoever reads it says what is wrong with it
