"""Reads an agency's road network and repairs what can be repaired, with a note for each repair.

A network comes out as one LineString per road in EPSG:4326, with a key, a width and a linear reference.
Lines are densified in the file's own CRS to edges of at most MAX_EDGE_M before they are moved, so that a
straight kilometre of a national grid stays where it was drawn. Every length is a geodesic (`chainage`), so
US feet, degrees, UTM and national grids give the same metres, over any number of zones.

The result does not depend on the order of the features: roads are sorted by key; a road without an id gets
one from its geometry; parts of a feature, and features that share an id, are numbered by their geometry.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import POLYGON_TYPES
from pavemap.geo.crs import WGS84, crs_text
from pavemap.geo.errors import BadInput
from pavemap.geo.roads.chainage import lengths_m
from pavemap.geo.roads.field_map import USUAL_NAMES, FieldMap
from pavemap.geo.roads.road_defaults import ROAD_WIDTH_M
from pavemap.geo.roads.road_keys import with_unique_keys
from pavemap.geo.roads.road_lines import to_degrees
from pavemap.geo.roads.road_table import MAX_WIDTH_M, MIN_WIDTH_M, ImportNote, RoadTable
from pavemap.geo.vector_files import MAX_FEATURES, read_raw_lines

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """Roads in EPSG:4326 sorted by key, the repairs made, and the CRS of the file.

    Columns of `roads`: road_key (unique), name and section ('' where none), width_m, width_source
    ('field', 'lanes' or 'default'), lanes (int, or None where not stated), oneway (bool, in the direction
    of the line, or None where not stated), surface ('' where not stated), level (0 on the ground),
    length_m (true ground), from_m and to_m (the linear reference at the line's two ends), geometry
    (LineString, at least 1 cm long).
    """

    roads: geopandas.GeoDataFrame
    report: list[ImportNote]
    source_crs: str

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the roads themselves, whatever file they came in and in which order."""
        roads = self.roads
        digest = hashlib.sha256()
        numbers = roads[["width_m", "from_m", "to_m"]].to_numpy(np.float64)
        told = [
            "road_key",
            "name",
            "section",
            "width_source",
            "lanes",
            "oneway",
            "surface",
            "level",
        ]
        for row in zip(*(roads[column] for column in told), strict=True):
            digest.update("\x00".join(map(str, row)).encode() + b"\x01")
        lines = roads.geometry.to_numpy()
        digest.update(np.round(numbers, 6).tobytes())
        digest.update(shapely.get_num_coordinates(lines).astype(np.int64).tobytes())
        digest.update(np.round(shapely.get_coordinates(lines), 9).tobytes())
        return digest.hexdigest()

    def summary(self) -> dict[str, int]:
        """Return how many features had each problem, the most frequent first."""
        counts: dict[str, int] = {}
        for note in self.report:
            kind = f"{note.problem}: {note.action}"
            counts[kind] = counts.get(kind, 0) + note.count
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def read_network(
    path: Path,
    *,
    layer: str | None = None,
    fields: FieldMap | None = None,
    default_width_m: float = ROAD_WIDTH_M,
    max_features: int = MAX_FEATURES,
    name: str | None = None,
) -> Network:
    """Read a road network from GeoPackage, GeoJSON, a Shapefile in a zip, or GeoParquet.

    A road's width is its width field, else lanes times LANE_WIDTH_M, else `default_width_m`. `name` is
    what messages call the file; by default its own name.
    Raises BadInput for a file that can't be read (`vector_files`) or in which no road is left.
    """
    fields = fields or FieldMap()
    if not MIN_WIDTH_M <= default_width_m <= MAX_WIDTH_M:
        raise BadInput(f"a default width of {default_width_m:g} m is no road; give 1 to 100 m")
    raw = read_raw_lines(
        Path(path),
        layer=layer,
        columns=fields.columns,
        optional=fields.optional,
        max_features=max_features,
        name=name,
    )
    table = RoadTable(raw, fields.completed([str(name) for name in raw.columns]))
    _tell_guesses(table, fields)
    if raw.assumed_encoding is not None:
        problem = "texts whose encoding nothing tells (no .cpg in the zip)"
        table.notes.append(ImportNote("", problem, f"read as {raw.assumed_encoding}"))
    flat = to_degrees(table.lines(), raw.crs, table)
    lines, feature = flat.lines, flat.feature
    if len(lines) == 0:
        raise BadInput(_why_no_road(table, name or Path(path).name))
    length = lengths_m(lines)
    from_m, to_m = flat.measures(length)
    width, source = table.widths(default_width_m)
    roads = pd.DataFrame(
        {
            "road_key": _objects(table.ids)[feature],
            "name": _objects(table.names)[feature],
            "section": _objects(table.sections)[feature],
            "width_m": width[feature],
            "width_source": source[feature],
            "lanes": whole_or_none(table.lanes)[feature],
            "oneway": _true_or_none(table.oneway)[feature],
            "surface": _objects(table.surfaces)[feature],
            "level": table.levels[feature],
            "length_m": length,
            "from_m": from_m,
            "to_m": to_m,
            "geometry": lines,
        }
    )
    roads = with_unique_keys(roads, feature, table)
    log.info("read %d roads, %.1f km, from %s", len(roads), length.sum() / 1000.0, Path(path).name)
    return Network(
        geopandas.GeoDataFrame(roads, geometry="geometry", crs=WGS84),
        table.notes,
        crs_text(raw.crs),
    )


def whole_or_none(values: NDArray[np.float64]) -> NDArray[np.object_]:
    """Return numbers as whole ones (halves upwards), None where they are NaN."""
    whole = [None if np.isnan(value) else int(value + 0.5) for value in values.tolist()]
    return _objects(whole)


def _true_or_none(values: NDArray[np.float64]) -> NDArray[np.object_]:
    """Return whether numbers differ from 0, None where they are NaN."""
    return _objects([None if np.isnan(value) else value != 0.0 for value in values.tolist()])


def _objects(values: Sequence[object]) -> NDArray[np.object_]:
    return np.array(values, dtype=object)


def _why_no_road(table: RoadTable, file: str) -> str:
    """Say why no feature of a file is a road, and what to give where they are polygons."""
    kinds = shapely.get_type_id(table.raw.geometries)
    if np.isin(kinds[kinds != -1], POLYGON_TYPES).all() and (kinds != -1).any():
        return (
            f"'{file}' holds polygons: the centre-lines of the roads are needed; an agency's pavement "
            "polygons go beside them (`pavemap network import --pavement`)"
        )
    reasons = {note.problem for note in table.notes if note.action.startswith("left out")}
    return "no road line is left to use: " + "; ".join(sorted(reasons)[:5])


def _tell_guesses(table: RoadTable, asked: FieldMap) -> None:
    """Note which fields were found by their name, so that a wrong one can be seen and named."""
    for each in USUAL_NAMES:
        found = getattr(table.fields, each)
        if found is not None and getattr(asked, each) is None:
            action = f"read as {each}; name another field if it is not"
            table.notes.append(ImportNote("", f"a field '{found}'", action, table.count))
