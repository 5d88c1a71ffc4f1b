"""Cracks cut into bits so small that each lies in one zone, one cell and one class of width.

Every measure is then a sum over bits. A piece is brought into the frame of its segment (station,
offset), its steps from vertex to vertex halved down to `MAX_STEP_M`, and cut wherever it crosses a
border. A bit keeps its share of the step's length in the plane, so whatever the frame does in a
bend, the bits sum up to the length of the crack.

Stations jump where two places of the road are equally near: on the bisector of a corner, between
the legs of a hairpin, where a closed road ends at its start. A bit over such a line covers the
stations between its ends where it follows the road round a corner, and else none but its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Integers, counted, ranges
from pavemap.geo.measures.road_frame import SHARPEST_TURN, RoadFrames
from pavemap.geo.measures.scene import Pieces

MAX_STEP_M = 0.5
"""A step this long beside a bend of 20 m radius strays 2 mm from straight in the road's frame."""

ROUNDING = 1e-6

FAR_M = 400.0
"""Offsets are told apart up to this distance; nothing on pavement is farther."""


@dataclass(frozen=True)
class Bits:
    """N bits of cracks; pairs are values at the start and the end of a bit.

    piece, segment: (N,) indices. station, offset: (N, 2) in m. width_mm: (N, 2), 0 where unknown.
    length_m: (N,) true. xy: (N, 2, 2) true metres about the segment's origin.
    bearing: (N,) of the centre-line beside the bit, radians in the CRS.
    xy, origin and bearing serve whole steps only and are empty once bits are cut.
    """

    piece: Integers
    segment: Integers
    station: Floats
    offset: Floats
    width_mm: Floats
    length_m: Floats
    xy: Floats
    origin: Floats
    bearing: Floats

    @classmethod
    def from_pieces(cls, pieces: Pieces, frames: RoadFrames) -> Bits:
        """Bring pieces into the frames of their segments."""
        flat = pieces.flat()
        if not len(flat.points):
            return cls.none()
        vertex_piece = np.repeat(np.arange(len(flat)), flat.sizes)
        local = frames.local(flat.points[:, :2], pieces.segment[vertex_piece])
        first = np.flatnonzero(vertex_piece[1:] == vertex_piece[:-1])
        xy = np.stack([local[first], local[first + 1]], axis=1)
        width = np.stack([flat.points[first, 2], flat.points[first + 1, 2]], axis=1)
        width[(width <= 0.0).any(axis=1)] = 0.0
        piece, xy, width = _halved(vertex_piece[first], xy, width)
        segment = pieces.segment[piece]
        station, offset, bearing = _beside(xy, segment, frames)
        length = np.hypot(*(xy[:, 1] - xy[:, 0]).T)
        origin = (frames.origins - frames.origins[:1])[segment] / frames.scale[segment, None]
        return cls(piece, segment, station, offset, width, length, xy, origin, bearing)

    @classmethod
    def none(cls) -> Bits:
        """Return no bits."""
        index, one, pair = np.empty(0, np.int64), np.empty(0), np.empty((0, 2))
        return cls(index, index, pair, pair, pair, one, np.empty((0, 2, 2)), pair, one)

    def __len__(self) -> int:
        return len(self.piece)

    def cut(self, which: Integers, at: Floats) -> Bits:
        """Cut bit `which[i]` at the part `at[i]` of it, strictly within 0 to 1."""
        if not len(which):
            return self
        bit = np.concatenate([np.arange(len(self)), which])
        start = np.concatenate([np.zeros(len(self)), at])
        order = np.lexsort((start, bit))
        bit, start = bit[order], start[order]
        stop = np.append(start[1:], 1.0)
        stop[np.append(bit[1:] != bit[:-1], True)] = 1.0
        parts = np.stack([start, stop], axis=1)

        def between(values: Floats) -> Floats:
            step = values[bit, 1] - values[bit, 0]
            cut: Floats = values[bit, 0, None] + parts * step[:, None]
            return cut

        return replace(
            self,
            piece=self.piece[bit],
            segment=self.segment[bit],
            station=between(self.station),
            offset=between(self.offset),
            width_mm=between(self.width_mm),
            length_m=self.length_m[bit] * (stop - start),
            xy=np.empty((0, 2, 2)),
            origin=np.empty((0, 2)),
            bearing=np.empty(0),
        )

    def cut_offsets(self, borders: Borders) -> Bits:
        """Cut wherever a bit crosses a border along the road."""
        low, high = self.offset.min(axis=1), self.offset.max(axis=1)
        first = borders.count_below(self.segment, low, inclusive=True)
        last = borders.count_below(self.segment, high, inclusive=False)
        which, place = ranges(first, last)
        offset = borders.offsets[borders.starts[self.segment[which]] + place]
        return self.cut(which, _part(self.offset[which], offset))

    def cut_stations(self, every_m: float) -> Bits:
        """Cut at every multiple of a station."""
        low, high = self.station.min(axis=1) / every_m, self.station.max(axis=1) / every_m
        first = np.floor(low).astype(np.int64) + 1
        which, place = ranges(first, np.ceil(high).astype(np.int64))
        return self.cut(which, _part(self.station[which], np.asarray(place * every_m, np.float64)))

    def cut_widths(self, limits_mm: tuple[float, float]) -> Bits:
        """Cut where the width passes a limit."""
        low, high = self.width_mm.min(axis=1), self.width_mm.max(axis=1)
        which: list[Integers] = []
        width: list[Floats] = []
        for limit in limits_mm:
            crossing = np.flatnonzero((low < limit) & (limit < high))
            which.append(crossing)
            width.append(np.full(len(crossing), limit))
        bit = np.concatenate(which)
        return self.cut(bit, _part(self.width_mm[bit], np.concatenate(width)))

    def sum_by(self, keys: Integers, size: int) -> Floats:
        """Return (size,) lengths in m of the bits by key; keys below 0 are left out."""
        wanted = keys >= 0
        return sums_by(keys[wanted], self.length_m[wanted], size)


