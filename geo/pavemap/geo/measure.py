"""Measures: length, width and area of lines, their pieces by segment, and the condition of segments."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from pavemap.geo.line_widths import width_quantile
from pavemap.geo.lines import Geometries, Polylines

Scale = float | NDArray[np.float64]
Areas = NDArray[np.floating[Any]]

ALONG = 1e-9
"""Two directions whose sine is below this are parallel: they meet along a run or not at all."""

SCALE_DRIFT = 0.005
"""How far areas by the scale of a cell and of its segment may differ: 10 km of road in a Mercator CRS."""

FULL_COVERAGE = 0.98
"""Coverage from which nothing worth a reason is missing; pixels at a border cost about as much."""


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


def cut_by_segments(
    lines: Geometries, pavements: Geometries, *, tree: shapely.STRtree | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], Geometries]:
    """Cut lines at the borders of pavements and say on which pavement each piece lies.

    Both are in one CRS; pavements are polygons whose interiors are disjoint. Returns (line index,
    pavement index, piece), sorted by line and along it. What is on no pavement is left out. Every bit
    of a line is in at most one piece (along a common border in that of the lower index), so the pieces
    sum up to the length on pavement. Widths are interpolated at the cuts. Where lines come in blocks,
    `tree` is that of the pavements, made once.
    """
    shapely.prepare(pavements)
    tree = shapely.STRtree(pavements) if tree is None else tree
    line, pavement = tree.query(lines, predicate="intersects")
    inside = shapely.contains_properly(pavements[pavement], lines[line])
    whole = np.zeros(len(lines), np.bool_)
    whole[line[inside]] = True
    crossing = np.unique(line[~whole[line]])
    near = np.unique(pavement[~whole[line]])
    crack, segment, pieces = _cut(lines[crossing], pavements, near)
    indices = np.concatenate([line[inside], crossing[crack]])
    segments = np.concatenate([pavement[inside], segment])
    order = np.argsort(indices, kind="stable")
    result = np.concatenate([lines[line[inside]], pieces])[order]
    return indices[order], segments[order], result


def within_pavement(
    imaged_m2: Areas,
    *,
    pavement_m2: Areas,
    pavements: Geometries,
    gsd_m: float,
) -> NDArray[np.float64]:
    """Return what was imaged of segments (N,) as at most their pavement, all in true m2.

    `pavements` and the pixel `gsd_m` are in the survey's CRS. Pixels are counted by their centres, so a
    border may add up to half of one all along it. More than that is a fault, as ground counted twice,
    and is left to be seen.
    """
    rounding = gsd_m * shapely.length(pavements) + SCALE_DRIFT * pavement_m2
    known: NDArray[np.float64] = np.where(
        imaged_m2 <= pavement_m2 + rounding, np.minimum(imaged_m2, pavement_m2), imaged_m2
    )
    return known


def on_imaged_ground(
    imaged_m2: Areas, *, length_m: NDArray[np.floating[Any]], area_m2: Areas
) -> dict[str, NDArray[np.float64]]:
    """Return crack length and cracked area of segments (N,), and what they are of the imaged ground.

    crack_length_m, density_m_per_m2, cracked_area_m2 and cracked_area_share (%); nan where nothing was
    imaged.
    """
    seen = np.where(imaged_m2 > 0.0, imaged_m2, np.nan)
    return {
        "crack_length_m": np.where(imaged_m2 > 0.0, length_m, np.nan),
        "density_m_per_m2": length_m / seen,
        "cracked_area_m2": np.where(imaged_m2 > 0.0, area_m2, np.nan),
        "cracked_area_share": 100.0 * area_m2 / seen,
    }


def conditions(
    segments: pd.DataFrame,
    *,
    pieces: pd.DataFrame,
    imaged_m2: pd.Series[float],
    cracked_m2: pd.Series[float],
    failed: Collection[int] = (),
    with_imagery: Collection[int] = (),
) -> pd.DataFrame:
    """Return the condition of every segment, indexed by segment_id.

    segments: columns segment_id, pavement_m2. pieces: columns segment_id, crack_index, length_m.
    imaged_m2, cracked_m2: indexed by segment_id, a segment that is missing has 0. failed: segments
    that a failed cell meets; with_imagery: segments that imagery meets at all.
    Columns: crack_length_m, cracked_area_m2, density_m_per_m2, crack_count (these null where nothing
    was imaged), imaged_m2, pavement_m2, coverage, reason (why pavement was not imaged: '' when it was,
    'failed', 'no data' when imagery was there but not usable, 'no imagery').
    """
    table = segments.set_index("segment_id")[["pavement_m2"]].astype(float)
    by_segment = pieces.groupby("segment_id")
    table["crack_length_m"] = by_segment["length_m"].sum()
    table["crack_count"] = by_segment["crack_index"].nunique()
    table["imaged_m2"] = imaged_m2
    table["cracked_area_m2"] = cracked_m2
    table = table.fillna(0.0)
    table["crack_count"] = table["crack_count"].astype("Int64")
    share = table["imaged_m2"] / table["pavement_m2"].where(table["pavement_m2"] > 0.0)
    table["coverage"] = share.fillna(0.0).clip(upper=1.0)
    seen = table["imaged_m2"].where(table["imaged_m2"] > 0.0)
    unseen = seen.isna().to_numpy()
    table.loc[unseen, ["crack_length_m", "cracked_area_m2"]] = np.nan
    table.loc[unseen, "crack_count"] = pd.NA
    table["density_m_per_m2"] = table["crack_length_m"] / seen
    reason = np.where(table.index.isin(list(with_imagery)), "no data", "no imagery")
    reason = np.where(table.index.isin(list(failed)), "failed", reason)
    table["reason"] = np.where(table["coverage"] >= FULL_COVERAGE, "", reason)
    return table[
        [
            "crack_length_m",
            "cracked_area_m2",
            "imaged_m2",
            "pavement_m2",
            "coverage",
            "density_m_per_m2",
            "crack_count",
            "reason",
        ]
    ]


def _cut(
    lines: Geometries, pavements: Geometries, near: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], Geometries]:
    """Cut lines that meet a border; `near` are the pavements they may lie on, ascending."""
    if not len(lines):
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, object)
    flat = _with_cuts(Polylines.from_shapely(lines), shapely.boundary(pavements[near]))
    flat = flat.without_repeats()
    owner = _owners(flat, pavements, near)
    line = np.repeat(np.arange(len(flat)), flat.sizes)[:-1]
    on_pavement = np.flatnonzero(owner >= 0)
    begins = np.ones(len(on_pavement), np.bool_)
    begins[1:] = (
        (np.diff(on_pavement) > 1)
        | (np.diff(owner[on_pavement]) != 0)
        | (np.diff(line[on_pavement]) != 0)
    )
    # As in lines.clip: the first point of each piece, then the last point of every segment.
    place = np.arange(len(on_pavement)) + np.cumsum(begins)
    points = np.empty((len(on_pavement) + int(begins.sum()), 3))
    points[place] = flat.points[on_pavement + 1]
    points[place[begins] - 1] = flat.points[on_pavement[begins]]
    offsets = np.append(place[begins] - 1, len(points))
    first = on_pavement[begins]
    return line[first], owner[first], Polylines(points, offsets).to_shapely()


def _owners(flat: Polylines, pavements: Geometries, near: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each step from vertex to vertex the lowest pavement its middle lies on, or -1."""
    start, stop = flat.points[:-1, :2], flat.points[1:, :2]
    middles = shapely.points((start + stop) / 2.0)
    owner = np.full(len(start), len(pavements), np.int64)
    step, pavement = shapely.STRtree(pavements[near]).query(middles, predicate="intersects")
    np.minimum.at(owner, step, near[pavement])
    owner[owner == len(pavements)] = -1
    owner[flat.offsets[1:-1] - 1] = -1  # from one line's last vertex to the next line's first
    return owner


