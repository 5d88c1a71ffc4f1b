"""Writes road files for tests: zipped Shapefiles, with whatever else a user may put into the zip."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import geopandas


def zip_shapefile(
    roads: geopandas.GeoDataFrame,
    path: Path,
    *,
    stem: str = "roads",
    without: tuple[str, ...] = (),
    others: Mapping[str, bytes] | None = None,
    encoding: str = "UTF-8",
    language: int = 0,
) -> Path:
    """Write roads as a Shapefile in a zip, leaving out some suffixes and adding other members.

    `encoding` is that of the texts, `language` the byte by which a .dbf may tell it.
    """
    with tempfile.TemporaryDirectory() as folder:
        roads.to_file(Path(folder) / "written.shp", encoding=encoding)
        with (Path(folder) / "written.dbf").open("r+b") as table:
            table.seek(29)
            table.write(bytes([language]))
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            for part in sorted(Path(folder).iterdir()):
                if part.suffix not in without:
                    archive.write(part, f"{stem}{part.suffix}")
            for name, content in (others or {}).items():
                archive.writestr(name, content)
    return path