@dataclass(frozen=True)
class Borders:
    """Borders along S roads: offsets in m, ascending for each road; starts: (S + 1,) where they begin."""

    offsets: Floats
    starts: Integers

    def count_below(self, segment: Integers, offset: Floats, *, inclusive: bool) -> Integers:
        """Return how many borders of its segment lie below (or at) each offset."""
        owner = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        keys = owner * (3.0 * FAR_M) + self.offsets
        wanted = segment * (3.0 * FAR_M) + np.clip(offset, -FAR_M, FAR_M)
        found = np.searchsorted(keys, wanted, side="right" if inclusive else "left")
        return np.asarray(found - self.starts[segment], np.int64)

    def strip_of(self, bits: Bits) -> Integers:
        """Return between which borders the middle of each bit lies: 0 before the second one, and so on.

        -1 to the right of all borders, and their number less 1 to the left of all.
        """
        return self.count_below(bits.segment, bits.offset.mean(axis=1), inclusive=True) - 1


def sums_by(keys: Integers, values: NDArray[Any], size: int) -> Floats:
    """Return (size,) sums of values by key."""
    return np.asarray(np.bincount(keys, values, minlength=size), np.float64)


def _halved(piece: Integers, xy: Floats, width: Floats) -> tuple[Integers, Floats, Floats]:
    """Divide steps longer than MAX_STEP_M into equal parts."""
    length = np.hypot(*(xy[:, 1] - xy[:, 0]).T)
    parts = np.maximum(np.ceil(length / MAX_STEP_M), 1.0).astype(np.int64)
    step, place = counted(parts)
    t = np.stack([place, place + 1], axis=1) / parts[step, None]
    along = xy[step, 1] - xy[step, 0]
    xy_parts = xy[step, 0][:, None] + t[:, :, None] * along[:, None]
    wider = width[step, 1] - width[step, 0]
    return piece[step], xy_parts, width[step, 0, None] + t * wider[:, None]


def _beside(xy: Floats, segment: Integers, frames: RoadFrames) -> tuple[Floats, Floats, Floats]:
    """Return stations and offsets of both ends of steps, and the road's bearing beside their middles."""
    closed = frames.closed[segment, None]
    ends = [frames.project(xy[:, end].copy(), segment) for end in (0, 1)]
    station, offset, bearings = (np.stack(pair, axis=1) for pair in zip(*ends, strict=True))
    middle_station, middle_offset, bearing = frames.project(xy.mean(axis=1), segment)
    x, y = (xy[:, 1] - xy[:, 0]).T
    apart = np.abs(station[:, 1] - station[:, 0]) > np.hypot(x, y) + ROUNDING
    jumps = np.flatnonzero(apart & ~_rounds_corner(x, y, station, offset, bearings))
    x, y, beside = x[jumps], y[jumps], bearing[jumps]
    half = np.array([-0.5, 0.5])
    along, aside = np.cos(beside) * x + np.sin(beside) * y, np.cos(beside) * y - np.sin(beside) * x
    station[jumps] = middle_station[jumps, None] + along[:, None] * half
    offset[jumps] = middle_offset[jumps, None] + aside[:, None] * half
    # Nothing lies beyond the ends of a closed road.
    np.clip(station, 0.0, frames.lengths[segment, None], out=station, where=closed)
    return station, offset, bearing


def _rounds_corner(
    x: Floats, y: Floats, station: Floats, offset: Floats, bearings: Floats
) -> NDArray[np.bool_]:
    """Return which steps (x, y) follow the road round a corner, whose inner side is short.

    There a step skips no more than what both legs of the sharpest corner lose at its offset, 2 d tan(60°),
    and goes along the road more than across it, or at least as far along as either leg does; others lie on
    the bisector. The turn between its ends tells no more: vertices may wander a few centimetres.
    Legs that turn by more than SHARPEST_TURN are two roads side by side, as those of a hairpin.
    """
    turn = (bearings[:, 1] - bearings[:, 0] + np.pi) % (2.0 * np.pi) - np.pi
    skipped = np.abs(station[:, 1] - station[:, 0]) - np.hypot(x, y)
    sharp = np.abs(turn) > SHARPEST_TURN
    legs = 2.0 * np.abs(offset).max(axis=1) * np.tan(SHARPEST_TURN / 2.0)
    ahead = bearings[:, 0] + turn / 2.0
    along = np.abs(np.cos(ahead) * x + np.sin(ahead) * y)
    least = np.minimum(np.sqrt(0.5), np.cos(turn / 2.0)) - ROUNDING
    follows = along >= np.hypot(x, y) * least
    rounds: NDArray[np.bool_] = ~sharp & follows & (skipped <= legs + ROUNDING)
    return rounds


def _part(pairs: Floats, value: Floats) -> Floats:
    """Return at which part of each pair a value lies, kept off the ends by rounding's width."""
    part: Floats = (value - pairs[:, 0]) / (pairs[:, 1] - pairs[:, 0])
    return np.clip(part, 1e-12, 1.0 - 1e-12)
