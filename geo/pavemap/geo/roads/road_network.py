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
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.crs import WGS84, crs_text, reproject, unit_of
from pavemap.geo.errors import BadInput
from pavemap.geo.roads.chainage import lengths_m
from pavemap.geo.roads.lanes import LANE_WIDTH_M
from pavemap.geo.roads.road_defaults import ROAD_WIDTH_M
from pavemap.geo.roads.road_table import (
    MAX_WIDTH_M,
    MIN_WIDTH_M,
    USUAL_NAMES,
    FieldMap,
    FlatLines,
    ImportNote,
    RoadTable,
)
from pavemap.geo.vector_files import MAX_FEATURES, read_raw_lines

log = logging.getLogger(__name__)

MAX_EDGE_M = 500.0
"""A straight edge this long in a projection leaves the geodesic by about a centimetre."""
EARTH_RADIUS_M = 6_371_000.0
"""Mean radius, for what may be a third of a percent off."""
STRAY_M = 0.01
"""Vertices nearer than this to the one before are left out; ends stay."""
BACK_STEP_M, BACK_STEP_TURN = 1.0, np.radians(150.0)
"""A vertex on an edge shorter than this, at which the line turns by more, is a slip of the drawing."""
MAX_VERTICES = 10_000_000
"""Some five million kilometres of road: more is a wrong CRS or an attack."""
MIN_LENGTH_M = 0.01
POLYGON_TYPES = (3, 6)
"""shapely's numbers of Polygon and MultiPolygon."""


@dataclass(frozen=True)
class Network:
    """Roads in EPSG:4326 sorted by key, the repairs made, and the CRS of the file.

    Columns of `roads`: road_key (unique), name and section ('' where none), width_m, width_source
    ('field', 'lanes' or 'default'), lanes (int, or None where not stated), oneway (in the direction of the
    line), surface ('' where not stated), level (0 on the ground), length_m (true ground), from_m and to_m
    (the linear reference at the line's two ends), geometry (LineString, at least 1 cm long).
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
    lane_width_m: float = LANE_WIDTH_M,
    max_features: int = MAX_FEATURES,
    name: str | None = None,
) -> Network:
    """Read a road network from GeoPackage, GeoJSON, a Shapefile in a zip, or GeoParquet.

    A road's width is its width field, else lanes times `lane_width_m`, else `default_width_m`. `name` is
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
    flat = _to_degrees(table.lines(), raw.crs, table)
    lines, feature = flat.lines, flat.feature
    if len(lines) == 0:
        raise BadInput(_why_no_road(table, name or Path(path).name))
    length = lengths_m(lines)
    from_m, to_m = flat.measures(length)
    width, source = table.widths(default_width_m, lane_width_m)
    roads = pd.DataFrame(
        {
            "road_key": _objects(table.ids)[feature],
            "name": _objects(table.names)[feature],
            "section": _objects(table.sections)[feature],
            "width_m": width[feature],
            "width_source": source[feature],
            "lanes": whole_or_none(table.lanes)[feature],
            "oneway": (table.oneway != 0.0)[feature],
            "surface": _objects(table.surfaces)[feature],
            "level": table.levels[feature],
            "length_m": length,
            "from_m": from_m,
            "to_m": to_m,
            "geometry": lines,
        }
    )
    roads = _with_unique_keys(roads, feature, table)
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


def _to_degrees(flat: FlatLines, crs: CRS, table: RoadTable) -> FlatLines:
    """Densify lines in their own CRS and move them to EPSG:4326, leaving out what has no length there."""
    corners = shapely.bounds(flat.lines).reshape(-1, 2, 2)
    ends = np.asarray(reproject(shapely.points(corners), crs, WGS84))
    lon, lat = np.asarray(shapely.get_x(ends)), np.asarray(shapely.get_y(ends))
    lon[~np.isfinite(lon)] = np.nan
    on_earth = (np.abs(lat) <= 90.0).all(axis=1)
    keep = on_earth & (np.abs(lon) <= 180.0).all(axis=1) & (np.abs(lon[:, 1] - lon[:, 0]) < 180.0)
    torn = on_earth & ~keep & _across_180(lon)
    off = ~(keep | torn)
    table.note(flat.feature[off], "coordinates off the Earth in the file's CRS", "left out")
    table.note(flat.feature[torn], "crosses the 180th meridian", "left out; cut it there in a GIS")
    if len(flat.lines) and off.all():
        raise BadInput(
            f"no coordinate of the file fits its CRS, {crs.name}; GeoJSON must be in degrees (RFC 7946), "
            "other files need the CRS that they were drawn in"
        )
    flat = flat[keep]
    step = _edge_in_units_of(crs)
    # A vertex within a hair of the end would turn the road's last edge, and its strip's end, about.
    clear = shapely.remove_repeated_points(flat.lines, step * STRAY_M / MAX_EDGE_M)
    flat = replace(flat, lines=np.asarray(clear))
    still = shapely.length(flat.lines) == 0.0  # GEOS can't densify a line that stays where it is
    table.note(flat.feature[still], "zero length", "left out")
    flat = flat[~still]
    lines = flat.lines
    if shapely.length(lines).sum() / step + shapely.get_num_coordinates(lines).sum() > MAX_VERTICES:
        raise BadInput(
            f"the roads are too long or too detailed to be true in {crs.name}; check the CRS"
        )
    lines = reproject(shapely.segmentize(lines, step), crs, WGS84)
    lines, stepped = _without_back_steps(np.asarray(shapely.remove_repeated_points(lines)))
    table.note(flat.feature[stepped], "a step back of less than a metre", "straightened")
    flat = replace(flat, lines=lines)
    short = ~(lengths_m(flat.lines) >= MIN_LENGTH_M)
    table.note(flat.feature[short], "zero length", "left out")
    return flat[~short]


