"""The measures of a survey of files by segment, by the same functions as the conditions of a server."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.arrays import Objects
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.measures import MeasureParams
from pavemap.geo.measures.blocks import Block
from pavemap.geo.measures.neighbours import Neighbours, pattern_reach_m
from pavemap.geo.measures.segment_measures import MEASURES
from pavemap.platform.file_survey.seen_ground import SeenGround


def measures_of(
    pieces: pd.DataFrame,
    segments: pd.DataFrame,
    pavements: Objects,
    *,
    imaged_m2: NDArray[np.float64],
    ground: SeenGround,
    params: MeasureParams,
) -> pd.DataFrame:
    """Return `Measured.table` of those of the segments (N,) that were imaged, by their place.

    pieces: columns segment_id (a place in `segments`), crack_id, geometry (LineString Z in the grid's
    CRS). segments: columns line (in degrees), width_m, lanes, oneway.
    """
    crs = ground.grid.crs
    seen = np.flatnonzero(imaged_m2 > 0.0)
    reach_m = pattern_reach_m(params)
    places = Neighbours.of(seen, pavements[seen], reach_m=reach_m, grid=ground.grid)
    source = _Tables.of(pieces[pieces["segment_id"].isin(seen)], segments, pavements, crs=crs)
    found = []
    for some in places.blocks():
        block = Block.read(source, some, places, crs=crs, params=params)
        found.append(block.measured(ground.of(block.pavements)))
    return pd.concat(found) if found else pd.DataFrame(columns=list(MEASURES), dtype=np.float64)


@dataclass(frozen=True)
class _Tables:
    """Segments, and the pieces on them by segment and by crack, in a CRS of metres."""

    pieces: pd.DataFrame
    of_segment: _Rows
    of_crack: _Rows
    known: pd.DataFrame
    pavements: Objects
    crs: CRS

    @classmethod
    def of(
        cls, pieces: pd.DataFrame, segments: pd.DataFrame, pavements: Objects, *, crs: CRS
    ) -> _Tables:
        of_segment, of_crack = (
            _Rows.of(pieces[name].to_numpy(np.int64)) for name in ("segment_id", "crack_id")
        )
        return cls(pieces, of_segment, of_crack, segments, pavements, crs)

    def runs_on_to(self, segment_ids: NDArray[np.int64]) -> NDArray[np.int64]:
        cracks = self.pieces["crack_id"].to_numpy(np.int64)[self.of_segment.at(segment_ids)]
        found: NDArray[np.int64] = self.pieces["segment_id"].to_numpy(np.int64)
        return found[self.of_crack.at(cracks)]

    def pieces_on(self, segment_ids: NDArray[np.int64]) -> pd.DataFrame:
        return self.pieces.iloc[self.of_segment.at(segment_ids)]

    def segments(self, segment_ids: NDArray[np.int64]) -> pd.DataFrame:
        some = self.known.iloc[segment_ids]
        lines = reproject(some["line"].to_numpy(object), WGS84, self.crs)
        return pd.DataFrame(some[["width_m", "lanes", "oneway"]]).assign(
            segment_id=segment_ids, line=list(lines), pavement=list(self.pavements[segment_ids])
        )


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
