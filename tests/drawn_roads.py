"""Roads drawn in metres around one point of the Earth, so that a test can compute lengths by hand."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.roads.field_map import FieldMap
from pavemap.geo.roads.road_network import Network, read_network

ORIGIN_LON, ORIGIN_LAT = 5.6, 50.6
PLANE = CRS.from_dict(
    {"proj": "stere", "datum": "WGS84", "lon_0": ORIGIN_LON, "lat_0": ORIGIN_LAT, "units": "m"}
)
"""True metres around the origin: the scale leaves 1 by 1e-8 within a kilometre."""

FIELDS = FieldMap(road_id="id", name="name", width="width")
Line = Sequence[tuple[float, float]]


def in_degrees(lines: Sequence[Line]) -> NDArray[np.object_]:
    """Return drawn lines (metres) as (N,) LineStrings in EPSG:4326."""
    drawn = np.array([shapely.LineString(line) for line in lines], dtype=object)
    return np.asarray(reproject(drawn, PLANE, WGS84), dtype=object)


def in_metres(geometries: object) -> NDArray[np.object_]:
    """Return geometries in EPSG:4326 as they lie in the drawing."""
    return np.asarray(reproject(np.asarray(geometries, dtype=object), WGS84, PLANE), dtype=object)


def feature(geometry: Mapping[str, Any] | None, **properties: object) -> dict[str, object]:
    """Return a GeoJSON feature."""
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def line(points: Sequence[Sequence[float]]) -> dict[str, object]:
    """Return a GeoJSON LineString."""
    return {"type": "LineString", "coordinates": [list(point) for point in points]}


def write_geojson(path: Path, features: Sequence[object], **members: object) -> Path:
    """Write a FeatureCollection and return its path."""
    path.write_text(
        json.dumps({"type": "FeatureCollection", "features": list(features), **members})
    )
    return path


def drawn_network(
    roads: Mapping[str, tuple[Line, float]], *, levels: Mapping[str, int] | None = None
) -> Network:
    """Read a network of drawn roads, id -> (line in metres, width in metres), through a real file.

    `levels` has the level of those that are not on the ground.
    """
    levels = levels or {}
    lines = in_degrees([drawn for drawn, _ in roads.values()])
    features = [
        feature(
            line(shapely.get_coordinates(each).tolist()),
            id=key,
            name=f"road {key}",
            width=width,
            layer=levels.get(key, 0),
        )
        for each, (key, (_, width)) in zip(lines, roads.items(), strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = write_geojson(Path(folder) / "roads.geojson", features)
        return read_network(path, fields=FIELDS)
