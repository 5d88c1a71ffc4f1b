"""The features of a road file with their fields: flat lines, widths and measures, each repair noted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Integers, Objects
from pavemap.geo.roads.field_map import FieldMap
from pavemap.geo.roads.lanes import LANE_WIDTH_M, MAX_LANES
from pavemap.geo.roads.length_units import METRES, LengthUnit
from pavemap.geo.roads.road_fields import (
    Quantities,
    read_counts,
    read_flags,
    read_lengths,
    read_measures,
    read_texts,
)
from pavemap.geo.vector_files import RawLines

MIN_WIDTH_M, MAX_WIDTH_M = 1.0, 100.0
LINE_TYPES = (1, 2, 5)
"""shapely's numbers of LineString, LinearRing and MultiLineString."""


@dataclass(frozen=True)
class ImportNote:
    """One repair: the feature ('#12 (A1)', the 12th of the file; '' for `count` of them), what, how."""

    feature: str
    problem: str
    action: str
    count: int = 1


@dataclass(frozen=True)
class FlatLines:
    """(N,) LineStrings, the feature each is of, and the measures (m) at its two ends, NaN for none.

    Along lines that were turned round measures fall.
    """

    lines: Objects
    feature: Integers
    begin_m: Floats
    end_m: Floats
    turned_round: NDArray[np.bool_]

    def __getitem__(self, kept: NDArray[np.bool_]) -> FlatLines:
        """Return those of a mask."""
        return FlatLines(**{name: values[kept] for name, values in vars(self).items()})

    def measures(self, length_m: Floats) -> tuple[Floats, Floats]:
        """Return the measures (m) at the two ends, by the lengths where one is missing or both are."""
        along = np.where(self.turned_round, -length_m, length_m)
        begin, end = self.begin_m, self.end_m
        both = np.isnan(begin) & np.isnan(end)
        from_m = np.where(np.isnan(begin), np.maximum(end - along, 0.0), begin)
        to_m = np.where(np.isnan(end), np.maximum(begin + along, 0.0), end)
        return np.where(both, 0.0, from_m), np.where(both, length_m, to_m)

    def turned(self, chosen: NDArray[np.bool_]) -> FlatLines:
        """Turn some lines round, with their measures."""
        return replace(
            self,
            lines=np.where(chosen, shapely.reverse(self.lines), self.lines),
            begin_m=np.where(chosen, self.end_m, self.begin_m),
            end_m=np.where(chosen, self.begin_m, self.end_m),
            turned_round=self.turned_round ^ chosen,
        )


