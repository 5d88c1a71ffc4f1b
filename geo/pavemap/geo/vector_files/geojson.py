"""GeoJSON, parsed here: GDAL's driver would fetch what a `crs` link names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pyproj import CRS

from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput
from pavemap.geo.vector_files.raw import (
    RawLines,
    Shapes,
    Wanted,
    object_frame,
    refuse_layer,
    refuse_too_many,
)

MAX_BYTES = 128 << 20
"""Parsed JSON takes about eight times its text in memory."""

_TYPES: dict[Shapes, tuple[str, ...]] = {
    "line": ("LineString", "MultiLineString"),
    "polygon": ("Polygon", "MultiPolygon"),
    "line or polygon": ("LineString", "MultiLineString", "Polygon", "MultiPolygon"),
}
_CRS_NAME = re.compile(
    r"(?:urn:(?:ogc:def|x-ogc:def):crs:)?(EPSG|ESRI|OGC):(?:[\d.]*:)?(\w+)", re.I
)


def read_geojson(path: Path, wanted: Wanted) -> RawLines:
    """Read a FeatureCollection, or one Feature. Raises BadInput."""
    refuse_layer(wanted.layer)
    if path.stat().st_size > MAX_BYTES:
        raise BadInput(
            f"GeoJSON over {MAX_BYTES >> 20} MiB isn't read; send it as GeoPackage or GeoParquet"
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
    refuse_too_many(len(features), wanted.max_features)
    features = [feature if isinstance(feature, dict) else {} for feature in features]
    geometries = [_geometry_text(feature.get("geometry"), wanted.shapes) for feature in features]
    properties = [_as_dict(feature.get("properties")) for feature in features]
    known = dict.fromkeys(name for each in properties for name in each)
    columns = wanted.of(known) if features else wanted.columns
    return RawLines(
        shapely.from_geojson(np.array(geometries, dtype=object), on_invalid="ignore"),
        object_frame({name: [each.get(name) for each in properties] for name in columns}),
        _crs_of(document.get("crs")),
    )


def _geometry_text(geometry: object, shapes: Shapes) -> str | None:
    """Return the JSON text of a wanted shape; of another an empty stand-in, so that it can be named."""
    if not isinstance(geometry, dict):
        return None
    kind = geometry.get("type")
    if kind in _TYPES[shapes]:
        return json.dumps({"type": kind, "coordinates": geometry.get("coordinates")})
    if kind in ("Point", "MultiPoint", *_TYPES["line"], *_TYPES["polygon"]):
        return json.dumps({"type": kind, "coordinates": []})
    return None


def _crs_of(member: object) -> CRS:
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


def _as_dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
