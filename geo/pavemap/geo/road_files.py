"""Opens a user's file of lines or polygons with the one reader its suffix names, and nothing else.

Users' files are hostile until read. GDAL picks a driver by looking into a file, and some drivers reach
further than the file (a VRT names other files and URLs; the GeoJSON driver fetches a `crs` link), so:

- the first bytes must be those of the format that the suffix names, before any reader sees the file;
- GeoJSON is parsed here, without GDAL; GeoParquet by pyarrow;
- a GeoPackage with views or virtual tables is refused, since reading those runs the file's own SQL;
- a zip is unpacked, with a bound on what comes out, under names of ours, and only a Shapefile's parts.
"""

from __future__ import annotations

import json
import re
import sqlite3
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput
from pavemap.geo.zips import UNREADABLE

MAX_FEATURES = 1_000_000
MAX_GEOJSON_BYTES = 128 << 20
"""Parsed JSON takes about eight times its text in memory."""
MAX_UNPACKED_BYTES = 1 << 30
"""What a zip or a Parquet file may unfold to, on disk or in memory."""

FORMATS = "GeoPackage (.gpkg), GeoJSON (.geojson), zipped Shapefile (.zip) or GeoParquet (.parquet)"
Shapes = Literal["line", "polygon", "line or polygon"]
GEOJSON_TYPES: dict[Shapes, tuple[str, ...]] = {
    "line": ("LineString", "MultiLineString"),
    "polygon": ("Polygon", "MultiPolygon"),
    "line or polygon": ("LineString", "MultiLineString", "Polygon", "MultiPolygon"),
}
LAYER_TYPES: dict[Shapes, tuple[str, ...]] = {
    "line": ("LineString", "Curve"),
    "polygon": ("Polygon", "Surface"),
    "line or polygon": ("LineString", "Curve", "Polygon", "Surface"),
}
"""Parts of the names that GDAL gives to such layers."""

_READ_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    NotImplementedError,
    OSError,
    EOFError,
    MemoryError,
    pa.ArrowException,
    shapely.errors.ShapelyError,
)
"""What readers raise on broken bytes; anything else is a bug of ours and stays visible."""

_CRS_NAME = re.compile(
    r"(?:urn:(?:ogc:def|x-ogc:def):crs:)?(EPSG|ESRI|OGC):(?:[\d.]*:)?(\w+)", re.I
)


@dataclass(frozen=True)
class Wanted:
    """What to read of a file: named fields, those of some others that it has, and which shapes."""

    columns: tuple[str, ...] = ()
    optional: frozenset[str] = frozenset()
    """Names in lower case."""
    shapes: Shapes = "line"
    layer: str | None = None
    max_features: int = MAX_FEATURES
    what: str = "road lines"
    """What messages call the features."""

    def of(self, known: Iterable[object]) -> tuple[str, ...]:
        """Return the fields to read of those there are. Raises BadInput for a named one that isn't."""
        names = [str(name) for name in known]
        missing = [name for name in self.columns if name not in names]
        if missing:
            listed = ", ".join(sorted(names))[:500] or "none"
            raise BadInput(f"there is no field '{missing[0]}'; the file has: {listed}")
        more = [name for name in names if name.lower() in self.optional]
        return tuple(dict.fromkeys([*self.columns, *more]))


@dataclass(frozen=True)
class RawLines:
    """A file as it is: (N,) geometries (None where unreadable), the columns read, and the CRS."""

    geometries: NDArray[np.object_]
    columns: pd.DataFrame
    crs: CRS


