"""GeoPackages: without views and virtual tables, since reading those runs the file's own SQL."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

from pavemap.geo.errors import BadInput
from pavemap.geo.vector_files.ogr import read_ogr
from pavemap.geo.vector_files.raw import RawLines, Wanted, refuse_other_bytes


def read_geopackage(path: Path, wanted: Wanted) -> RawLines:
    """Read a layer of a GeoPackage. Raises BadInput."""
    refuse_other_bytes(path, b"SQLite format 3\x00", wanted.file)
    _refuse_own_sql(path, wanted.file)
    return read_ogr(path, wanted, driver="GPKG")


def _refuse_own_sql(path: Path, file: str) -> None:
    """Refuse views and virtual tables, whose SQL would run with GDAL's functions (some use the net)."""
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            rows = db.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
    except sqlite3.Error as exc:
        raise BadInput(f"'{file}' is a damaged GeoPackage ({exc}); export it again") from exc
    if not any(name == "gpkg_contents" for _, name, _ in rows):
        raise BadInput(f"'{file}' is a SQLite file but no GeoPackage; export it as one")
    for kind, name, sql in rows:
        virtual = re.match(r"\s*create\s+virtual\s+table", sql, re.I)
        if kind == "view" or (virtual and not re.search(r"\busing\s+\W?rtree\b", sql, re.I)):
            raise BadInput(
                f"the GeoPackage holds a view or virtual table ('{name}'), which isn't read; "
                "export the layer alone into a new GeoPackage"
            )
