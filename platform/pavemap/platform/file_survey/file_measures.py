"""The measures of a survey of files by segment, by the same functions as the conditions of a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.arrays import Objects, object_array
from pavemap.geo.crs import WGS84, ground_scales, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.imaged import imaged_ground
from pavemap.geo.measures import MeasureParams, segment_measures
from pavemap.geo.measures.neighbours import Neighbours, pattern_reach_m

Place = tuple[int, int]

SEGMENTS_AT_A_TIME = 500
"""Bounds the memory of measuring; cracks that run on to other segments, and what is beside, come along."""


@dataclass(frozen=True, kw_only=True)
class SeenGround:
    """What was imaged of the cells (column, row) that were surveyed: a polygon, or None for all of it."""

    grid: Grid
    parts: Mapping[Place, shapely.MultiPolygon | None]

    def of(self, pavements: Objects) -> Objects:
        """Return the imaged part of each pavement (N,), in the grid's CRS."""
        places = [(int(col), int(row)) for col, row in self.grid.indices_meeting(pavements)]
        short = [at for at in places if self.parts.get(at, _NOTHING) is not None]
        parts = object_array([self.parts.get(at) for at in short])  # None: not surveyed
        return imaged_ground(
            pavements,
            places=np.array(short, np.int64).reshape(-1, 2),
            parts=parts,
            grid=self.grid,
        )


_NOTHING = shapely.MultiPolygon()


def measures_of(
    pieces: pd.DataFrame,
    segments: pd.DataFrame,
    pavements: Objects,
    *,
    imaged_m2: NDArray[np.float64],
    ground: SeenGround,
) -> pd.DataFrame:
    """Return the measures of segments (N,) by their place; null where nothing was imaged.

    pieces: columns segment_id (a place in `segments`), crack_id, geometry (LineString Z in the grid's
    CRS). segments: columns line (in degrees), width_m, lanes, oneway. Columns are those of
    `pavemap.geo.measures.segment_measures`.
    """
    seen = np.flatnonzero(imaged_m2 > 0.0)
    reach_m = pattern_reach_m(MeasureParams())
    places = Neighbours.of(seen, pavements[seen], reach_m=reach_m, grid=ground.grid)
    pieces = pieces[pieces["segment_id"].isin(seen)]
    segment = pieces["segment_id"].to_numpy(np.int64)
    crack = pieces["crack_id"].to_numpy(np.int64)
    of_segment, of_crack = _Rows.of(segment), _Rows.of(crack)
    found = []
    for start in range(0, len(seen), SEGMENTS_AT_A_TIME):
        own = seen[places.order[start : start + SEGMENTS_AT_A_TIME]]
        runs_on = segment[of_crack.at(crack[of_segment.at(own)])]
        near = pieces.iloc[of_segment.at(places.beside(np.union1d(own, runs_on)))]
        together = np.union1d(own, near["segment_id"].to_numpy(np.int64))
        some = _in_metres(segments.iloc[together], pavements[together], ground.grid.crs)
        table = segment_measures(
            near,
            some.assign(segment_id=together),
            dict(zip(own.tolist(), ground.of(pavements[own]), strict=True)),
            scale=_scales(some["line"].to_numpy(object), ground.grid.crs),
        )
        found.append(table.loc[own])
    measured = pd.concat(found) if found else pd.DataFrame()
    return measured.reindex(np.arange(len(segments)))


@dataclass(frozen=True)
class _Rows:
    """The rows of a table by a key of theirs: keys (N,) sorted, and the row of each."""

    keys: NDArray[np.int64]
    rows: NDArray[np.int64]

    @classmethod
    def of(cls, keys: NDArray[np.int64]) -> _Rows:
        rows = np.argsort(keys, kind="stable")
        return cls(keys[rows], rows)

    def at(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return, ascending, the rows that have one of the keys wanted."""
        wanted = np.unique(wanted)
        start, stop = (np.searchsorted(self.keys, wanted, side) for side in ("left", "right"))
        found = [self.rows[low:high] for low, high in zip(start, stop, strict=True)]
        return np.sort(np.concatenate([*found, np.empty(0, np.int64)]))


def _in_metres(segments: pd.DataFrame, pavements: Objects, crs: CRS) -> pd.DataFrame:
    lines: Objects = reproject(segments["line"].to_numpy(object), WGS84, crs)
    known = segments[["width_m", "lanes", "oneway"]].reset_index(drop=True)
    return pd.DataFrame(known).assign(
        line=pd.Series(list(lines), dtype=object), pavement=pd.Series(list(pavements), dtype=object)
    )


def _scales(lines: Objects, crs: CRS) -> NDArray[np.float64]:
    middle = shapely.get_coordinates(shapely.line_interpolate_point(lines, 0.5, normalized=True))
    return ground_scales(crs, middle[:, 0], middle[:, 1])
