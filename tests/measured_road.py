"""The road of docs/measures.md, 30 m of two lanes with four cracks, and helpers to draw others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from pavemap.geo.lines.pieces import cut_by_segments

Point = tuple[float, float]


def crack(points: Iterable[Point], width_mm: float) -> shapely.LineString:
    """Draw a crack of one width."""
    return shapely.LineString([(x, y, width_mm) for x, y in points])


def grid(
    corner: Point, *, columns: int, rows: int, size: float, width_mm: float = 4.0
) -> list[shapely.LineString]:
    """Draw a network of square cells, one line for each side of a cell."""
    x, y = (
        [corner[axis] + size * k for k in range(count + 1)]
        for axis, count in enumerate((columns, rows))
    )
    flat = [
        crack([(x[i], y[j]), (x[i + 1], y[j])], width_mm)
        for i in range(columns)
        for j in range(rows + 1)
    ]
    up = [
        crack([(x[i], y[j]), (x[i], y[j + 1])], width_mm)
        for i in range(columns + 1)
        for j in range(rows)
    ]
    return flat + up


def road(
    points: Iterable[Point] = ((0, 0), (30, 0)),
    *,
    key: str = "a",
    width_m: float = 7.0,
    lanes: float = 2,
) -> pd.DataFrame:
    """Lay one segment along a line, its pavement a buffer with flat ends."""
    line = shapely.LineString(list(points))
    return pd.DataFrame(
        {
            "segment_id": [key],
            "line": [line],
            "pavement": [line.buffer(width_m / 2, cap_style="flat")],
            "width_m": [width_m],
            "lanes": [lanes],
            "oneway": [False],
        }
    )


def pieces(lines: Iterable[shapely.LineString], key: str = "a") -> pd.DataFrame:
    """Put lines on one segment, each a crack of its own."""
    geometry = list(lines)
    return pd.DataFrame({"segment_id": key, "crack_id": range(len(geometry)), "geometry": geometry})


def cut(lines: list[shapely.LineString], segments: pd.DataFrame) -> pd.DataFrame:
    """Cut lines by the pavements of segments, as a survey does."""
    pavements: NDArray[np.object_] = segments["pavement"].to_numpy(object)
    line, segment, parts = cut_by_segments(np.array(lines, object), pavements)
    keys = segments["segment_id"].to_numpy()[segment]
    return pd.DataFrame({"segment_id": keys, "crack_id": line, "geometry": parts})


def figures(table: pd.DataFrame, key: str = "a") -> dict[str, Any]:
    """Return the figures of one segment by name."""
    return {str(name): value for name, value in table.loc[key].items()}


LONGITUDINAL = crack([(5, -1), (12, -1)], 5.0)
TRANSVERSE = crack([(20.5, -3.4), (20.5, 0.1)], 12.0)
DIAGONAL = crack([(25.5, 1), (28.5, 2.5)], 20.0)
ALLIGATOR = grid((15.1, 2.3), columns=4, rows=3, size=0.2)
CRACKS = [LONGITUDINAL, TRANSVERSE, DIAGONAL, *ALLIGATOR]
