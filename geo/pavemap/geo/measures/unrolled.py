"""Cracks laid out as if their road were straight, so that a direction along it has a meaning in any bend.

Every bit of a crack is turned by minus the bearing of the centre-line beside it, and the turned bits are
chained. A crack's pieces are chained from end to nearest end, with the way between two turned by the mean
bearing of both ends. Beside a straight road that is the crack itself, turned.

    crack beside a ramp that turns by 270 degrees      ____________ along a straight road
"""

from __future__ import annotations

import numpy as np

from pavemap.geo.arrays import Floats, Integers
from pavemap.geo.compiled import kernel
from pavemap.geo.measures.bits import Bits, sums_by

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
    tips, crack = tips[order], crack[order]
    starts = np.flatnonzero(np.append(True, np.diff(crack) != 0))
    at, sign = np.empty((len(crack), 2)), np.empty(len(crack))
    at[order], sign[order] = _chained(
        tips.reshape(-1, 2),
        bearing[order],
        reach[order],
        np.append(starts, len(crack)),
        *_rows(tips, crack, starts),
    )
    return at, sign


def _rows(tips: Floats, crack: Integers, starts: Integers) -> tuple[Floats, Integers]:
    """Set the ends of each crack's pieces in a row along the axis that it is longer by.

    crack: (P,) ascending; starts: where each begins. Return (2 P,) of each end, two to a piece: how far
    along it is, and (2 P, 2) the ends before and after it, -1 for none.
    """
    low = np.minimum.reduceat(tips.min(axis=1), starts)
    high = np.maximum.reduceat(tips.max(axis=1), starts)
    longer = np.repeat((high - low).argmax(axis=1), np.diff(np.append(starts, len(crack))))
    along = np.take_along_axis(tips, longer[:, None, None], axis=2).ravel()
    owner = np.repeat(crack, 2)
    row = np.lexsort((along, owner))
    beside = np.full((len(row), 2), -1)
    same = owner[row[1:]] == owner[row[:-1]]
    beside[row[1:][same], 0] = row[:-1][same]
    beside[row[:-1][same], 1] = row[1:][same]
    return along, beside


@kernel
def _chained(
    tips: Floats,
    bearing: Floats,
    reach: Floats,
    starts: Integers,
    along: Floats,
    beside: Integers,
) -> tuple[Floats, Floats]:
    """Return where the first end of each piece lies, (P, 2), and -1 if its road runs the other way.

    tips: (2 P, 2) ends in the plane, two to a piece; bearing: (P, 2) beside them; reach: (P, 2) from the
    first end to the last, unrolled. The pieces of a crack are those from one of `starts` to the next.
    along, beside: of `_rows`; ends that are done with leave them.
    """
    at, sign = np.zeros(reach.shape), np.ones(len(reach))
    for group in range(len(starts) - 1):
        low, high = starts[group], starts[group + 1]
        leave = _loose_end(tips, low, high, along, beside)
        for _ in range(high - low - 1):
            leave ^= 1  # leave by the other end
            enter, _ = _nearest(tips, leave, along, beside)
            piece, end, after, into = leave // 2, leave % 2, enter // 2, enter % 2
            turn = bearing[after, into] - bearing[piece, end]
            sign[after] = sign[piece] if np.cos(turn) >= -ROUNDING else -sign[piece]
            if sign[after] != sign[piece]:
                turn += np.pi
            mean = bearing[piece, end] + np.arctan2(np.sin(turn), np.cos(turn)) / 2.0
            x, y = tips[enter] - tips[leave]
            gap = np.cos(mean) * x + np.sin(mean) * y, np.cos(mean) * y - np.sin(mean) * x
            for axis in range(2):
                here = at[piece, axis] + sign[piece] * (gap[axis] + end * reach[piece, axis])
                at[after, axis] = here - sign[after] * into * reach[after, axis]
            _take_out(beside, leave)
            _take_out(beside, leave ^ 1)
            leave = enter
    return at, sign


@kernel
def _loose_end(tips: Floats, low: int, high: int, along: Floats, beside: Integers) -> int:
    """Return which end, of the pieces from low to high, is farthest from any other piece."""
    loose, farthest = 2 * low, -1.0
    for end in range(2 * low, 2 * high):
        _, square = _nearest(tips, end, along, beside)
        if square > farthest:
            loose, farthest = end, square
    return loose


@kernel
def _nearest(tips: Floats, end: int, along: Floats, beside: Integers) -> tuple[int, float]:
    """Return which end of another piece is nearest to an end, and its squared distance.

    Looks along the row either way until no end can be nearer; of several the first piece's is taken.
    """
    nearest, best = end, np.inf
    for way in range(2):
        other = beside[end, way]
        while other >= 0 and (along[other] - along[end]) ** 2 <= best:
            if other // 2 != end // 2:
                x, y = tips[other] - tips[end]
                square = x * x + y * y
                if square < best or (square == best and other < nearest):
                    nearest, best = other, square
            other = beside[other, way]
    return nearest, best


@kernel
def _take_out(beside: Integers, end: int) -> None:
    """Take an end out of its row."""
    before, after = beside[end]
    if before >= 0:
        beside[before, 1] = after
    if after >= 0:
        beside[after, 0] = before