def read_raw_lines(
    path: Path,
    *,
    layer: str | None = None,
    columns: Sequence[str] = (),
    optional: Iterable[str] = (),
    shapes: Shapes = "line",
    max_features: int = MAX_FEATURES,
    what: str | None = None,
) -> RawLines:
    """Read the geometries and the named columns of one layer.

    Columns whose name is among the `optional` ones, in whatever case, are read where they are there.
    With `shapes` of "polygon" polygons are wanted instead of lines. `what` is what messages call the
    features: by default road lines, or pavement polygons.

    Raises BadInput when the format is not offered, the bytes are not of it or are broken, the CRS is
    missing or a site's own, the layer must be chosen, a column is not there, or there are too many
    features.
    """
    said = what or ("road lines" if shapes == "line" else "pavement polygons")
    suffix = path.suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        hint = "; zip it with its .shx, .dbf and .prj" if suffix == ".shp" else ""
        raise BadInput(f"{said} can't be read from '{path.name}'{hint}; send {FORMATS}")
    named = tuple(dict.fromkeys(columns))
    wanted = Wanted(named, frozenset(optional), shapes, layer, max_features, said)
    try:
        raw = reader(path, wanted)
    except _READ_ERRORS as exc:
        raise BadInput(
            f"'{path.name}' can't be read as {suffix}: {str(exc)[:200]}; export it again as {FORMATS}"
        ) from exc
    _refuse_too_many(len(raw.geometries), max_features)
    if len(raw.geometries) == 0:
        raise BadInput(f"'{path.name}' holds no features; export the {said} again")
    if raw.crs.to_authority() == ("OGC", "CRS84"):
        raw = replace(raw, crs=WGS84)  # the same degrees, and x comes first in either here
    _refuse_placeless(raw.crs, path)
    return raw


def _read_geojson(path: Path, wanted: Wanted) -> RawLines:
    _refuse_layer(wanted.layer)
    if path.stat().st_size > MAX_GEOJSON_BYTES:
        raise BadInput(
            f"GeoJSON over {MAX_GEOJSON_BYTES >> 20} MiB isn't read; send it as GeoPackage or GeoParquet"
        )
    try:
        document = json.loads(path.read_bytes())
    except RecursionError as exc:
        raise BadInput("the GeoJSON is nested too deeply to be one; export it again") from exc
    if isinstance(document, dict) and document.get("type") == "Feature":
        document = {"features": [document], "crs": document.get("crs")}
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list):
        raise BadInput(f"the file is no GeoJSON FeatureCollection; export the {wanted.what} as one")
    _refuse_too_many(len(features), wanted.max_features)
    features = [feature if isinstance(feature, dict) else {} for feature in features]
    geometries = [_geometry_text(feature.get("geometry"), wanted.shapes) for feature in features]
    properties = [_as_dict(feature.get("properties")) for feature in features]
    known = dict.fromkeys(name for each in properties for name in each)
    columns = wanted.of(known) if features else wanted.columns
    return RawLines(
        shapely.from_geojson(np.array(geometries, dtype=object), on_invalid="ignore"),
        _object_frame({name: [each.get(name) for each in properties] for name in columns}),
        _geojson_crs(document.get("crs")),
    )


def _geometry_text(geometry: object, shapes: Shapes) -> str | None:
    """Return the JSON text of a wanted shape; of another an empty stand-in, so that it can be named."""
    if not isinstance(geometry, dict):
        return None
    kind = geometry.get("type")
    if kind in GEOJSON_TYPES[shapes]:
        return json.dumps({"type": kind, "coordinates": geometry.get("coordinates")})
    if kind in ("Point", "MultiPoint", *GEOJSON_TYPES["line"], *GEOJSON_TYPES["polygon"]):
        return json.dumps({"type": kind, "coordinates": []})
    return None


def _geojson_crs(member: object) -> CRS:
    """RFC 7946, section 4: WGS 84 in degrees, unless the old `crs` member names another by code."""
    if member is None:
        return WGS84
    name = str(_as_dict(_as_dict(member).get("properties")).get("name", ""))
    match = _CRS_NAME.fullmatch(name.strip())
    if match is None:
        raise BadInput(
            "the GeoJSON's 'crs' member names no EPSG code; leave it out and write degrees (RFC 7946)"
        )
    return CRS.from_authority(match[1].upper(), match[2])


