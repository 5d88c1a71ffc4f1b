"""What a measure may be told: every threshold with its unit and the source of its default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from pavemap.geo.errors import BadInput
from pavemap.geo.roads.lanes import LANE_WIDTH_M, WHEEL_PATH_M, WHEEL_SPACING_M

RANGES: dict[str, tuple[float, float]] = {
    "wheel_path_m": (0.01, 100),
    "wheel_spacing_m": (0.01, 100),
    "lane_width_m": (0.5, 100),
    "r85_min_length_m": (0, 1000),
    "zeb_cell_m": (0.05, 1000),
    "zeb_strips": (1, 20),
    "zeb_min_imaged": (0, 1),
    "alligator_cell_m2": (1e-4, 1000),
    "alligator_link_m": (0.001, 100),
    "alligator_min_junctions": (1, 1_000_000),
    "alligator_high_mm": (0, 10_000),
    "block_cell_m2": (1e-4, 10_000),
    "block_rectangularity": (0, 1),
    "pattern_min_cells": (1, 1_000_000),
    "node_tolerance_m": (0, 1),
    "sample_unit_m2": (1, 1_000_000),
    "min_coverage": (0, 1),
}
"""Least and greatest value of each: what is finer says nothing more and costs, what is coarser is wrong."""
GREATEST = 1e12


@dataclass(frozen=True)
class MeasureParams:
    """The parameters of all measures. Lengths are true ground metres, crack widths millimetres.

    Raises BadInput for values that can't go together.
    """

    wheel_path_m: float = WHEEL_PATH_M
    """Width of one wheel path (23 CFR 490 and HPMS Field Manual, item 52: 39 in)."""
    wheel_spacing_m: float = WHEEL_SPACING_M
    """Between the centres of a lane's two wheel paths (AASHTO PP 44, PP 67, R 85: 2 x 0.875 m)."""
    lane_width_m: float = LANE_WIDTH_M
    """Width of a lane where a road's number of lanes is not known (pavemap's choice)."""
    drive_on_right: bool = True
    """Which lane has index 0: the one that traffic along the centre-line's direction keeps to."""
    severity_mm: tuple[float, float] = (10.0, 75.0)
    """Widths from which a crack is medium, and above which high (ASTM D6433, distresses 3 and 10)."""
    longitudinal_deg: float = 20.0
    """Greatest angle to the centre-line of a longitudinal crack, inclusive (AASHTO R 85)."""
    transverse_deg: tuple[float, float] = (70.0, 110.0)
    """Angles to the centre-line of a transverse crack, inclusive (AASHTO R 85)."""
    r85_min_length_m: float = 0.3
    """Shortest crack that R 85 counts as longitudinal."""
    zeb_cell_m: float = 1.0
    """Length of a cell along the lane (ZTV ZEB-StB: raster of 1 m)."""
    zeb_strips: int = 3
    """Strips of equal width in each lane (ZTV ZEB-StB: thirds)."""
    zeb_min_imaged: float = 0.5
    """Share of a cell that must be imaged for the cell to be evaluated (pavemap's choice)."""
    alligator_cell_m2: float = 0.1
    """Cells below this area are alligator (LTPP manual FHWA-HRT-13-092: longest side below 0.3 m, and
    blocks from 0.1 m2)."""
    alligator_link_m: float = 0.3
    """Longest crack between two junctions that counts as branching (LTPP: longest side below 0.3 m)."""
    alligator_min_junctions: int = 4
    """Junctions so linked that make alligator cracking without closed cells (pavemap's choice)."""
    alligator_high_mm: float = 10.0
    """Mean width from which alligator cracking is high, else medium (pavemap's choice: D6433 goes by
    spalling, which width stands in for)."""
    block_cell_m2: float = 10.0
    """Largest cell of block cracking (LTPP manual: 0.1 to 10 m2)."""
    block_rectangularity: float = 0.6
    """Least share of its smallest rectangle that a block fills ("approximately rectangular")."""
    pattern_min_cells: int = 3
    """Fewest cells that touch and make a pattern (pavemap's choice: one closed loop is none)."""
    node_tolerance_m: float = 0.02
    """Crack ends this near to each other, or to another crack, meet (pavemap's choice)."""
    sample_unit_m2: float = 225.0
    """Area of a PCI sample unit (ASTM D6433: 225 +- 90 m2)."""
    min_coverage: float = 0.8
    """Coverage, less what is too coarse, from which figures are `confident` (pavemap's choice)."""

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        low, high = self.severity_mm
        first, last = self.transverse_deg
        for name, (least, greatest) in RANGES.items():
            if not least <= getattr(self, name) <= greatest:
                raise BadInput(f"{name} must be from {least:,} to {greatest:,}")
        if not 0.0 < low < high:
            raise BadInput("severity_mm needs two widths above 0, the lower one first")
        if not 0.0 <= self.longitudinal_deg < first <= last < 180.0 - self.longitudinal_deg:
            raise BadInput(
                "the angles of longitudinal and transverse cracks overlap; set them apart"
            )
        if self.alligator_cell_m2 > self.block_cell_m2:
            raise BadInput("the largest alligator cell can't be larger than the largest block")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON has them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> MeasureParams:
        """Read what `to_dict` wrote; what is missing has its default.

        Raises BadInput for other names, and for values of another kind.
        """
        known = {field.name: str(field.type) for field in fields(cls)}
        if unknown := sorted(set(values) - set(known)):
            raise BadInput(f"no measure has the parameters {unknown}; known are {sorted(known)}")
        return cls(**{name: _of_kind(known[name], name, value) for name, value in values.items()})


def _of_kind(kind: str, name: str, value: object) -> Any:
    """A value that came as JSON, if it is of the kind of its field."""
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "int" and type(value) is int and _is_number(value):
        return value
    if kind == "float" and _is_number(value):
        return value
    if kind.startswith("tuple") and _are_two_numbers(value):
        return tuple(cast("Sequence[float]", value))
    raise BadInput(f"{name} must be {_KINDS[kind]}, not {_shown(value)}")


def _shown(value: object) -> str:
    """A value as a message shows it; Python writes no number of thousands of digits."""
    try:
        return repr(value)[:60]
    except ValueError:
        return "so great a number"


def _are_two_numbers(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))


def _is_number(value: object) -> bool:
    """Whether it is a number that is stored as it is; whole ones of JSON may have any number of digits."""
    return isinstance(value, (int, float)) and type(value) is not bool and abs(value) <= GREATEST


_KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "tuple[float, float]": "two numbers",
}
