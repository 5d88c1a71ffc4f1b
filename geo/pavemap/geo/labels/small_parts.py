"""Cuts large polygons in parts that a search by place can choose from."""

from __future__ import annotations

import numpy as np
import shapely

from pavemap.geo.arrays import Objects, object_array

MOST_CORNERS = 256
LEAST_SIDE_M = 10.0
"""No part is cut further: all its corners may stand in one place."""


def in_small_parts(polygons: Objects) -> Objects:
    """Cut polygons of a metric CRS in halves until each has few corners; they cover the same ground.

    What is painted for one window then costs what lies there, and not the streets of a whole town.
    """
    done: list[Objects] = []
    parts = shapely.get_parts(polygons)
    while len(parts):
        sides = np.diff(shapely.bounds(parts).reshape(-1, 2, 2), axis=1).max(axis=(1, 2))
        large = (shapely.get_num_coordinates(parts) > MOST_CORNERS) & (sides > LEAST_SIDE_M)
        done.append(parts[~large])
        parts = _halves(parts[large])
    return np.concatenate([object_array([]), *done])


def _halves(polygons: Objects) -> Objects:
    """Cut each polygon across the middle of its longer side."""
    halves = []
    for polygon in polygons:
        west, south, east, north = shapely.bounds(polygon).tolist()
        x, y = (west + east) / 2, (south + north) / 2
        if east - west > north - south:
            boxes = [(west, south, x, north), (x, south, east, north)]
        else:
            boxes = [(west, south, east, y), (west, y, east, north)]
        halves += [shapely.clip_by_rect(polygon, *box) for box in boxes]
    parts = shapely.get_parts(object_array(halves))
    return np.asarray(parts[shapely.area(parts) > 0.0], object)
