"""Groups of things that pairs of them hold together."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pavemap.geo.arrays import Integers


def groups(pairs: Integers, count: int) -> Integers:
    """Return for each of `count` things the number of its group, things being grouped by (P, 2) pairs."""
    links = coo_array((np.ones(len(pairs), np.int8), tuple(pairs.T)), shape=(count, count))
    number: Integers = connected_components(links, directed=False)[1].astype(np.int64)
    return number
