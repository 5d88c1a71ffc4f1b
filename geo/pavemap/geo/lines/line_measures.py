"""Measures of lines that carry their width: length, width and area."""

from __future__ import annotations

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.arrays import Geometries
from pavemap.geo.crs import ground_scales
from pavemap.geo.lines.flat_lines import Polylines
from pavemap.geo.lines.line_widths import width_quantile

Scale = float | NDArray[np.float64]


def true_line_stats(lines: Geometries, crs: CRS) -> pd.DataFrame:
    """Measure lines of a metric CRS as `line_stats` does, each by the ground scale at its middle."""
    west, south, east, north = shapely.bounds(lines).reshape(-1, 4).T
    return line_stats(lines, scale=ground_scales(crs, (west + east) / 2.0, (south + north) / 2.0))


def line_stats(lines: Geometries, *, scale: Scale = 1.0) -> pd.DataFrame:
    """Measure lines whose z is their width in mm (0 where unknown); one row each.

    scale: projected per true metres, one for all or (N,). Columns: length_m (true metres),
    width_mean_mm (mean along the line, not over its vertices; 0 if unknown), width_p95_mm (what 95 %
    of the length does not exceed), width_max_mm, area_m2 (the integral of width along the line).
    """
    flat = Polylines.from_shapely(lines)
    count = len(flat)
    steps = np.diff(flat.points, axis=0)
    length = np.hypot(steps[:, 0], steps[:, 1])
    start, stop = flat.points[:-1, 2], flat.points[1:, 2]
    known = (start > 0.0) & (stop > 0.0)
    line = np.repeat(np.arange(count), flat.sizes)
    within = line[:-1] == line[1:]
    owner = line[:-1][within]
    total = np.bincount(owner, length[within], minlength=count)
    with_width = np.bincount(owner, (length * known)[within], minlength=count)
    width_by_length = (length * known * (start + stop) / 2.0)[within]
    integral = np.bincount(owner, width_by_length, minlength=count)
    mean = np.divide(integral, with_width, out=np.zeros(count), where=with_width > 0.0)
    widest = np.maximum.reduceat(flat.points[:, 2], flat.offsets[:-1]) if count else np.zeros(0)
    return pd.DataFrame(
        {
            "length_m": total / scale,
            "width_mean_mm": mean,
            "width_p95_mm": width_quantile(flat, 0.95),
            "width_max_mm": widest,
            "area_m2": integral / 1000.0 / scale,
        }
    )
