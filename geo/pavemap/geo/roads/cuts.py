"""Where roads are cut: places on them made into stretches, and stretches into equal parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Integers, counted
from pavemap.geo.roads.chainage import Chainage

MIN_SEGMENT_M = 1.0
"""Cuts nearer to each other, or to the end of a road, are one."""


@dataclass(frozen=True)
class Stretches:
    """(N,) stretches of roads by true metres from the start of the road, in order of road and place."""

    road: Integers
    begin_m: Floats
    end_m: Floats
    nominal_m: Floats
    """Where a stretch would begin if its road were cut at whole multiples of a length."""

    @property
    def length_m(self) -> Floats:
        """(N,) true ground metres."""
        return self.end_m - self.begin_m

    @classmethod
    def between(cls, road: Integers, at_m: Floats, *, length_m: Floats) -> Stretches:
        """Cut (R,) roads at places (road, at_m), given in any order; a road without any stays whole."""
        inside = (at_m >= MIN_SEGMENT_M) & (at_m <= length_m[road] - MIN_SEGMENT_M)
        road, at_m = road[inside], at_m[inside]
        order = np.lexsort((at_m, road))
        road, at_m = road[order], at_m[order]
        apart = np.ones(len(road), dtype=bool)
        apart[1:] = (np.diff(road) != 0) | (np.diff(at_m) >= MIN_SEGMENT_M)
        road, at_m = road[apart], at_m[apart]
        count = len(length_m)
        every = np.concatenate([np.arange(count), road])
        begin = np.concatenate([np.zeros(count), at_m])
        order = np.lexsort((begin, every))
        every, begin = every[order], begin[order]
        end = np.append(begin[1:], 0.0)
        last = np.append(every[1:] != every[:-1], True)
        return cls(every, begin, np.where(last, length_m[every], end), begin)

    def equally(self, length_m: float) -> Stretches:
        """Cut each into the whole number of equal parts that come nearest to a length."""
        count = self.parts(length_m)
        whole, place = counted(count)
        start, end = place / count[whole], (place + 1) / count[whole]
        begin, extent = self.begin_m[whole], self.length_m[whole]
        return Stretches(
            self.road[whole],
            begin + start * extent,
            np.where(end >= 1.0, self.end_m[whole], begin + end * extent),
            self.nominal_m[whole] + place * length_m,
        )

    def parts(self, length_m: float) -> Integers:
        """Return the number of equal parts of each that come nearest to a length, one at least."""
        return np.maximum(np.floor(self.length_m / length_m + 0.5), 1.0).astype(np.int64)

    def snapped(self, chainage: Chainage) -> Stretches:
        """Move cuts onto vertices beside them; a road's two ends stay at exactly 0 and its length."""
        begin = np.where(self.begin_m > 0.0, chainage.snapped(self.road, self.begin_m), 0.0)
        length = chainage.length_m[self.road]
        end = np.where(self.end_m < length, chainage.snapped(self.road, self.end_m), length)
        return Stretches(self.road, begin, end, self.nominal_m)

    def joined(self, small: NDArray[np.bool_]) -> Stretches:
        """Give each of a mask to the stretch before it on its road, or else to the one after it."""
        starts = np.append(True, self.road[1:] != self.road[:-1])
        ends = np.append(starts[1:], True)
        gone = small & ~starts  # their beginning is no cut any more
        after = np.append(False, (small & starts & ~ends)[:-1])
        kept = ~(gone | after)
        group = np.cumsum(kept) - 1
        end = self.begin_m[kept].copy()
        np.maximum.at(end, group, self.end_m)
        return Stretches(self.road[kept], self.begin_m[kept], end, self.nominal_m[kept])