def _read_parquet(path: Path, wanted: Wanted) -> RawLines:
    _refuse_layer(wanted.layer)
    _refuse_other_bytes(path, b"PAR1")
    with pa.parquet.ParquetFile(path) as file:
        _refuse_too_many(file.metadata.num_rows, wanted.max_features)
        names = file.schema_arrow.names
        geo = json.loads((file.schema_arrow.metadata or {}).get(b"geo", b"{}"))
        geometry = _as_dict(geo).get("primary_column")
        if not isinstance(geometry, str) or geometry not in names:
            raise BadInput(
                f"'{path.name}' has no GeoParquet metadata; write it with GDAL or GeoPandas"
            )
        columns = wanted.of(name for name in names if name != geometry)
        # A dictionary page can repeat one huge value a million times, so sizes are counted decoded.
        left = MAX_UNPACKED_BYTES
        for batch in file.iter_batches(1024, columns=[*columns, geometry]):
            left -= batch.nbytes
            if left < 0:
                raise BadInput(_too_large("file"))
    frame = geopandas.read_parquet(path, columns=[*columns, geometry])
    return _from_frame(frame, columns, path)


def _read_geopackage(path: Path, wanted: Wanted) -> RawLines:
    _refuse_other_bytes(path, b"SQLite format 3\x00")
    _refuse_own_sql(path)
    return _read_ogr(path, wanted, driver="GPKG")


def _refuse_own_sql(path: Path) -> None:
    """Refuse views and virtual tables, whose SQL would run with GDAL's functions (some use the net)."""
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as db:
            db.execute("PRAGMA trusted_schema = OFF")
            rows = db.execute("SELECT type, name, coalesce(sql, '') FROM sqlite_master").fetchall()
    except sqlite3.Error as exc:
        raise BadInput(f"'{path.name}' is a damaged GeoPackage ({exc}); export it again") from exc
    if not any(name == "gpkg_contents" for _, name, _ in rows):
        raise BadInput(f"'{path.name}' is a SQLite file but no GeoPackage; export it as one")
    for kind, name, sql in rows:
        virtual = re.match(r"\s*create\s+virtual\s+table", sql, re.I)
        if kind == "view" or (virtual and not re.search(r"\busing\s+\W?rtree\b", sql, re.I)):
            raise BadInput(
                f"the GeoPackage holds a view or virtual table ('{name}'), which isn't read; "
                "export the layer alone into a new GeoPackage"
            )


def _read_zip(path: Path, wanted: Wanted) -> RawLines:
    with tempfile.TemporaryDirectory(prefix="pavemap-roads-") as folder:
        target = Path(folder)
        try:
            with zipfile.ZipFile(path) as archive:
                _unpack_shapefile(archive, target, wanted.layer)
        except UNREADABLE as exc:
            raise BadInput(f"'{path.name}' can't be unzipped ({exc}); zip it again") from exc
        shapefile = target / "roads.shp"
        _refuse_other_bytes(shapefile, b"\x00\x00\x27\x0a")
        return _read_ogr(shapefile, replace(wanted, layer=None), driver="ESRI Shapefile")


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
    left = MAX_UNPACKED_BYTES
    for name, info in members.items():
        suffix = name.suffix.lower()
        if name.with_suffix("") == chosen[0] and suffix in (".shp", ".shx", ".dbf", ".prj", ".cpg"):
            with archive.open(info) as source, (target / f"roads{suffix}").open("wb") as sink:
                for block in iter(lambda s=source: s.read(1 << 20), b""):  # type: ignore[misc]
                    left -= len(block)
                    if left < 0:
                        raise BadInput(_too_large("zip"))
                    sink.write(block)
    if not (target / "roads.shx").exists():
        raise BadInput("the zip lacks the Shapefile's .shx; zip all of its parts")


