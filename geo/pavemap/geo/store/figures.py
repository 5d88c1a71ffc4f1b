"""The figures of a condition, as the store's answers have them: one list for rows, SQL and pages."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a survey says of a segment; see `pavemap.geo.measures` for each measure, its source and units.

    All but what was imaged is None where nothing was imaged. Shares, the ZEB share and the cracking
    percentage are in %.
    """

    crack_count: int | None
    crack_length_m: float | None
    cracked_area_m2: float | None
    imaged_m2: float
    pavement_m2: float
    coverage: float
    density_m_per_m2: float | None
    reason: str
    """Why most of what is missing is: 'no imagery', 'no data', 'failed', 'too coarse', or ''."""
    too_coarse: float
    """Share of the pavement seen in imagery coarser than the model is meant for."""
    confident: bool
    """Whether coverage, less what is too coarse, reaches the survey's least coverage."""
    cracked_area_share: float | None
    length_longitudinal_m: float | None
    length_transverse_m: float | None
    length_diagonal_m: float | None
    length_alligator_m: float | None
    length_block_m: float | None
    length_low_m: float | None
    length_medium_m: float | None
    length_high_m: float | None
    length_unknown_m: float | None
    alligator_m2: float | None
    block_m2: float | None
    zeb_share: float | None
    zeb_evaluated: float | None
    cracking_percent: float | None
    cracking_rating: str | None
    pci_cracking: float | None
    pci_rating: str | None
    r85: dict[str, Any] | None


NAMES = tuple(field.name for field in fields(Figures))

COLUMNS = ", ".join(f"c.{name}" for name in NAMES)
"""In SQL, of a `condition c`."""

NULLABLE = tuple(
    name
    for name in NAMES
    if name in {"density_m_per_m2", "cracked_area_share", "alligator_m2", "block_m2", "zeb_share"}
    or name
    in {"cracking_percent", "pci_cracking", "crack_count", "crack_length_m", "cracked_area_m2"}
    or name.startswith("length_")
)
"""Numbers that are null where nothing was imaged."""

Sort = Literal[
    "density",
    "segment_key",
    "crack_length_m",
    "cracked_area_m2",
    "coverage",
    "crack_count",
    "length_m",
    "cracked_area_share",
    "zeb_share",
    "cracking_percent",
    "pci_cracking",
    "alligator_m2",
    "block_m2",
    "length_longitudinal_m",
    "length_transverse_m",
    "length_diagonal_m",
    "length_alligator_m",
    "length_block_m",
    "length_low_m",
    "length_medium_m",
    "length_high_m",
    "length_unknown_m",
]
"""What segments can be listed by: figures of a condition, or what the segment itself is."""
