"""Opens a user's file of lines or polygons with the one reader its suffix names, and nothing else.

Users' files are hostile until read. GDAL picks a driver by looking into a file, and some drivers reach
further than the file (a VRT names other files and URLs; the GeoJSON driver fetches a `crs` link), so:

- the first bytes must be those of the format that the suffix names, before any reader sees the file;
- GeoJSON is parsed without GDAL; GeoParquet by pyarrow;
- a GeoPackage with views or virtual tables is refused, since reading those runs the file's own SQL;
- a zip is unpacked, with a bound on what comes out, under names of ours, and only a Shapefile's parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput
from pavemap.geo.vector_files.geojson import read_geojson
from pavemap.geo.vector_files.geopackage import read_geopackage
from pavemap.geo.vector_files.parquet import read_parquet
from pavemap.geo.vector_files.raw import (
    FORMATS,
    MAX_FEATURES,
    RawLines,
    Shapes,
    Wanted,
    refuse_too_many,
)
from pavemap.geo.vector_files.shapefile import read_zip

__all__ = ["MAX_FEATURES", "RawLines", "Shapes", "read_raw_lines"]

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


def read_raw_lines(
    path: Path,
    *,
    layer: str | None = None,
    columns: Sequence[str] = (),
    optional: Iterable[str] = (),
    shapes: Shapes = "line",
    max_features: int = MAX_FEATURES,
    what: str | None = None,
    name: str | None = None,
) -> RawLines:
    """Read the geometries and the named columns of one layer.

    Columns whose name is among the `optional` ones, in whatever case, are read where they are there.
    With `shapes` of "polygon" polygons are wanted instead of lines. `what` is what messages call the
    features: by default road lines, or pavement polygons; `name` what they call the file: by default
    its own name.

    Raises BadInput when the format is not offered, the bytes are not of it or are broken, the CRS is
    missing or a site's own, the layer must be chosen, a column is not there, or there are too many
    features.
    """
    said = what or ("road lines" if shapes == "line" else "pavement polygons")
    file = path.name if name is None else name
    suffix = path.suffix.lower()
    reader = _READERS.get(suffix)
    if reader is None:
        hint = "; zip it with its .shx, .dbf and .prj" if suffix == ".shp" else ""
        raise BadInput(f"{said} can't be read from '{file}'{hint}; send {FORMATS}")
    named = tuple(dict.fromkeys(columns))
    wanted = Wanted(named, frozenset(optional), shapes, layer, max_features, said, file)
    try:
        raw = reader(path, wanted)
    except _READ_ERRORS as exc:
        raise BadInput(
            f"'{file}' can't be read as {suffix}: {str(exc)[:200]}; export it again as {FORMATS}"
        ) from exc
    refuse_too_many(len(raw.geometries), max_features)
    if len(raw.geometries) == 0:
        raise BadInput(f"'{file}' holds no features; export the {said} again")
    if raw.crs.to_authority() == ("OGC", "CRS84"):
        raw = replace(raw, crs=WGS84)  # the same degrees, and x comes first in either here
    _refuse_placeless(raw.crs, file)
    return raw


def _refuse_placeless(crs: CRS, file: str) -> None:
    """Refuse a CRS that no way leads out of, such as a drawing's or a building site's own."""
    try:
        if not (crs.is_projected or crs.is_geographic):
            raise CRSError(f"its type is {crs.type_name}")
        Transformer.from_crs(crs, WGS84)
    except ProjError as exc:
        raise BadInput(
            f"the CRS of '{file}', {crs.name}, does not lead to a place on the Earth ({exc}); "
            "assign the EPSG code of the one that it was drawn in"
        ) from exc


_Reader = Callable[[Path, Wanted], RawLines]
_READERS: dict[str, _Reader] = {
    ".gpkg": read_geopackage,
    ".geojson": read_geojson,
    ".json": read_geojson,
    ".zip": read_zip,
    ".parquet": read_parquet,
    ".geoparquet": read_parquet,
}