def _read_ogr(path: Path, wanted: Wanted, *, driver: str) -> RawLines:
    with _quiet_about_measures():
        layer = _only_layer(path, wanted)
        info = pyogrio.read_info(path, layer=layer, force_feature_count=True)
        if info["driver"] != driver:
            raise BadInput(f"the file is no {driver} inside; send {FORMATS}")
        _refuse_too_many(info["features"], wanted.max_features)
        columns = wanted.of(info["fields"])
        options: dict[str, Any] = {
            "layer": layer,
            "columns": list(columns),
            "max_features": wanted.max_features + 1,
            "on_invalid": "ignore",
        }
        try:
            frame = pyogrio.read_dataframe(path, use_arrow=True, **options)
        except NotImplementedError:
            # Arcs come as chords through the other path only (which drops M, as arcs have none).
            frame = pyogrio.read_dataframe(path, use_arrow=False, **options)
    return _from_frame(frame, columns, path)


def _only_layer(path: Path, wanted: Wanted) -> str:
    """Return the asked layer, or the only one that may hold the shapes that are wanted."""
    layer = wanted.layer
    layers = [(str(name), kind) for name, kind in pyogrio.list_layers(path) if kind is not None]
    names = [name for name, _ in layers]
    if layer is not None:
        if layer not in names:
            raise BadInput(f"there is no layer '{layer}'; the file has: {', '.join(names[:20])}")
        return layer
    types = LAYER_TYPES[wanted.shapes]
    fitting = [name for name, kind in layers if any(part in kind for part in types)]
    candidates = fitting or [name for name, kind in layers if kind in ("Unknown", "Geometry")]
    if len(candidates) != 1:
        found = ", ".join(candidates or names)[:500] or "none"
        raise BadInput(f"name the layer that holds the {wanted.what}; the file has: {found}")
    return candidates[0]


@contextmanager
def _quiet_about_measures() -> Iterator[None]:
    """Silence GDAL's remarks on a file's oddities: pyogrio announces that M is dropped, and keeps it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _from_frame(frame: Any, columns: tuple[str, ...], path: Path) -> RawLines:
    if not isinstance(frame, geopandas.GeoDataFrame):
        raise BadInput(f"'{path.name}' has no geometry; export it with its lines or polygons")
    if frame.crs is None:
        raise BadInput(
            f"'{path.name}' does not say its coordinate reference system; add it (a .prj beside a "
            "Shapefile, or 'Assign projection' in a GIS), then send the file again"
        )
    try:
        crs = CRS.from_user_input(frame.crs)
    except CRSError as exc:
        raise BadInput(f"the CRS of '{path.name}' is not known; assign an EPSG code") from exc
    values = {name: list(frame[name]) for name in columns}
    return RawLines(np.asarray(frame.geometry.array, dtype=object), _object_frame(values), crs)


def _object_frame(values: dict[str, list[Any]]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in values.items()})


def _as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _refuse_placeless(crs: CRS, path: Path) -> None:
    """Refuse a CRS that no way leads out of, such as a drawing's or a building site's own."""
    try:
        if not (crs.is_projected or crs.is_geographic):
            raise CRSError(f"its type is {crs.type_name}")
        Transformer.from_crs(crs, WGS84)
    except ProjError as exc:
        raise BadInput(
            f"the CRS of '{path.name}', {crs.name}, does not lead to a place on the Earth ({exc}); "
            "assign the EPSG code of the one that it was drawn in"
        ) from exc


def _refuse_layer(layer: str | None) -> None:
    if layer is not None:
        raise BadInput("this format has no layers; leave the layer out")


def _refuse_too_many(count: int, most: int) -> None:
    if count > most:
        raise BadInput(f"the file holds over {most:,} features; split it by region")


def _too_large(container: str) -> str:
    return f"the {container} unfolds to over {MAX_UNPACKED_BYTES >> 20} MiB; send it in parts"


def _refuse_other_bytes(path: Path, magic: bytes) -> None:
    with path.open("rb") as file:
        if file.read(len(magic)) != magic:
            raise BadInput(f"'{path.name}' is not what its suffix says; send {FORMATS}")


_Reader = Callable[[Path, Wanted], RawLines]
_READERS: dict[str, _Reader] = {
    ".gpkg": _read_geopackage,
    ".geojson": _read_geojson,
    ".json": _read_geojson,
    ".zip": _read_zip,
    ".parquet": _read_parquet,
    ".geoparquet": _read_parquet,
}
