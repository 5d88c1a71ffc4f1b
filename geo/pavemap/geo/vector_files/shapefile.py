"""Zipped Shapefiles: only their parts are unpacked, under names of ours, with a bound on what comes out."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyogrio
from pyogrio.errors import DataSourceError

from pavemap.geo.errors import BadInput
from pavemap.geo.vector_files import raw
from pavemap.geo.vector_files.ogr import read_ogr
from pavemap.geo.vector_files.raw import RawLines, Wanted, refuse_other_bytes, too_large
from pavemap.geo.zips import UNREADABLE

DRIVER = "ESRI Shapefile"
ASSUMED_ENCODING = "CP1252"
"""Of texts that are no UTF-8 and whose encoding nothing tells; it has all of Latin-1's letters."""

_UNDECODED = (UnicodeDecodeError, DataSourceError, pa.ArrowException)
"""What texts raise that are in another encoding than they are read in."""


def read_zip(path: Path, wanted: Wanted) -> RawLines:
    """Read the Shapefile in a zip. Raises BadInput."""
    with tempfile.TemporaryDirectory(prefix="pavemap-roads-") as folder:
        target = Path(folder)
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack_shapefile(archive, target, wanted.layer)
        except UNREADABLE as exc:
            raise BadInput(f"'{wanted.file}' can't be unzipped ({exc}); zip it again") from exc
        shapefile = target / "roads.shp"
        refuse_other_bytes(shapefile, b"\x00\x00\x27\x0a", wanted.file)
        return _read_shapefile(shapefile, replace(wanted, layer=None))


def _read_shapefile(path: Path, wanted: Wanted) -> RawLines:
    """Read texts as the .cpg or the DBF's language byte tells; untold ones as UTF-8 if they are that."""
    try:
        return read_ogr(path, wanted, driver=DRIVER)
    except _UNDECODED as exc:
        if not _tells_encoding(path):
            read = read_ogr(path, wanted, driver=DRIVER, encoding=ASSUMED_ENCODING)
            return replace(read, assumed_encoding=ASSUMED_ENCODING)
        if isinstance(exc, DataSourceError):
            raise
        raise BadInput(
            f"the texts of '{wanted.file}' are in another encoding than its .cpg (or the .dbf itself) "
            "tells; write the right one into the .cpg, such as ISO-8859-1, or export the file in UTF-8"
        ) from exc


def _tells_encoding(path: Path) -> bool:
    """Tell whether GDAL knows a Shapefile's encoding, and so makes UTF-8 of its texts."""
    try:
        return bool(pyogrio.read_info(path)["encoding"] == "UTF-8")
    except UnicodeDecodeError:
        return True  # the names of its fields belie what it tells


def _unpack_shapefile(archive: zipfile.ZipFile, target: Path, layer: str | None) -> None:
    """Write one Shapefile's parts as roads.shp, .shx, .dbf, .prj, .cpg into an empty folder."""
    members = {
        PurePosixPath(info.filename): info for info in archive.infolist() if not info.is_dir()
    }
    stems = sorted(
        name.with_suffix("")
        for name in members
        if name.suffix.lower() == ".shp" and "__MACOSX" not in name.parts
    )
    chosen = [stem for stem in stems if layer is None or stem.name == layer]
    if len(chosen) != 1:
        found = ", ".join(stem.name for stem in stems[:20]) or "none"
        raise BadInput(f"the zip must hold one Shapefile, or name one as layer; found: {found}")
    left = raw.MAX_UNPACKED_BYTES
    for name, info in members.items():
        suffix = name.suffix.lower()
        if name.with_suffix("") == chosen[0] and suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg"):
            with archive.open(info) as source, (target / f"roads{suffix}").open("wb") as sink:
                for block in iter(lambda s=source: s.read(1 << 20), b""):  # type: ignore[misc]
                    left -= len(block)
                    if left < 0:
                        raise BadInput(too_large("zip"))
                    sink.write(block)
    if not (target / "roads.shx").exists():
        raise BadInput("the zip lacks the Shapefile's .shx; zip all of its parts")
