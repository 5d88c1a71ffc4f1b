"""Cuts roads into the segments that figures are given for: by linear reference, each with its pavement.

By length, a road of length L is cut into n = max(1, round(L / length_m)) sections of equal true ground
length, so the last one is evened out. By sections, each road of the file is one segment, as the agency drew
it. By intersections, roads are cut where they meet others, and perhaps by length in between. Positions run
along the road from its `from_m` to its `to_m`: the agency's own measures where the file has them, else true
metres from the start. Lengths are geodesics (`chainage`).

A segment's key is its road's key and its nominal start, '<road_key>:<from_m + k length_m>', or the agency's
name of the section. The nominal start is not evened out, so a road drawn a few metres longer keeps the keys
of its segments. Where a network replaces another, segments that go on keep their key (`lineage`).
"""

from __future__ import annotations

import logging
from typing import get_args

import geopandas
import numpy as np
import pandas as pd

from pavemap.geo.arrays import Floats, Integers, Objects
from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput
from pavemap.geo.roads import lineage
from pavemap.geo.roads.agency_pavement import AgencyPavement, share_pavement
from pavemap.geo.roads.chainage import Chainage, Ruler, lengths_m, measure
from pavemap.geo.roads.cuts import MIN_SEGMENT_M, Stretches
from pavemap.geo.roads.junctions import junctions_on
from pavemap.geo.roads.lineage import Previous
from pavemap.geo.roads.pavement import lay_pavement, network_plane
from pavemap.geo.roads.road_defaults import SEGMENT_LENGTH_M, SegmentsBy
from pavemap.geo.roads.road_keys import unique_keys
from pavemap.geo.roads.road_network import Network

log = logging.getLogger(__name__)

MAX_SEGMENTS = 5_000_000


def segment_network(
    network: Network,
    *,
    by: SegmentsBy = "length",
    length_m: float | None = SEGMENT_LENGTH_M,
    pavement: AgencyPavement | None = None,
    previous: Previous | None = None,
) -> geopandas.GeoDataFrame:
    """Cut a network into segments, each with the ground that is its own.

    `length_m` counts where roads are cut by length (None: each road is one segment). `pavement` holds the
    agency's polygons; without them pavement is the buffered centre-line. With `previous`, the segments of
    the network that this one replaces, those found again keep their key and their lineage.

    Returns, in EPSG:4326 and in the order of roads and positions: segment_key (unique), road_key, name,
    from_m, to_m (linear reference), length_m (true ground), width_m, width_source, lanes (int or None),
    oneway (bool or None), surface, lineage (the id under which its history began, or None), pavement_m2
    (true ground), line (LineString), geometry (MultiPolygon, the pavement). No ground belongs to two
    pavements: a road on a higher level keeps what imagery shows of it, a bridge's deck; on one level,
    where roads meet, the wider keeps the ground, then the longer, then the lower key, then the earlier
    segment, and between roads side by side it is halved. Polygons of the agency's are shared without
    levels.
    Raises BadInput for a length under a metre, or one that makes too many segments.
    """
    if by not in get_args(SegmentsBy):
        raise BadInput(f"segments can't be cut by '{by}'; use {', '.join(get_args(SegmentsBy))}")
    if length_m is not None and not (np.isfinite(length_m) and length_m >= MIN_SEGMENT_M):
        raise BadInput(
            f"segments of {length_m} m can't be kept apart; give {MIN_SEGMENT_M:g} m or more"
        )
    length_m = cutting_length(by, length_m)
    roads = network.roads
    chainage = measure(roads.geometry.to_numpy())
    stretches, goes_on = _cut(network, chainage, by=by, length_m=length_m, previous=previous)
    road, begin_m, end_m = stretches.road, stretches.begin_m, stretches.end_m
    lines = chainage.cut(road, begin_m, end_m)
    keys = _keys(roads, stretches, chainage.length_m, by=by)
    width_m = roads["width_m"].to_numpy(np.float64)[road]
    if pavement is None:
        level = roads["level"].to_numpy(np.int64)[road]
        precedence = _precedence(level, width_m, chainage.length_m[road], road, begin_m)
        pavements = lay_pavement(lines, width_m=width_m, precedence=precedence, level=level)
    else:
        pavements = share_pavement(pavement, lines)
    covered = int((pavements.area_m2 == 0.0).sum())
    if covered:
        log.warning("%d segments have no pavement of their own", covered)
    log.info("cut %d roads into %d segments", len(roads), len(lines))
    first, per_metre = _reference(roads, road, chainage.length_m)
    first_id: Objects = np.full(len(lines), None, dtype=object)
    if previous is not None:
        found = goes_on >= 0
        first_id[found] = previous.first_id[goes_on[found]].tolist()
        keys = _carried_keys(keys, previous.segment_key, goes_on)
    kept = ("width_source", "lanes", "oneway", "surface")
    return geopandas.GeoDataFrame(
        {
            "segment_key": keys,
            "road_key": roads["road_key"].to_numpy(object)[road],
            "name": roads["name"].to_numpy(object)[road],
            "from_m": first + begin_m * per_metre,
            "to_m": first + end_m * per_metre,
            "length_m": end_m - begin_m,
            "width_m": width_m,
            **{column: roads[column].to_numpy()[road] for column in kept},
            "lineage": first_id,
            "pavement_m2": pavements.area_m2,
            "line": geopandas.GeoSeries(pd.Series(lines), crs=WGS84),
        },
        geometry=pavements.polygons,
        crs=WGS84,
    )


