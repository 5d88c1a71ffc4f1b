"""A survey's segments measured block by block, wherever they are read from.

Two things go beyond a block, and are read with it but measured elsewhere:

- the rest of cracks that run on to other segments, since a crack is judged whole;
- the pieces on segments beside all of these, since the cells of a pattern astride a border close with them.

So figures don't depend on the blocks. Blocks are of segments near each other, so that few others are
beside them; memory is bounded by a block and those.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
import shapely
from pyproj import CRS

from pavemap.geo.arrays import Geometries, Integers
from pavemap.geo.crs import ground_scales
from pavemap.geo.measures.classified_cracks import ClassifiedCracks
from pavemap.geo.measures.neighbours import Neighbours
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.segment_measures import Measured


class Source(Protocol):
    """Where segments and the pieces of cracks on them are read from, in the survey's CRS, by segment."""

    def runs_on_to(self, segment_ids: Integers) -> Integers:
        """Return the segments on which cracks of these have pieces."""

    def pieces_on(self, segment_ids: Integers) -> pd.DataFrame:
        """Return segment_id, crack_id and geometry (LineString Z, z the width in mm) of all pieces."""

    def segments(self, segment_ids: Integers) -> pd.DataFrame:
        """Return what `SegmentGeometry.from_frame` takes, in the order of the ids, which ascend."""


@dataclass(frozen=True)
class Block:
    """Some segments, and the cracks on and about them.

    own, pavements: (N,) ids of the segments to be measured, and their polygons in the survey's CRS. pieces:
    those on them, with type and severity. cracks: on these segments, on those that they run on to, and
    on the ones beside.
    """

    own: Integers
    pavements: Geometries
    pieces: pd.DataFrame
    cracks: ClassifiedCracks

    @classmethod
    def read(
        cls, source: Source, some: Integers, places: Neighbours, *, crs: CRS, params: MeasureParams
    ) -> Block:
        """Read one of the blocks of `places`, whose CRS is given, with what is about it."""
        own = places.ids[some]
        pieces = source.pieces_on(places.beside(np.union1d(own, source.runs_on_to(own))))
        # Of the segments beside only those that have cracks are of use.
        segments = source.segments(np.union1d(own, pieces["segment_id"].to_numpy(np.int64)))
        middle = shapely.get_coordinates(
            shapely.line_interpolate_point(segments["line"].to_numpy(object), 0.5, normalized=True)
        )
        scale = ground_scales(crs, middle[:, 0], middle[:, 1])
        cracks = ClassifiedCracks.of(pieces, segments, params=params, scale=scale)
        kinds = cracks.classes().set_axis(pieces.index)[["type", "severity"]]
        pieces = pieces.assign(**kinds)[pieces["segment_id"].isin(own)]
        return cls(own, places.pavements[some], pieces, cracks)

    def measured(self, imaged: Geometries) -> pd.DataFrame:
        """Return `Measured.table` of the segments; imaged: (N,) the imaged part of each pavement."""
        seen = Measured.of(self.cracks, dict(zip(self.own.tolist(), imaged, strict=True)))
        return seen.table().loc[self.own]
