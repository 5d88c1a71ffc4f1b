"""What kind a crack is: longitudinal, transverse, diagonal, or part of alligator or block cracking.

A crack of which most bounds cells, or lies in them, is part of a pattern (`crack_patterns`). Any other has
the direction of its whole crack, so that a crack cut by segments is one kind everywhere: the principal
axis of its line (second moments of length about their centre), laid out beside a straight road
(`unrolled`), against that road.

    angle <= 20 degrees: longitudinal      70 to 110: transverse (both AASHTO R 85)      else: diagonal

Pattern goes before direction: where there is block cracking no longitudinal and transverse cracking
is recorded (PAVEAIR's guide to the PCI, as ASTM has it) and the LTPP manual FHWA-HRT-13-092.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pavemap.geo.arrays import Floats, Integers
from pavemap.geo.measures.bits import Bits, sums_by
from pavemap.geo.measures.crack_patterns import Pattern
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.scene import Pieces
from pavemap.geo.measures.unrolled import axis_deg, unroll

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


def crack_types(
    pieces: Pieces, bits: Bits, *, pattern: Pattern, params: MeasureParams
) -> CrackTypes:
    """Say what each piece is, from its bits and the pattern found among all pieces."""
    cracks = int(pieces.crack.max()) + 1 if len(pieces) else 0
    angle = _angles(bits, pieces.crack, cracks)[pieces.crack]
    length = bits.sum_by(pieces.crack[bits.piece], cracks)[pieces.crack]
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
    """Return (count,) angles in degrees between cracks' principal axes and the centre-line; crack: (P,).

    A ring has no axis, and ANGLE_OF_ROUND.
    """
    axis, clear = axis_deg(unroll(bits, crack), bits.length_m, crack[bits.piece], count)
    return np.where(clear < ROUND, ANGLE_OF_ROUND, axis)
