"""The features of a road file with their fields: flat lines, widths and measures, each repair noted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.errors import BadInput
from pavemap.geo.road_fields import (
    METRES,
    LengthUnit,
    Quantities,
    read_counts,
    read_lengths,
    read_texts,
)
from pavemap.geo.road_files import RawLines

MIN_WIDTH_M, MAX_WIDTH_M = 1.0, 100.0
LINE_TYPES = (1, 2, 5)
"""shapely's numbers of LineString, LinearRing and MultiLineString."""


@dataclass(frozen=True)
class FieldMap:
    """Which fields of the file say what; None where the file has no such field.

    `begin` and `end` are the agency's measures at a line's two ends (in `measure_unit`); without them M
    values are taken where the geometry has any, else a road counts from 0 to its length.
    """

    road_id: str | None = None
    name: str | None = None
    width: str | None = None
    lanes: str | None = None
    begin: str | None = None
    end: str | None = None
    width_unit: LengthUnit = "m"
    measure_unit: LengthUnit = "m"

    def __post_init__(self) -> None:
        """Refuse units that are not known."""
        for unit in (self.width_unit, self.measure_unit):
            if unit not in METRES:
                raise BadInput(
                    f"'{unit}' is no unit of length here; use one of {', '.join(METRES)}"
                )

    @property
    def columns(self) -> list[str]:
        """The fields to read, in a fixed order."""
        fields = (self.road_id, self.name, self.width, self.lanes, self.begin, self.end)
        return [name for name in fields if name is not None]


@dataclass(frozen=True)
class ImportNote:
    """One repair: the feature ('#12 (A1)', the 12th of the file; '' for `count` of them), what, how."""

    feature: str
    problem: str
    action: str
    count: int = 1


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

    def note(self, features: NDArray[np.int64], problem: str, action: str) -> None:
        """Note a problem of single features, by their positions in the file."""
        for index in features:
            label = f"#{index + 1} ({self.ids[index]})" if self.ids[index] else f"#{index + 1}"
            self.notes.append(ImportNote(label, problem, action))

    def note_all(self, features: NDArray[np.bool_], problem: str, action: str) -> None:
        """Note a trait of many features, which is no defect of any one of them."""
        if features.any():
            self.notes.append(ImportNote("", problem, action, int(features.sum())))

    def lines(self) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
        """Return flat LineStrings in the file's CRS and the feature each belongs to."""
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
        flat = shapely.force_2d(geometries[feature])
        coordinates, owner = shapely.get_coordinates(flat, return_index=True)
        broken = np.zeros(len(flat), dtype=bool)
        broken[owner[~np.isfinite(coordinates).all(axis=1)]] = True
        self.note(feature[broken], "coordinates that are no numbers", "left out")
        return self._single(flat[~broken], feature[~broken])

    def _single(
        self, geometries: NDArray[np.object_], feature: NDArray[np.int64]
    ) -> tuple[NDArray[np.object_], NDArray[np.int64]]:
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

    def measures(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return each feature's measures at its two ends in metres, NaN where it has none."""
        unit, count = self.fields.measure_unit, len(self.raw.geometries)
        ends = [self._quantities(name, unit) for name in (self.fields.begin, self.fields.end)]
        begin, end = (np.full(count, np.nan) if each is None else each.values for each in ends)
        if self.fields.begin is None and self.fields.end is None:
            only = shapely.get_geometry(self.raw.geometries, 0)
            single = shapely.get_num_geometries(self.raw.geometries) == 1
            begin = np.where(single, shapely.get_m(shapely.get_point(only, 0)), np.nan)
            end = np.where(single, shapely.get_m(shapely.get_point(only, -1)), np.nan)
            begin, end = begin * METRES[unit], end * METRES[unit]
            measured = shapely.has_m(self.raw.geometries)
            self.note_all(measured & single, "measures (M)", "kept at the two ends of the road")
            self.note_all(measured & ~single, "measures (M) of several parts", "ignored")
        for each in ends:
            if each is not None:
                self.note(np.flatnonzero(each.unreadable), "a measure that is no number", "ignored")
        equal = begin == end
        self.note(np.flatnonzero(equal), "measures that don't change along the line", "ignored")
        return np.where(equal, np.nan, begin), np.where(equal, np.nan, end)

    def widths(self, default_m: float, lane_width_m: float) -> NDArray[np.float64]:
        """Return each feature's width in metres: its own, by its lanes, or the default."""
        width = self._quantities(self.fields.width, self.fields.width_unit)
        lanes = self._quantities(self.fields.lanes, None)
        result = np.full(len(self.raw.geometries), np.nan)
        for what, read, metres in (("width", width, 1.0), ("lanes", lanes, lane_width_m)):
            if read is None:
                continue
            values = read.values * metres
            absurd = ~np.isnan(values) & ~((values >= MIN_WIDTH_M) & (values <= MAX_WIDTH_M))
            self.note(np.flatnonzero(read.unreadable), f"a {what} that can't be read", "ignored")
            self.note(np.flatnonzero(read.several), f"several values of {what}", "mean taken")
            self.note(np.flatnonzero(absurd), f"a {what} outside 1 to 100 m", "ignored")
            result = np.where(np.isnan(result) & ~absurd, values, result)
        if width is not None or lanes is not None:
            self.note_all(np.isnan(result), "no width", f"default of {default_m:g} m")
        return np.where(np.isnan(result), default_m, result)

    def _quantities(self, name: str | None, unit: LengthUnit | None) -> Quantities | None:
        if name is None:
            return None
        cells = self.raw.columns[name]
        return read_counts(cells) if unit is None else read_lengths(cells, unit=unit)

    def _texts(self, name: str | None) -> list[str]:
        if name is None:
            return [""] * len(self.raw.geometries)
        return read_texts(self.raw.columns[name])
