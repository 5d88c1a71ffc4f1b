"""What the measures look at: segments with their ground, and crack pieces on them, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Geometries, Integers, object_array
from pavemap.geo.errors import BadInput
from pavemap.geo.lines.flat_lines import Polylines

Imaged = Mapping[Any, Any] | Sequence[Any] | None
SEGMENT_COLUMNS = ("segment_id", "line", "pavement", "width_m", "lanes", "oneway")


@dataclass(frozen=True)
class SegmentGeometry:
    """S segments in one metric CRS.

    segment_id: (S,) unique; line: (S,) LineStrings, the centre-lines; pavement: (S,) polygons that share
    no ground; width_m: (S,) of the travelled way, true metres; lanes: (S,) float, nan where not known;
    oneway: (S,) bool. Raises BadInput where they don't fit.
    """

    segment_id: NDArray[Any]
    line: Geometries
    pavement: Geometries
    width_m: Floats
    lanes: Floats
    oneway: NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Refuse what can't be measured."""
        if len(np.unique(self.segment_id)) < len(self.segment_id):
            raise BadInput("a segment_id occurs twice; give each segment once")
        if not (np.isfinite(self.width_m) & (self.width_m > 0.0)).all():
            raise BadInput("every segment needs a width_m above 0")
        if not (shapely.get_type_id(self.line) == 1).all():
            raise BadInput("every segment needs a LineString as its centre-line")

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> SegmentGeometry:
        """Read a frame with the columns segment_id, line, pavement, width_m and, if known, lanes, oneway.

        A GeoDataFrame may hold the pavement as its geometry instead of a column of that name.
        """
        pavement = frame.get("pavement")
        if pavement is None and isinstance(frame, geopandas.GeoDataFrame):
            pavement = frame.geometry
        missing = [name for name in ("segment_id", "line", "width_m") if name not in frame]
        if missing or pavement is None:
            raise BadInput(
                f"segments lack {missing or 'pavement'}; give {', '.join(SEGMENT_COLUMNS)}"
            )
        nothing = pd.Series(np.nan, frame.index)
        lanes = pd.to_numeric(frame.get("lanes", nothing))
        oneway = frame.get("oneway", nothing)
        return cls(
            frame["segment_id"].to_numpy(),
            np.asarray(frame["line"], object),
            np.asarray(pavement, object),
            frame["width_m"].to_numpy(np.float64),
            lanes.to_numpy(np.float64, na_value=np.nan),
            np.asarray(oneway.map({True: True}).notna(), np.bool_),
        )

    def __len__(self) -> int:
        return len(self.segment_id)

    def places_of(self, segment_ids: NDArray[Any]) -> Integers:
        """Return the index of each id. Raises BadInput for one that is not here."""
        places = pd.Index(self.segment_id).get_indexer(pd.Index(segment_ids))
        if (places < 0).any():
            unknown = np.asarray(segment_ids)[places < 0][0]
            raise BadInput(f"a piece lies on segment {unknown!r}, which is not among the segments")
        return np.asarray(places, np.int64)

    def imaged_ground(self, imaged: Imaged) -> Geometries:
        """Return (S,) polygons of the pavement that was imaged, empty where nothing was.

        imaged: None for all pavement, a mapping from segment_id (what is missing or None is not imaged),
        or a sequence in the order of the segments.
        """
        if imaged is None:
            return self.pavement
        if isinstance(imaged, Mapping):
            ground = [imaged.get(key) for key in self.segment_id.tolist()]
        else:
            ground = list(imaged)
            if len(ground) != len(self):
                raise BadInput("imaged needs one polygon for each segment, in their order")
        nothing = shapely.Polygon()
        return object_array([nothing if one is None else one for one in ground])


@dataclass(frozen=True)
class Pieces:
    """P crack pieces: the index of their segment, a number for their crack, and LineStrings Z."""

    segment: Integers
    crack: Integers
    lines: Geometries

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, segments: SegmentGeometry) -> Pieces:
        """Read the columns segment_id, crack_id and geometry (z: width in mm, 0 where unknown)."""
        missing = [name for name in ("segment_id", "crack_id", "geometry") if name not in frame]
        if missing:
            raise BadInput(f"pieces lack {missing}; give segment_id, crack_id and geometry")
        lines = np.asarray(frame["geometry"], object)
        if not (shapely.get_type_id(lines) == 1).all():
            raise BadInput("every piece of a crack must be a LineString")
        crack = np.unique(frame["crack_id"].to_numpy(), return_inverse=True)[1]
        segment = segments.places_of(frame["segment_id"].to_numpy())
        return cls(segment, crack.astype(np.int64), lines)

    def __len__(self) -> int:
        return len(self.segment)

    def flat(self) -> Polylines:
        """Return the lines as flat arrays."""
        return Polylines.from_shapely(self.lines)