def _with_cuts(flat: Polylines, borders: Geometries) -> Polylines:
    """Add a vertex, with interpolated width, wherever a line meets a border."""
    step, t = _meetings(flat, borders)
    if not len(step):
        return flat
    start, stop = flat.points[step], flat.points[step + 1]
    added = start + t[:, None] * (stop - start)
    position = np.concatenate([np.arange(len(flat.points)).astype(float), step + t])
    order = np.argsort(position, kind="stable")
    points = np.concatenate([flat.points, added])[order]
    line_of_step = np.repeat(np.arange(len(flat)), flat.sizes)[step]
    sizes = flat.sizes + np.bincount(line_of_step, minlength=len(flat))
    return Polylines(points, np.concatenate([[0], np.cumsum(sizes)]))


def _meetings(
    flat: Polylines, borders: Geometries
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return where steps (from vertex to vertex) meet borders: step index and part of it, in (0, 1)."""
    a, b = flat.points[:-1, :2], flat.points[1:, :2]
    real = np.ones(len(a), np.bool_)
    real[flat.offsets[1:-1] - 1] = False
    steps = np.flatnonzero(real)
    edges, ring = shapely.get_coordinates(shapely.get_parts(borders), return_index=True)
    same = ring[1:] == ring[:-1]
    c, d = edges[:-1][same], edges[1:][same]
    tree = shapely.STRtree(np.asarray(shapely.linestrings(np.stack([c, d], axis=1))))
    which, edge = tree.query(shapely.linestrings(np.stack([a[steps], b[steps]], axis=1)))
    step = steps[which]
    along, border, gap = b[step] - a[step], d[edge] - c[edge], c[edge] - a[step]
    turn = _cross(along, border)
    size = np.hypot(*along.T) * np.hypot(*border.T)
    parallel = np.abs(turn) <= ALONG * size
    divisor = np.where(parallel, 1.0, turn)
    t, u = _cross(gap, border) / divisor, _cross(gap, along) / divisor
    meets = ~parallel & (u >= -ALONG) & (u <= 1.0 + ALONG)
    # A step that runs along an edge is cut where the edge begins and ends.
    square = np.maximum((along**2).sum(axis=1), np.finfo(float).tiny)
    to_c = (gap * along).sum(axis=1) / square
    to_d = ((d[edge] - a[step]) * along).sum(axis=1) / square
    found = np.concatenate([step[meets], step[parallel], step[parallel]])
    parts = np.concatenate([t[meets], to_c[parallel], to_d[parallel]])
    proper = (parts > 0.0) & (parts < 1.0)
    return found[proper], parts[proper]


def _cross(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]
    return product
