"""Cracks laid out as if their road were straight, so that a direction along it has a meaning in any bend.

Every bit of a crack is turned by minus the bearing of the centre-line beside it, and the turned bits are
chained. A crack's pieces are chained from end to nearest end, with the way between two turned by the mean
bearing of both ends. Beside a straight road that is the crack itself, turned.

    crack beside a ramp that turns by 270 degrees      ____________ along a straight road
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.measures.bits import Bits, sums_by
from pavemap.geo.measures.road_frame import Floats, Integers

ROUNDING = 1e-9


def unroll(bits: Bits, crack: Integers) -> Floats:
    """Return (N, 2, 2) both ends of whole bits (not cut) in m along and to the left of a straight road.

    crack: (P,) the crack of each piece. Each crack has an origin of its own, and is to be read in either
    direction: which way its first road goes decides.
    """
    if not len(bits):
        return np.empty((0, 2, 2))
    ends = bits.xy + bits.origin[:, None]
    x, y = (ends[:, 1] - ends[:, 0]).T
    cos, sin = np.cos(bits.bearing), np.sin(bits.bearing)
    steps = np.column_stack([cos * x + sin * y, cos * y - sin * x])
    # Bits come piece by piece and in order, so the first and the last of each piece are its ends.
    first = np.flatnonzero(np.append(True, bits.piece[1:] != bits.piece[:-1]))
    last = np.append(first[1:], len(bits)) - 1
    which = np.repeat(np.arange(len(first)), last - first + 1)
    run = np.cumsum(steps, axis=0)
    stops = run - (run - steps)[first][which]
    tips = np.stack([ends[first, 0], ends[last, 1]], axis=1)
    bearing = np.column_stack([bits.bearing[first], bits.bearing[last]])
    at, sign = _joined(tips, bearing, stops[last], crack[bits.piece[first]])
    laid = np.stack([stops - steps, stops], axis=1)
    unrolled: Floats = at[which][:, None] + sign[which][:, None, None] * laid
    return unrolled


def axis_deg(ends: Floats, length: Floats, crack: Integers, count: int) -> tuple[Floats, Floats]:
    """Return (count,) directions in degrees of cracks' principal axes, and how clear each is.

    Directions are above -90, and to 90. ends, length, crack: of N straight bits. The axis is that of the
    second moments of length about their centre; clear: the difference of the moments along and across it
    by their sum, 0 (a ring) to 1.
    """

    def total(values: Floats) -> Floats:
        return sums_by(crack, length * values, count)

    whole = sums_by(crack, length, count)
    whole = np.where(whole > 0.0, whole, 1.0)
    middle = ends.mean(axis=1)
    centre = np.column_stack([total(middle[:, axis]) / whole for axis in (0, 1)])
    a, b = (ends[:, end] - centre[crack] for end in (0, 1))
    xx, yy, xy = (
        total(
            2.0 * a[:, i] * a[:, j]
            + 2.0 * b[:, i] * b[:, j]
            + a[:, i] * b[:, j]
            + a[:, j] * b[:, i]
        )
        for i, j in ((0, 0), (1, 1), (0, 1))
    )
    twice = np.degrees(np.arctan2(2.0 * xy, xx - yy))
    axis: Floats = (180.0 - (180.0 - twice) % 360.0) / 2.0
    clear: Floats = np.ones(count)
    np.divide(np.hypot(2.0 * xy, xx - yy), xx + yy, out=clear, where=xx + yy > 0.0)
    return axis, clear


def _joined(tips: Floats, bearing: Floats, reach: Floats, crack: Integers) -> tuple[Floats, Floats]:
    """Return what `_chained` does, for pieces in any order; crack: (P,) of each."""
    order = np.argsort(crack, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(crack[order]) != 0))
    at, sign = np.empty((len(crack), 2)), np.empty(len(crack))
    at[order], sign[order] = _chained(
        tips[order], bearing[order], reach[order], np.append(starts, len(crack))
    )
    return at, sign


@kernel
def _chained(
    tips: Floats, bearing: Floats, reach: Floats, starts: Integers
) -> tuple[Floats, Floats]:
    """Return where the first end of each piece lies, (P, 2), and -1 if its road runs the other way.

    tips: (P, 2, 2) both ends in the plane; bearing: (P, 2) beside them; reach: (P, 2) from the first end
    to the last, unrolled. The pieces of a crack are those from one of `starts` to the next.
    """
    at, sign = np.zeros(reach.shape), np.ones(len(reach))
    left = np.ones(len(reach), np.bool_)
    for group in range(len(starts) - 1):
        low, high = starts[group], starts[group + 1]
        piece, end = _loose_end(tips, low, high, left)
        for _ in range(high - low - 1):
            left[piece] = False
            end = 1 - end  # leave by the other end
            after, into, _ = _nearest(tips, piece, end, low, high, left)
            turn = bearing[after, into] - bearing[piece, end]
            sign[after] = sign[piece] if np.cos(turn) >= -ROUNDING else -sign[piece]
            if sign[after] != sign[piece]:
                turn += np.pi
            mean = bearing[piece, end] + np.arctan2(np.sin(turn), np.cos(turn)) / 2.0
            x = tips[after, into, 0] - tips[piece, end, 0]
            y = tips[after, into, 1] - tips[piece, end, 1]
            gap = np.cos(mean) * x + np.sin(mean) * y, np.cos(mean) * y - np.sin(mean) * x
            for axis in range(2):
                here = at[piece, axis] + sign[piece] * (gap[axis] + end * reach[piece, axis])
                at[after, axis] = here - sign[after] * into * reach[after, axis]
            piece, end = after, into
    return at, sign


@kernel
def _loose_end(tips: Floats, low: int, high: int, left: NDArray[np.bool_]) -> tuple[int, int]:
    """Return the piece, and which end of it, that is farthest from any other piece."""
    piece, end, farthest = low, 0, -1.0
    for one in range(low, high):
        for tip in range(2):
            _, _, square = _nearest(tips, one, tip, low, high, left)
            if square > farthest:
                piece, end, farthest = one, tip, square
    return piece, end


@kernel
def _nearest(
    tips: Floats, piece: int, end: int, low: int, high: int, left: NDArray[np.bool_]
) -> tuple[int, int, float]:
    """Return which end, of the other pieces left, is nearest to an end, and its squared distance."""
    after, into, best = piece, end, np.inf
    for other in range(low, high):
        if other == piece or not left[other]:
            continue
        for tip in range(2):
            x, y = tips[other, tip] - tips[piece, end]
            if x * x + y * y < best:
                after, into, best = other, tip, x * x + y * y
    return after, into, best
