"""Which way lines run, place by place."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray


def direction_at(lines: NDArray[np.object_], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (M, 2) unit vectors along (M,) lines of a metric plane, over two metres around a place."""
    length = shapely.length(lines)
    low, high = np.clip(at - 1.0, 0.0, None), np.minimum(at + 1.0, length)
    start, end = (
        shapely.get_coordinates(shapely.line_interpolate_point(lines, each)) for each in (low, high)
    )
    along = end - start
    unit: NDArray[np.float64] = along / np.maximum(np.hypot(*along.T), 1e-9)[:, None]
    return unit