def _without_back_steps(
    lines: NDArray[np.object_],
) -> tuple[NDArray[np.object_], NDArray[np.bool_]]:
    """Leave out the vertices at which (N,) lines in degrees step back, and say which lines had any.

    A step back has two such vertices, a spike one: of two neighbours the first is left out. It is done
    once, so that a road drawn there and back keeps its length but for one edge. Ends stay.
    """
    points, owner = shapely.get_coordinates(lines, return_index=True)
    metres = np.radians(1.0) * EARTH_RADIUS_M * np.diff(points, axis=0)
    metres[:, 0] *= np.cos(np.radians(points[1:, 1]))
    before, after = metres[:-1], metres[1:]
    size = np.hypot(*metres.T)
    reverses = (before * after).sum(axis=1) < np.cos(BACK_STEP_TURN) * size[:-1] * size[1:]
    back = np.zeros(len(points), np.bool_)
    back[1:-1] = reverses & (np.minimum(size[:-1], size[1:]) < BACK_STEP_M)
    back[1:-1] &= owner[2:] == owner[:-2]
    place = np.arange(len(points))
    run = place - np.maximum.accumulate(np.where(back, 0, place))
    out = back & (run % 2 == 1)
    stepped = np.zeros(len(lines), np.bool_)
    stepped[owner[out]] = True
    kept = ~out & stepped[owner]
    number = np.cumsum(stepped) - 1
    straight = lines.copy()
    left = shapely.linestrings(points[kept], indices=number[owner[kept]])
    straight[stepped] = shapely.remove_repeated_points(left)  # of a spike, both its feet
    return straight, stepped


def _across_180(lon: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which pairs (N, 2) of longitudes lie on either side of the 180th meridian.

    They go on into another turn (179.9, 180.1) or jump (179.9, -179.9), but not both.
    """
    turn = np.floor((lon + 180.0) / 360.0)
    goes_on = np.abs(turn[:, 1] - turn[:, 0]) == 1.0
    jumps = np.abs(lon[:, 1] - lon[:, 0]) >= 180.0
    across: NDArray[np.bool_] = goes_on != jumps
    return across


def _edge_in_units_of(crs: CRS) -> float:
    """Return MAX_EDGE_M in the units of a CRS: degrees of latitude, metres or feet."""
    metres = unit_of(crs) * (EARTH_RADIUS_M if crs.is_geographic else 1.0)
    return MAX_EDGE_M / metres if metres > 0.0 else MAX_EDGE_M


def _with_unique_keys(
    roads: pd.DataFrame, feature: NDArray[np.int64], table: RoadTable
) -> pd.DataFrame:
    """Sort roads by key, drop what is drawn twice, number the roads that share an id."""
    shapes = _shape_digests(roads["geometry"].to_numpy())
    nameless = (roads["road_key"] == "").to_numpy()
    if table.fields.road_id is not None:
        table.note(feature[nameless], "no id", "one made from its geometry")
    roads.loc[nameless, "road_key"] = shapes[nameless]
    roads = roads.assign(shape=shapes, feature=feature)
    roads = roads.sort_values(["road_key", "from_m", "shape", "width_m", "name"], kind="stable")
    twice = roads.duplicated(["road_key", "shape", "from_m"]).to_numpy()
    table.note(roads["feature"].to_numpy()[twice], "the same road again", "left out")
    roads = roads[~twice]
    shared = roads.duplicated("road_key", keep=False).to_numpy()
    parts = roads.duplicated(["road_key", "feature"], keep=False).to_numpy()
    table.note(
        roads["feature"].to_numpy()[shared & ~parts], "an id that other features have", "numbered"
    )
    number = roads.groupby("road_key", sort=False).cumcount() + 1
    keys = roads["road_key"].where(~shared, roads["road_key"] + "/" + number.astype(str))
    roads = roads.assign(road_key=unique_keys(keys)).sort_values("road_key", kind="stable")
    return roads.drop(columns=["shape", "feature"]).reset_index(drop=True)


def unique_keys(keys: pd.Series) -> pd.Series:
    """Number keys that are there more than once, the first of each excepted: 'A', 'A~1', 'A~2'."""
    while keys.duplicated().any():
        again = keys.groupby(keys, sort=False).cumcount()
        keys = keys.where(again == 0, keys + "~" + again.astype(str))
    return keys


def _shape_digests(lines: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return a short name for each line from its coordinates to a tenth of a metre.

    It is the same in both directions: a directed graph, such as OSMnx writes, has each street twice.
    """
    rounded = shapely.transform(lines, lambda points: np.round(points, 6) + 0.0)
    ways = zip(shapely.to_wkb(rounded), shapely.to_wkb(shapely.reverse(rounded)), strict=True)
    names = [hashlib.blake2b(min(way), digest_size=6).hexdigest() for way in ways]
    return np.array(names, dtype=object)
