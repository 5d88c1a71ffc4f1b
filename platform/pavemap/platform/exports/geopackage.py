"""What belongs to a GeoPackage beside its layers: styles, descriptions, changes that wait."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from pavemap.geo.errors import BadInput


def describe(path: Path, layers: Iterable[tuple[str, str]]) -> None:
    """Say in gpkg_contents what each (layer, text) is; QGIS shows it with the layer's properties."""
    with _transaction(path) as connection:
        connection.executemany(
            "UPDATE gpkg_contents SET description = ? WHERE table_name = ?",
            [(said, name) for name, said in layers],
        )


def add_styles(path: Path, styles: Sequence[tuple[str, str, str, bool]]) -> None:
    """Store styles the way QGIS does: a table `layer_styles`, named in gpkg_contents.

    Each is a layer, the style's name, its QML, and whether it is the one shown at first.
    """
    with _transaction(path) as connection:
        connection.execute(
            "CREATE TABLE layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, "
            "f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), "
            "f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT, "
            "useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), "
            "update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')))"
        )
        connection.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier, description) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles', '')"
        )
        connection.executemany(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description, owner) "
            "VALUES ('', '', ?, 'geom', ?, ?, '', ?, 'made by pavemap', '')",
            styles,
        )


def row_counts(path: Path, layers: Iterable[str]) -> dict[str, int]:
    """Count the rows that a GeoPackage's layers have."""
    with _transaction(path) as connection:
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for name in layers
        }


def has_pending_changes(path: Path) -> bool:
    """Tell whether changes wait beside a GeoPackage: a program has it open, or fell while it had."""
    beside = (Path(f"{path}{suffix}") for suffix in ("-wal", "-journal"))
    return any(each.exists() and each.stat().st_size > 0 for each in beside)


def added_by_others(path: Path, known: Mapping[str, Iterable[str]]) -> list[str]:
    """Name what an existing GeoPackage holds beyond known layers (their columns by name): someone's work.

    Those are further layers, further columns as `layer.column`, and QGIS projects. Styles don't count.
    """
    if not path.exists():
        return []
    try:
        with _transaction(path) as connection:
            listed = connection.execute("SELECT table_name FROM gpkg_contents").fetchall()
            tables = {str(name) for (name,) in listed} - {"layer_styles"}
            columns = {
                (name, str(column))
                for name in tables & set(known)
                for (column,) in connection.execute("SELECT name FROM pragma_table_info(?)", [name])
            }
            projects = connection.execute(
                "SELECT name FROM sqlite_master WHERE name = 'qgis_projects'"
            ).fetchall()
    except sqlite3.DatabaseError as exc:
        if re.search("no such table|not a database", str(exc)):
            return []  # no GeoPackage
        raise BadInput(
            f"{path} can't be read ({exc}); close it elsewhere, or name another file"
        ) from exc
    ours = {(name, column) for name, some in known.items() for column in ("fid", "geom", *some)}
    found = sorted(tables - set(known))
    found += sorted(f"{name}.{column}" for name, column in columns - ours)
    return found + [str(name) for (name,) in projects]


@contextmanager
def _transaction(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path)
    try:
        with connection:
            yield connection
    finally:
        connection.close()
