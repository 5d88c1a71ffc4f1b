"""Sample units of the PCI: segments cut into parts of about 225 m2, and what was found on each.

ASTM D6433 rates units of 225 +- 90 m2 (2500 +- 1000 square feet) and takes a section's index as the
mean of its units' by area. A segment is cut across, at whole rows of cells, into so many units of
equal length that their imaged area is nearest to 225 m2 and none is above 315 m2; a smaller segment
is one unit. A unit's area is the imaged ground beside its part of the centre-line, whether on lanes or
not; a crack beside a part that nobody saw counts in the nearest unit that was seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import shapely

from pavemap.geo.arrays import Floats, Geometries, Integers, ranges
from pavemap.geo.measures.bits import Bits, sums_by
from pavemap.geo.measures.crack_patterns import Pattern
from pavemap.geo.measures.crack_types import ALLIGATOR, BLOCK, CrackTypes
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.pci import DISTRESSES, deduct_value, density_percent, pci, section_pci
from pavemap.geo.measures.road_frame import RoadFrames
from pavemap.geo.measures.scene import SegmentGeometry
from pavemap.geo.measures.severity import HIGH, LOW, MEDIUM, SEVERITIES, UNKNOWN, severity_of
from pavemap.geo.measures.zeb import row_count

LARGEST = 1.4
"""Of the usual area: (225 + 90) / 225."""


@dataclass(frozen=True)
class SampleUnits:
    """U units of S segments, in their order.

    segment, area_m2: (U,). first: (S + 1,) where the units of each segment start; rows: (S,) rows of
    cells of each segment; cell_m: their length.
    """

    segment: Integers
    area_m2: Floats
    first: Integers
    rows: Integers
    cell_m: float

    @classmethod
    def divide(
        cls, ground: Geometries, imaged_m2: Floats, *, frames: RoadFrames, params: MeasureParams
    ) -> SampleUnits:
        """Cut segments into units by their imaged ground: (S,) polygons in the CRS, and their true m2."""
        rows = row_count(frames, params.zeb_cell_m)
        count = np.maximum(np.floor(imaged_m2 / params.sample_unit_m2 + 0.5), 1.0)
        count += imaged_m2 / count > LARGEST * params.sample_unit_m2
        count = np.minimum(count.astype(np.int64), rows)
        first = np.concatenate([[0], np.cumsum(count)])
        segment = np.repeat(np.arange(len(rows)), count)
        units = cls(segment, np.zeros(len(segment)), first, rows, params.zeb_cell_m)
        seen = np.flatnonzero(imaged_m2 > 0.0)
        which, unit, share = _over_units(ground[seen], seen, frames=frames, units=units)
        area = sums_by(unit, share * imaged_m2[seen[which]], len(segment))
        return replace(units, area_m2=area)

    def at(self, segment: Integers, station: Floats) -> Integers:
        """Return the unit at each station of a segment; what lies beyond an end is in the last one."""
        row = np.floor(station / self.cell_m).astype(np.int64)
        row = np.clip(row, 0, self.rows[segment] - 1)
        return _of_row(self.first, self.rows, segment, row)

    def start_of(self, unit: Integers) -> Floats:
        """Return the stations where units start."""
        segment = self.segment[unit]
        place = unit - self.first[segment]
        count = self.first[segment + 1] - self.first[segment]
        start: Floats = -(-place * self.rows[segment] // count) * self.cell_m
        return start

    def imaged(self, unit: Integers) -> Integers:
        """Return each unit, or where none of it was imaged the nearest of its segment of which some was."""
        seen = np.flatnonzero(self.area_m2 > 0.0)
        if not len(seen):
            return unit
        place = np.searchsorted(seen, unit)
        before, after = seen[np.maximum(place - 1, 0)], seen[np.minimum(place, len(seen) - 1)]
        away = [
            np.abs(each - unit) + len(self.area_m2) * (self.segment[each] != self.segment[unit])
            for each in (before, after)
        ]
        nearest = np.where(away[0] < away[1], before, after)
        return np.asarray(np.where(self.segment[nearest] == self.segment[unit], nearest, unit))


@dataclass(frozen=True)
class PatternParts:
    """M parts of patterns, each on one segment: segment, distress (in `DISTRESSES`), severity (in
    `SEVERITIES`), area_m2 (true) and unit; (M,) each."""

    segment: Integers
    distress: Integers
    severity: Integers
    area_m2: Floats
    unit: Integers

    @classmethod
    def divide(
        cls,
        pattern: Pattern,
        bits: Bits,
        *,
        crack: Integers,
        segments: SegmentGeometry,
        frames: RoadFrames,
        units: SampleUnits,
        params: MeasureParams,
    ) -> PatternParts:
        """Share the ground of patterns out to segments, by pavement, and to units along them.

        bits: of whole pieces; crack: (P,) the crack of each piece.
        """
        shapely.prepare(segments.pavement)
        tree = shapely.STRtree(segments.pavement)
        ground, segment = tree.query(pattern.ground, predicate="intersects")
        part = pattern.ground[ground]
        cut = ~shapely.covers(segments.pavement[segment], part)
        part[cut] = shapely.intersection(part[cut], segments.pavement[segment[cut]])
        area = shapely.area(part) / frames.scale[segment] ** 2
        some = area > 0.0
        ground, segment, part, area = ground[some], segment[some], part[some], area[some]
        which, unit, share = _over_units(part, segment, frames=frames, units=units)
        ground, segment, area = ground[which], segment[which], area[which] * share
        severity = _pattern_severity(pattern, bits, crack, params)[ground]
        distress = np.where(pattern.alligator[ground], 0, 1)
        return cls(segment, distress, severity, area, unit)

    def area_of(self, distress: int, count: int) -> Floats:
        """Return (count,) m2 of a distress by segment."""
        area = np.where(self.distress == distress, self.area_m2, 0.0)
        return sums_by(self.segment, area, count)


def units_pci(
    units: SampleUnits, bits: Bits, *, types: CrackTypes, parts: PatternParts, params: MeasureParams
) -> Floats:
    """Return (S,) cracking-only PCI of segments, nan where nothing was imaged; see `pci`."""
    seen = units.area_m2 > 0.0
    quantity = unit_distresses(units, bits, types=types, parts=parts, params=params)[seen]
    area = units.area_m2[seen]
    deducts = [
        deduct_value(kind, name, density_percent(kind, quantity[:, i, j], area))
        for i, kind in enumerate(DISTRESSES)
        for j, name in enumerate(SEVERITIES)
    ]
    index = pci(np.stack(deducts, axis=1))
    return section_pci(index, area, units.segment[seen], len(units.rows))


def unit_distresses(
    units: SampleUnits, bits: Bits, *, types: CrackTypes, parts: PatternParts, params: MeasureParams
) -> Floats:
    """Return what each unit has of `DISTRESSES` (m2, m2, m) by `SEVERITIES`, (U, 3, 3).

    Cracks outside patterns count by their length and local width, patterns by their area. Where no width
    is known severity is low.
    """
    line = np.flatnonzero(~np.isin(types.code[bits.piece], (ALLIGATOR, BLOCK)))
    grade = severity_of(bits.width_mm[line].mean(axis=1), params)
    where = units.at(bits.segment[line], bits.station[line].mean(axis=1))
    distress = np.concatenate([parts.distress, np.full(len(line), 2)])
    severity = np.concatenate([parts.severity, np.where(grade == UNKNOWN, LOW, grade)])
    unit = units.imaged(np.concatenate([parts.unit, where]))
    amount = np.concatenate([parts.area_m2, bits.length_m[line]])
    shape = (len(units.segment), len(DISTRESSES), len(SEVERITIES))
    key = np.ravel_multi_index((unit, distress, severity), shape)
    return sums_by(key, amount, int(np.prod(shape))).reshape(shape)


def _over_units(
    parts: Geometries, segment: Integers, *, frames: RoadFrames, units: SampleUnits
) -> tuple[Integers, Integers, Floats]:
    """Return (part, unit, share of the part's area) for every unit that a part of the ground lies on.

    The shares of a part sum up to 1.
    """
    points, owner = shapely.get_coordinates(parts, return_index=True)
    station, offset, _ = frames.project(frames.local(points, segment[owner]), segment[owner])
    ends = np.searchsorted(owner, np.arange(len(parts)))
    low, high, far = (
        reduce.reduceat(values, ends) if len(parts) else np.empty(0)
        for reduce, values in (
            (np.minimum, station),
            (np.maximum, station),
            (np.maximum, np.abs(offset)),
        )
    )
    first, last = units.at(segment, low), units.at(segment, high)
    which, unit = ranges(first, last + 1)
    # A part on one unit is its own; one on several is cut by the lines across the road between them.
    share = np.ones(len(which))
    several = np.flatnonzero((last > first)[which])
    part, across = which[several], unit[several]
    owner = segment[part]
    start = np.where(across > first[part], units.start_of(across), low[part])
    following = np.minimum(across + 1, len(units.segment) - 1)
    stop = np.where(across < last[part], units.start_of(following), high[part])
    slices = frames.slices(owner, start, stop, aside_m=far[part] + 1.0)
    cut = shapely.area(shapely.intersection(parts[part], slices))
    total = sums_by(part, cut, len(parts))[part]
    alone = np.where(across == first[part], 1.0, 0.0)  # all of it lies beyond the line's ends
    share[several] = np.divide(cut, total, out=alone, where=total > 0.0)
    return which, unit, share


def _of_row(first: Integers, rows: Integers, segment: Integers, row: Integers) -> Integers:
    count = first[segment + 1] - first[segment]
    return np.asarray(first[segment] + row * count // rows[segment], np.int64)


def _pattern_severity(
    pattern: Pattern, bits: Bits, crack: Integers, params: MeasureParams
) -> Integers:
    """Return (K,) severities of patterns, by the mean width of the cracks that bound or lie in them.

    crack: (P,) the crack of each piece; each counts with its own mean width and the length it has there.

    Block: as single cracks. Alligator: medium, as cells that close are a network (D6433 has low for cracks
    side by side with few links), and high where the cracks are wide.
    """
    grounds, cracks = len(pattern.ground), int(crack.max(initial=-1)) + 1
    known = bits.length_m * (bits.width_mm[:, 0] > 0.0)
    area = sums_by(crack[bits.piece], known * bits.width_mm.mean(axis=1), cracks)
    length = sums_by(crack[bits.piece], known, cracks)
    mean = np.divide(area, length, out=np.zeros(cracks), where=length > 0.0)[crack[pattern.piece]]
    inside = pattern.inside * (mean > 0.0)
    weight = sums_by(pattern.of, inside, grounds)
    total = sums_by(pattern.of, inside * mean, grounds)
    width = np.divide(total, weight, out=np.zeros(grounds), where=weight > 0.0)
    block = severity_of(width, params)
    alligator = np.where(width >= params.alligator_high_mm, HIGH, MEDIUM)
    chosen = np.where(pattern.alligator, alligator, np.where(block == UNKNOWN, LOW, block))
    return np.asarray(chosen, np.int64)
