"""The tables of an export: their geometry, their columns and the types of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pavemap.platform.exports.styling import DENSITY, PCI

LayerName = Literal["segments", "cracks", "pieces", "changes", "crack_changes"]


@dataclass(frozen=True)
class Layer:
    """A table of the result: its geometry (in two dimensions) and its columns."""

    name: LayerName
    geometry: str
    columns: Mapping[str, str]
    """Pandas type by column, so that a column of nulls is still one of numbers."""


_TEXT, _REAL, _COUNT, _FLAG = "string", "Float64", "Int64", "boolean"

_SEGMENT = {
    "segment_key": _TEXT,
    "road_key": _TEXT,
    "name": _TEXT,
    "from_m": _REAL,
    "to_m": _REAL,
    "length_m": _REAL,
}

LAYERS: Mapping[LayerName, Layer] = {
    "segments": Layer(
        "segments",
        "MultiPolygon",
        {
            **_SEGMENT,
            "width_m": _REAL,
            "width_source": _TEXT,
            "lanes": _COUNT,
            "oneway": _FLAG,
            "surface": _TEXT,
            "pavement_m2": _REAL,
            "imaged_m2": _REAL,
            "coverage": _REAL,
            "crack_count": _COUNT,
            "crack_length_m": _REAL,
            "cracked_area_m2": _REAL,
            DENSITY: _REAL,
            "confident": _FLAG,
            "reason": _TEXT,
            "too_coarse": _REAL,
            "cracked_area_share": _REAL,
            "length_longitudinal_m": _REAL,
            "length_transverse_m": _REAL,
            "length_diagonal_m": _REAL,
            "length_alligator_m": _REAL,
            "length_block_m": _REAL,
            "length_low_m": _REAL,
            "length_medium_m": _REAL,
            "length_high_m": _REAL,
            "length_unknown_m": _REAL,
            "alligator_m2": _REAL,
            "block_m2": _REAL,
            "zeb_share": _REAL,
            "zeb_evaluated": _REAL,
            "cracking_percent": _REAL,
            "cracking_rating": _TEXT,
            PCI: _REAL,
            "pci_rating": _TEXT,
        },
    ),
    "changes": Layer(
        "changes",
        "MultiPolygon",
        {
            **_SEGMENT,
            "density_before_m_per_m2": _REAL,
            "density_after_m_per_m2": _REAL,
            "density_change_m_per_m2": _REAL,
            "uncertainty_m_per_m2": _REAL,
            "significant": _FLAG,
            "coverage_before": _REAL,
            "coverage_after": _REAL,
            "common_m2": _REAL,
            "new_m": _REAL,
            "grown_m": _REAL,
            "gone_m": _REAL,
            "unchanged_m": _REAL,
            "widened_mm": _REAL,
        },
    ),
    "crack_changes": Layer(
        "crack_changes",
        "LineString",
        {
            "segment_key": _TEXT,
            "kind": _TEXT,
            "length_m": _REAL,
            "width_mean_mm": _REAL,
            "width_before_mm": _REAL,
        },
    ),
    "cracks": Layer(
        "cracks",
        "LineString",
        {
            "crack_id": _COUNT,
            "length_m": _REAL,
            "width_mean_mm": _REAL,
            "width_p95_mm": _REAL,
            "width_max_mm": _REAL,
            "area_m2": _REAL,
            "confidence": _REAL,
            "model": _TEXT,
        },
    ),
    "pieces": Layer(
        "pieces",
        "LineString",
        {
            "crack_id": _COUNT,
            "segment_key": _TEXT,
            "length_m": _REAL,
            "width_mean_mm": _REAL,
            "width_p95_mm": _REAL,
            "width_max_mm": _REAL,
            "area_m2": _REAL,
        },
    ),
}
