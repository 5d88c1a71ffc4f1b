"""What kind a crack is: longitudinal, transverse, diagonal, or part of alligator or block cracking.

A crack of which most bounds cells, or lies in them, is part of a pattern (`networks`). Any other has the
direction of its whole crack, so that a crack cut by segments is one kind everywhere: the principal
axis of its line (second moments of length about their centre) against the mean direction of the
centre-line beside it.

    angle <= 20 degrees: longitudinal      70 to 110: transverse (both AASHTO R 85)      else: diagonal

Pattern goes before direction: where there is block cracking no longitudinal and transverse cracking
is recorded (PAVEAIR's guide to the PCI, as ASTM has it) and the LTPP manual FHWA-HRT-13-092.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pavemap.geo.measures.bits import Bits, sums_by
from pavemap.geo.measures.networks import Pattern, find_pattern
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.road_frame import Floats, Integers, RoadFrames
from pavemap.geo.measures.scene import Pieces, SegmentGeometry
from pavemap.geo.measures.severity import SEVERITIES, severity_of

TYPES = ("longitudinal", "transverse", "diagonal", "alligator", "block")
LONGITUDINAL, TRANSVERSE, DIAGONAL, ALLIGATOR, BLOCK = range(5)
ROUNDING_DEG = 1e-6
ROUND = 0.05
"""A crack whose second moments along and across its axis differ by less, of their sum, has no direction."""
ANGLE_OF_ROUND = 45.0


@dataclass(frozen=True)
class CrackTypes:
    """(P,) of each piece: its index in `TYPES`, its crack's angle to the centre-line in degrees (-90 to 90,
    positive to the left), and its crack's whole length in m."""

    code: Integers
    angle_deg: Floats
    crack_length_m: Floats


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
    """
    params = params or MeasureParams()
    scene = (
        segments if isinstance(segments, SegmentGeometry) else SegmentGeometry.from_frame(segments)
    )
    cracks = Pieces.from_frame(pieces, scene)
    frames = RoadFrames.from_lines(
        scene.line, scale=np.broadcast_to(np.asarray(scale, np.float64), (len(scene),))
    )
    bits = Bits.from_pieces(cracks, frames)
    pattern = find_pattern(cracks, scale=frames.scale[cracks.segment], params=params)
    types = crack_types(cracks, bits, pattern=pattern, params=params)
    length = bits.sum_by(bits.piece, len(cracks))
    width = mean_width_mm(bits, len(cracks))
    names = np.array([*SEVERITIES, None], object)
    return pd.DataFrame(
        {
            "type": np.array(TYPES, object)[types.code],
            "severity": pd.Series(names[severity_of(width, params)], pieces.index, object),
            "angle_deg": types.angle_deg,
            "width_mm": width,
            "length_m": length,
        },
        index=pieces.index,
    )


def crack_types(
    pieces: Pieces, bits: Bits, *, pattern: Pattern, params: MeasureParams
) -> CrackTypes:
    """Say what each piece is, from its bits and the pattern found among all pieces."""
    cracks = int(pieces.crack.max()) + 1 if len(pieces) else 0
    crack = pieces.crack[bits.piece]
    angle = _angles(bits, crack, cracks)[pieces.crack]
    length = bits.sum_by(crack, cracks)[pieces.crack]
    code = np.full(len(pieces), DIAGONAL, np.int64)
    steep = np.abs(angle)
    code[steep <= params.longitudinal_deg + ROUNDING_DEG] = LONGITUDINAL
    first, last = params.transverse_deg
    round_the_back = np.where(angle < 0.0, angle + 180.0, angle)
    across = (round_the_back >= first - ROUNDING_DEG) & (round_the_back <= last + ROUNDING_DEG)
    code[across] = TRANSVERSE
    code[pattern.block_piece] = BLOCK
    code[pattern.alligator_piece] = ALLIGATOR
    return CrackTypes(code, angle, length)


def mean_width_mm(bits: Bits, count: int) -> Floats:
    """Return (count,) mean widths of pieces by length, nan where no width is known."""
    known = bits.length_m * (bits.width_mm[:, 0] > 0.0)
    total = sums_by(bits.piece, known * bits.width_mm.mean(axis=1), count)
    length = sums_by(bits.piece, known, count)
    width: Floats = np.full(count, np.nan)
    np.divide(total, length, out=width, where=length > 0.0)
    return width


def _angles(bits: Bits, crack: Integers, count: int) -> Floats:
    """Return (count,) angles in degrees between cracks' principal axes and the centre-line.

    A ring has no axis, and ANGLE_OF_ROUND.
    """

    def total(values: Floats) -> Floats:
        return sums_by(crack, values, count)

    ends = bits.xy + bits.origin[:, None]
    length = bits.length_m
    whole = np.where(total(length) > 0.0, total(length), 1.0)
    middle = ends.mean(axis=1)
    centre = np.stack([total(length * middle[:, axis]) / whole for axis in (0, 1)], axis=1)
    a, b = (ends[:, end] - centre[crack] for end in (0, 1))
    xx, yy, xy = (
        total(
            length
            * (
                2.0 * a[:, i] * a[:, j]
                + 2.0 * b[:, i] * b[:, j]
                + a[:, i] * b[:, j]
                + a[:, j] * b[:, i]
            )
        )
        for i, j in ((0, 0), (1, 1), (0, 1))
    )
    axis_twice = np.arctan2(2.0 * xy, xx - yy)
    no_axis = np.hypot(2.0 * xy, xx - yy) < ROUND * (xx + yy)
    road_twice = np.arctan2(
        total(length * np.sin(2.0 * bits.bearing)), total(length * np.cos(2.0 * bits.bearing))
    )
    twice = np.degrees(axis_twice - road_twice)
    angle: Floats = (180.0 - (180.0 - twice) % 360.0) / 2.0
    return np.where(no_axis, ANGLE_OF_ROUND, angle)
