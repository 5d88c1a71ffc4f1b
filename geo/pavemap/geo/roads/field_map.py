"""Which fields of a road file say what, as they are named or as they are usually called."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pavemap.geo.errors import BadInput
from pavemap.geo.roads.length_units import METRES, LengthUnit

USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "name": ("name", "road_name", "street_name", "route_name", "roadname", "streetname", "strname"),
    "lanes": ("lanes", "lane_count", "num_lanes", "no_lanes", "nlanes", "through_lanes"),
    "oneway": ("oneway", "one_way", "is_oneway"),
    "surface": ("surface", "surface_type", "surf_type", "pavement_type", "pave_type"),
    "level": ("layer",),
    "bridge": ("bridge",),
    "tunnel": ("tunnel",),
}
"""Fields that are found by their name, in any case: OpenStreetMap's, HPMS's and common spellings.

Widths and measures are never guessed: a bare number in a field of that name may be feet or miles.
"""


@dataclass(frozen=True)
class FieldMap:
    """Which fields of the file say what; None where the file has no such field.

    `begin` and `end` are the agency's measures at a line's two ends (in `measure_unit`); without them M
    values are taken where the geometry has any, else a road counts from 0 to its length. `section` is
    the agency's name of a maintenance section; `level`, `bridge` and `tunnel` tell roads apart that
    cross without meeting. With `guess`, fields that are None are looked for by their `USUAL_NAMES`.
    """

    road_id: str | None = None
    name: str | None = None
    width: str | None = None
    lanes: str | None = None
    begin: str | None = None
    end: str | None = None
    width_unit: LengthUnit = "m"
    measure_unit: LengthUnit = "m"
    oneway: str | None = None
    surface: str | None = None
    section: str | None = None
    level: str | None = None
    bridge: str | None = None
    tunnel: str | None = None
    guess: bool = True

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
        fields = (
            *(self.road_id, self.name, self.width, self.lanes, self.begin, self.end),
            *(self.oneway, self.surface, self.section, self.level, self.bridge, self.tunnel),
        )
        return [name for name in fields if name is not None]

    @property
    def optional(self) -> list[str]:
        """Names, in lower case, of the fields to read where the file has them."""
        unknown = [each for each in USUAL_NAMES if self.guess and getattr(self, each) is None]
        return [name for each in unknown for name in USUAL_NAMES[each]]

    def completed(self, known: list[str]) -> FieldMap:
        """Return the map with the fields found by their usual names among those of the file."""
        used = set(self.columns)
        by_name = {name.lower(): name for name in reversed(known) if name not in used}
        found: dict[str, Any] = {}
        for each, usual in USUAL_NAMES.items():
            names = [by_name[name] for name in usual if name in by_name]
            if self.guess and getattr(self, each) is None and names:
                found[each] = names[0]
        return replace(self, **found)