@dataclass
class RoadTable:
    """The features of a file, their fields, and the notes made on them so far."""

    raw: RawLines
    fields: FieldMap
    notes: list[ImportNote] = field(default_factory=list)

    @cached_property
    def ids(self) -> list[str]:
        return self._texts(self.fields.road_id)

    @cached_property
    def names(self) -> list[str]:
        return self._texts(self.fields.name)

    @cached_property
    def surfaces(self) -> list[str]:
        return self._texts(self.fields.surface)

    @cached_property
    def sections(self) -> list[str]:
        return self._texts(self.fields.section)

    @property
    def count(self) -> int:
        return len(self.raw.geometries)

    def note(self, features: Integers, problem: str, action: str) -> None:
        """Note a problem of single features, by their positions in the file."""
        for index in features:
            label = f"#{index + 1} ({self.ids[index]})" if self.ids[index] else f"#{index + 1}"
            self.notes.append(ImportNote(label, problem, action))

    def note_all(self, features: NDArray[np.bool_], problem: str, action: str) -> None:
        """Note a trait of many features, which is no defect of any one of them."""
        if features.any():
            self.notes.append(ImportNote("", problem, action, int(features.sum())))

    def lines(self) -> FlatLines:
        """Return flat LineStrings in the file's CRS, in the direction of traffic where it is one-way."""
        geometries = self.raw.geometries
        kinds = shapely.get_type_id(geometries)
        empty = (kinds == -1) | (np.isin(kinds, LINE_TYPES) & shapely.is_empty(geometries))
        other = ~empty & ~np.isin(kinds, LINE_TYPES)
        self.note(np.flatnonzero(empty), "no geometry, or one that can't be read", "left out")
        for kind in np.unique(kinds[other]):
            name = shapely.GeometryType(kind).name.lower()
            self.note(np.flatnonzero(kinds == kind), f"a {name}, not a line", "left out")
        self.note_all(shapely.has_z(geometries), "heights (Z)", "dropped")
        feature = np.flatnonzero(~empty & ~other)
        flat = _with_m_as_height(geometries[feature])
        coordinates, owner = shapely.get_coordinates(flat, return_index=True)
        broken = np.zeros(len(flat), dtype=bool)
        broken[owner[~np.isfinite(coordinates).all(axis=1)]] = True
        self.note(feature[broken], "coordinates that are no numbers", "left out")
        lines, feature = self._single(flat[~broken], feature[~broken])
        begin, end = self._measures(lines, feature)
        as_drawn = np.zeros(len(lines), dtype=bool)
        found = FlatLines(np.asarray(shapely.force_2d(lines)), feature, begin, end, as_drawn)
        against = self.oneway == -1.0
        self.note(np.flatnonzero(against), "one-way against its line", "the line turned round")
        return found.turned(against[feature])

    def _single(self, geometries: Objects, feature: Integers) -> tuple[Objects, Integers]:
        """Join the parts of multi-part lines where they meet end to start, and split the others."""
        several = np.flatnonzero(shapely.get_num_geometries(geometries) > 1)
        joined = shapely.line_merge(geometries[several], directed=True)
        # Parts drawn against each other are one road still, in the direction of most of them.
        open_ = shapely.get_num_geometries(joined) > 1
        joined[open_] = shapely.line_merge(joined[open_])
        split = shapely.get_num_geometries(joined) > 1
        self.note(feature[several[~split]], "several parts that meet", "joined to one road")
        self.note(feature[several[split]], "several parts apart", "split into one road each")
        result = geometries.copy()
        result[several] = joined
        lines, source = shapely.get_parts(result, return_index=True)
        return lines, feature[source]

    def _measures(self, lines: Objects, feature: Integers) -> tuple[Floats, Floats]:
        """Return the measures at the two ends of lines in metres, NaN where they have none."""
        unit = self.fields.measure_unit
        if self.fields.begin is None and self.fields.end is None:
            begin, end = (shapely.get_z(shapely.get_point(lines, at)) for at in (0, -1))
            begin, end = begin * METRES[unit], end * METRES[unit]
            half = np.isnan(begin) | np.isnan(end)
            begin[half] = end[half] = np.nan
            measured = np.zeros(self.count, dtype=bool)
            measured[feature[~half]] = True
            self.note_all(measured, "measures (M)", "kept at the two ends of the road")
        else:
            begin, end = (
                self._measured_by(name, unit)[feature]
                for name in (self.fields.begin, self.fields.end)
            )
            parts = np.bincount(feature, minlength=self.count)[feature] > 1
            lost = np.unique(feature[parts & ~(np.isnan(begin) & np.isnan(end))])
            self.note(lost, "measures of a road in several parts", "ignored")
            begin[parts] = end[parts] = np.nan
        equal = begin == end
        self.note(np.unique(feature[equal]), "measures that don't change along the line", "ignored")
        return np.where(equal, np.nan, begin), np.where(equal, np.nan, end)

    def _measured_by(self, name: str | None, unit: LengthUnit) -> Floats:
        if name is None:
            return np.full(self.count, np.nan)
        read = read_measures(self.raw.columns[name], unit=unit)
        self.note(np.flatnonzero(read.unreadable), "a measure that is no number", "ignored")
        return read.values

    @cached_property
    def lanes(self) -> Floats:
        """Each feature's lanes, in both directions together; NaN where not stated."""
        return self._numbers("lanes", "lane count", 1.0, MAX_LANES, read_counts)

    @cached_property
    def oneway(self) -> Floats:
        """1 for one-way along the line, -1 against it, 0 for two-way; NaN where not stated."""
        if self.fields.oneway is None:
            return np.full(self.count, np.nan)
        read = read_flags(self.raw.columns[self.fields.oneway])
        self._doubts(read, "one-way flag", "yes only if all are")
        return read.values

    @cached_property
    def levels(self) -> Integers:
        """Each feature's level: 0 on the ground, above it positive; a bridge is 1, a tunnel -1 at least."""
        level = np.zeros(self.count)
        for name, usual in (("bridge", 1.0), ("tunnel", -1.0)):
            column = getattr(self.fields, name)
            if column is not None:
                words = read_texts(self.raw.columns[column])
                no = [word.lower() in {"", "no", "false", "0", "f", "n"} for word in words]
                level = np.where(no, level, usual)
        if self.fields.level is not None:
            stated = read_counts(self.raw.columns[self.fields.level]).values
            level = np.where(np.isfinite(stated) & (stated != 0.0), stated, level)
        levels: Integers = np.clip(np.round(level), -100, 100).astype(np.int64)
        return levels

    def widths(self, default_m: float) -> tuple[Floats, Objects]:
        """Return each feature's width in metres, and its source: 'field', 'lanes' or 'default'."""
        unit = self.fields.width_unit
        own = self._numbers(
            *("width", "width", MIN_WIDTH_M, MAX_WIDTH_M),
            lambda cells: read_lengths(cells, unit=unit),
        )
        width = np.where(np.isnan(own), self.lanes * LANE_WIDTH_M, own)
        source = np.where(np.isnan(own), "lanes", "field").astype(object)
        unknown = np.isnan(width)
        source[unknown] = "default"
        if self.fields.width is not None or self.fields.lanes is not None:
            self.note_all(unknown, "no width", f"default of {default_m:g} m")
        return np.where(unknown, default_m, width), source

    def _numbers(self, each: str, what: str, least: float, most: float, reader: Any) -> Floats:
        """Return a field's numbers within bounds, NaN elsewhere, with a note of what isn't so."""
        column = getattr(self.fields, each)
        if column is None:
            return np.full(self.count, np.nan)
        read: Quantities = reader(self.raw.columns[column])
        self._doubts(read, what, "mean taken")
        absurd = ~np.isnan(read.values) & ~((read.values >= least) & (read.values <= most))
        unit = " m" if each == "width" else ""
        self.note(
            np.flatnonzero(absurd), f"a {what} outside {least:g} to {most:g}{unit}", "ignored"
        )
        return np.where(absurd, np.nan, read.values)

    def _doubts(self, read: Quantities, what: str, several: str) -> None:
        self.note(np.flatnonzero(read.unreadable), f"a {what} that can't be read", "ignored")
        self.note(np.flatnonzero(read.several), f"several values of {what}", several)

    def _texts(self, name: str | None) -> list[str]:
        if name is None:
            return [""] * self.count
        return read_texts(self.raw.columns[name])


def _with_m_as_height(geometries: Objects) -> Objects:
    """Return lines in two dimensions, those with measures in three: merging parts keeps heights only."""
    flat = np.asarray(shapely.force_2d(geometries), dtype=object)
    measured = np.flatnonzero(shapely.has_m(geometries))
    points = shapely.get_coordinates(geometries[measured], include_m=True)
    raised = shapely.force_3d(flat[measured])
    flat[measured] = shapely.set_coordinates(raised, points)
    return flat
