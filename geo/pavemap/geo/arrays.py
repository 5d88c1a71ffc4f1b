"""Short names for the arrays that modules hand each other, and ways to fill one: by objects, by counts."""

from __future__ import annotations

from collections.abc import Collection
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


def object_array(items: Collection[Any]) -> Objects:
    """Return (N,) items as they are; numpy.array would take those that have parts of their own apart."""
    array: Objects = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def counted(counts: Integers) -> tuple[Integers, Integers]:
    """Return (i, k) for every whole k with 0 <= k < counts[i]."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)


def ranges(first: Integers, last: Integers) -> tuple[Integers, Integers]:
    """Return (i, k) for every whole k with first[i] <= k < last[i]."""
    which, place = counted(np.maximum(last - first, 0))
    return which, first[which] + place
