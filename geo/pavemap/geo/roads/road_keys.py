"""The keys of roads: unique, and the same whatever the order of the features."""

from __future__ import annotations

import hashlib

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from pavemap.geo.roads.road_table import RoadTable


def with_unique_keys(
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