def cutting_length(by: SegmentsBy, length_m: float | None) -> float | None:
    """Return the length that segments are cut to, None where they are not cut by length."""
    return length_m if by.endswith("length") else None


def _cut(
    network: Network,
    chainage: Chainage,
    *,
    by: SegmentsBy,
    length_m: float | None,
    previous: Previous | None,
) -> tuple[Stretches, Integers]:
    """Return the stretches of a network's roads, and which old segment each goes on with (or -1)."""
    roads = network.roads
    lines = roads.geometry.to_numpy()
    stretches = Stretches.between(
        np.empty(0, dtype=np.int64), np.empty(0), length_m=chainage.length_m
    )
    placed = None
    if by.startswith("intersections") or previous is not None:
        plane = network_plane(lines)
        ruler = Ruler.of(lines, plane)
        if previous is not None:
            placed = lineage.place(previous, ruler, roads["road_key"].to_numpy(object), plane)
        if by.startswith("intersections"):
            places = junctions_on(ruler, roads["level"].to_numpy(np.int64))
            stretches = Stretches.between(*places, length_m=chainage.length_m)
        elif placed is not None and length_m is not None and _cut_alike(previous, by, length_m):
            stretches = lineage.carried(placed, ruler, length_m)
    if length_m is not None:
        if stretches.parts(length_m).sum() > MAX_SEGMENTS:
            raise BadInput(
                f"that makes over {MAX_SEGMENTS:,} segments; give a greater segment length"
            )
        stretches = stretches.equally(length_m)
    stretches = stretches.snapped(chainage)
    if previous is None or placed is None:
        return stretches, np.full(len(stretches.road), -1, dtype=np.int64)
    return stretches, lineage.successors(placed, stretches, lengths_m(previous.lines))


def _cut_alike(previous: Previous | None, by: SegmentsBy, length_m: float) -> bool:
    """Old cuts hold only where the same kind of cut is asked for again."""
    return previous is not None and (previous.by, previous.length_m) == (by, length_m)


def _reference(
    roads: geopandas.GeoDataFrame, road: Integers, length_m: Floats
) -> tuple[Floats, Floats]:
    """Return, for (N,) segments, their road's first measure and the measure's change per true metre."""
    first, last = (roads[name].to_numpy(np.float64) for name in ("from_m", "to_m"))
    return first[road], ((last - first) / length_m)[road]


def _precedence(
    level: Integers, width_m: Floats, road_length_m: Floats, road: Integers, begin_m: Floats
) -> Integers:
    """Rank segments by level, highest first, then by width, road's length (to 0.1 m), key, position.

    Lengths are rounded against noise. Roads are sorted by key, so their index stands for it.
    """
    order = np.lexsort((begin_m, road, -np.round(road_length_m, 1), -np.round(width_m, 3), -level))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def _keys(
    roads: geopandas.GeoDataFrame, stretches: Stretches, length_m: Floats, *, by: SegmentsBy
) -> Objects:
    """Return the key of each segment: the agency's section, or the road's key and the nominal start."""
    first, per_metre = _reference(roads, stretches.road, length_m)
    # Where roads are cut by length alone, a nominal start is a whole number of lengths from the first.
    scale = np.sign(per_metre) if by == "length" else per_metre
    rounded = np.round(first + stretches.nominal_m * scale, 1) + 0.0
    road_key = roads["road_key"].to_numpy(object)[stretches.road]
    keys = [f"{key}:{start:.10g}" for key, start in zip(road_key, rounded.tolist(), strict=True)]
    if by == "sections":
        sections = roads["section"].tolist()
        keys = [section or key for section, key in zip(sections, keys, strict=True)]
    return unique_keys(pd.Series(keys, dtype=object)).to_numpy(object)


def _carried_keys(keys: Objects, old_keys: Objects, goes_on: Integers) -> Objects:
    """Give segments that go on the key that they had, and new ones a key that none of those has."""
    found = goes_on >= 0
    keys = keys.copy()
    keys[found] = old_keys[goes_on[found]]
    order = np.argsort(~found, kind="stable")
    unique = unique_keys(pd.Series(keys[order], dtype=object)).to_numpy(object)
    keys[order] = unique
    return keys
