"""Short names for the arrays that modules hand each other, and the way to fill one with objects."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

Objects = NDArray[np.object_]
"""Geometries or None, names or None: what numpy keeps by reference."""

Geometries = NDArray[np.object_]
"""shapely's geometries alone."""


def object_array(items: Collection[Any]) -> Objects:
    """Return (N,) items as they are; numpy.array would take those that have parts of their own apart."""
    array: Objects = np.empty(len(items), dtype=object)
    array[:] = items
    return array
