"""Cuts roads into the segments that figures are given for: by linear reference, each with its pavement.

A road of length L is cut into n = max(1, round(L / length_m)) sections of equal true ground length, so
the last one is evened out. Positions run along the road from its `from_m` to its `to_m`: the agency's own
measures where the file has them, else true metres from the start. Lengths are geodesics (`chainage`).

A segment's key is its road's key and its nominal start, '<road_key>:<from_m + k length_m>'. The nominal
start is not evened out, so a road drawn a few metres longer next year keeps the keys of its segments.
"""

from __future__ import annotations

import logging

import geopandas
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pavemap.geo.chainage import measure
from pavemap.geo.crs import WGS84
from pavemap.geo.errors import BadInput
from pavemap.geo.pavement import lay_pavement
from pavemap.geo.roads import Network

log = logging.getLogger(__name__)

MIN_SEGMENT_M = 1.0
MAX_SEGMENTS = 5_000_000


def segment_network(network: Network, *, length_m: float | None = 100.0) -> geopandas.GeoDataFrame:
    """Cut a network into segments of about `length_m`, or (None) keep each road as one segment.

    Returns, in EPSG:4326 and in the order of roads and positions: segment_key (unique), road_key, name,
    from_m, to_m (linear reference), length_m (true ground), width_m, pavement_m2 (true ground), line
    (LineString), geometry (MultiPolygon, the pavement). No ground belongs to two pavements: the wider
    road keeps it, then the longer, then the lower key, then the earlier segment.
    Raises BadInput for a length under a metre, or one that makes too many segments.
    """
    if length_m is not None and not (np.isfinite(length_m) and length_m >= MIN_SEGMENT_M):
        raise BadInput(
            f"segments of {length_m} m can't be kept apart; give {MIN_SEGMENT_M:g} m or more"
        )
    roads = network.roads
    chainage = measure(roads.geometry.to_numpy())
    road_length = chainage.length_m
    count = np.ones(len(roads), dtype=np.int64)
    if length_m is not None:
        count = np.maximum(np.floor(road_length / length_m + 0.5), 1.0).astype(np.int64)
    if count.sum() > MAX_SEGMENTS:
        raise BadInput(f"that makes over {MAX_SEGMENTS:,} segments; give a greater segment length")
    road = np.repeat(np.arange(len(roads)), count)
    place = np.arange(len(road)) - np.repeat(np.cumsum(count) - count, count)
    start, end = place / count[road], (place + 1) / count[road]
    begin_m = _position(chainage.snapped(road, start * road_length[road]), start, road_length[road])
    end_m = _position(chainage.snapped(road, end * road_length[road]), end, road_length[road])
    lines = chainage.cut(road, begin_m, end_m)
    width_m = roads["width_m"].to_numpy(np.float64)[road]
    road_key = roads["road_key"].to_numpy(object)[road]
    pavements = lay_pavement(
        lines, width_m=width_m, precedence=_precedence(width_m, road_length[road], road, begin_m)
    )
    first, last = (roads[name].to_numpy(np.float64)[road] for name in ("from_m", "to_m"))
    per_metre = (last - first) / road_length[road]
    nominal = first + np.sign(per_metre) * place * (length_m or 0.0)
    covered = int((pavements.area_m2 == 0.0).sum())
    if covered:
        log.warning("%d segments have no pavement of their own: wider roads cover them", covered)
    log.info("cut %d roads into %d segments", len(roads), len(lines))
    return geopandas.GeoDataFrame(
        {
            "segment_key": _keys(road_key, nominal),
            "road_key": road_key,
            "name": roads["name"].to_numpy(object)[road],
            "from_m": first + begin_m * per_metre,
            "to_m": first + end_m * per_metre,
            "length_m": end_m - begin_m,
            "width_m": width_m,
            "pavement_m2": pavements.area_m2,
            "line": geopandas.GeoSeries(pd.Series(lines), crs=WGS84),
        },
        geometry=pavements.polygons,
        crs=WGS84,
    )


def _position(
    snapped: NDArray[np.float64], share: NDArray[np.float64], length: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Keep a road's two ends at exactly 0 and its length, whatever a cut next to them snapped to."""
    return np.where(share <= 0.0, 0.0, np.where(share >= 1.0, length, snapped))


def _precedence(
    width_m: NDArray[np.float64],
    road_length_m: NDArray[np.float64],
    road: NDArray[np.int64],
    begin_m: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Rank segments by width, then by their road's length (to 0.1 m, against rounding), key, position.

    Roads are sorted by key, so their index stands for it.
    """
    order = np.lexsort((begin_m, road, -np.round(road_length_m, 1), -np.round(width_m, 3)))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank


def _keys(road_key: NDArray[np.object_], nominal_m: NDArray[np.float64]) -> list[str]:
    rounded = np.round(nominal_m, 1) + 0.0
    return [f"{key}:{start:.10g}" for key, start in zip(road_key, rounded.tolist(), strict=True)]
