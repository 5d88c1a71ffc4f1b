"""Short names for the arrays that modules hand each other, and ways to fill them and take them apart."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

Objects = NDArray[np.object_]
"""Geometries or None, names or None: what numpy keeps by reference."""

Geometries = NDArray[np.object_]
"""shapely's geometries alone."""

POLYGON_TYPES = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


def polygonal(geometry: shapely.Geometry) -> shapely.MultiPolygon:
    """Return the polygons of a geometry, without its lines and points."""
    parts = shapely.get_parts(geometry)
    return shapely.MultiPolygon(
        list(parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON])
    )


def object_array(items: Collection[Any]) -> Objects:
    """Return (N,) items as they are; numpy.array would take those that have parts of their own apart."""
    array: Objects = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def in_blocks(values: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    """Yield at most `size` values at a time."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def counted(counts: Integers) -> tuple[Integers, Integers]:
    """Return (i, k) for every whole k with 0 <= k < counts[i]."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)


def ranges(first: Integers, last: Integers) -> tuple[Integers, Integers]:
    """Return (i, k) for every whole k with first[i] <= k < last[i]."""
    which, place = counted(np.maximum(last - first, 0))
    return which, first[which] + place
