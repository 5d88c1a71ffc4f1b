"""Cracks on segments, each piece with its kind: what all measures begin with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pavemap.geo.arrays import Floats
from pavemap.geo.measures.bits import Bits
from pavemap.geo.measures.crack_patterns import Pattern, find_pattern
from pavemap.geo.measures.crack_types import TYPES, CrackTypes, crack_types, mean_width_mm
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.road_frame import RoadFrames
from pavemap.geo.measures.scene import Pieces, SegmentGeometry
from pavemap.geo.measures.severity import SEVERITIES, severity_of


@dataclass(frozen=True)
class ClassifiedCracks:
    """P pieces of cracks in the frames of their S segments, and what kind each is.

    bits: of the pieces, not cut at any border; pattern, types: as found among all of the pieces.
    """

    segments: SegmentGeometry
    pieces: Pieces
    frames: RoadFrames
    bits: Bits
    pattern: Pattern
    types: CrackTypes
    params: MeasureParams

    @classmethod
    def of(
        cls,
        pieces: pd.DataFrame,
        segments: pd.DataFrame | SegmentGeometry,
        *,
        params: MeasureParams | None = None,
        scale: float | Floats = 1.0,
    ) -> ClassifiedCracks:
        """Classify pieces; arguments and errors as of `classify_cracks`."""
        params = params or MeasureParams()
        if not isinstance(segments, SegmentGeometry):
            segments = SegmentGeometry.from_frame(segments)
        cracks = Pieces.from_frame(pieces, segments)
        scales = np.array(np.broadcast_to(np.asarray(scale, np.float64), (len(segments),)))
        frames = RoadFrames.from_lines(segments.line, scale=scales)
        bits = Bits.from_pieces(cracks, frames)
        pattern = find_pattern(cracks, scale=frames.scale[cracks.segment], params=params)
        types = crack_types(cracks, bits, pattern=pattern, params=params)
        return cls(segments, cracks, frames, bits, pattern, types, params)

    def classes(self) -> pd.DataFrame:
        """Return what `classify_cracks` does, the pieces numbered in their order."""
        count = len(self.pieces)
        width = mean_width_mm(self.bits, count)
        names = np.array([*SEVERITIES, None], object)
        return pd.DataFrame(
            {
                "type": np.array(TYPES, object)[self.types.code],
                "severity": pd.Series(names[severity_of(width, self.params)], dtype=object),
                "angle_deg": self.types.angle_deg,
                "width_mm": width,
                "length_m": self.bits.sum_by(self.bits.piece, count),
            }
        )


def classify_cracks(
    pieces: pd.DataFrame,
    segments: pd.DataFrame | SegmentGeometry,
    *,
    params: MeasureParams | None = None,
    scale: float | Floats = 1.0,
) -> pd.DataFrame:
    """Return type and severity of each piece, in their order and with their index.

    pieces: columns segment_id, crack_id, geometry (LineString Z in a metric CRS, z the width in mm);
    give all pieces of a crack and of its neighbours at once. segments: see `SegmentGeometry`.
    scale: CRS units per true metre, one or one for each segment.
    Columns: type (of `TYPES`), severity ('low', 'medium', 'high' by mean width; None where unknown),
    angle_deg (of the crack to the centre-line), width_mm (mean; nan where unknown), length_m.
    Raises BadInput for columns that are missing or don't fit.
    """
    found = ClassifiedCracks.of(pieces, segments, params=params, scale=scale)
    return found.classes().set_axis(pieces.index)
