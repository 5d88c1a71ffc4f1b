"""Results as the API shows them: segments and cracks as GeoJSON, histories, sums."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pavemap.platform.api.schemas.geojson import Feature, Page

FIGURES: JsonDict = {
    "crack_count": 14,
    "crack_length_m": 61.2,
    "cracked_area_m2": 0.42,
    "imaged_m2": 655.0,
    "pavement_m2": 700.0,
    "coverage": 0.936,
    "density_m_per_m2": 0.0934,
    "reason": "no imagery",
    "too_coarse": 0.0,
    "confident": True,
    "cracked_area_share": 0.064,
    "length_longitudinal_m": 38.4,
    "length_transverse_m": 12.9,
    "length_diagonal_m": 3.1,
    "length_alligator_m": 6.8,
    "length_block_m": 0.0,
    "length_low_m": 55.0,
    "length_medium_m": 6.2,
    "length_high_m": 0.0,
    "length_unknown_m": 0.0,
    "alligator_m2": 1.2,
    "block_m2": 0.0,
    "zeb_share": 11.3,
    "zeb_evaluated": 561,
    "cracking_percent": 3.4,
    "cracking_rating": "good",
    "pci_cracking": 78.2,
    "pci_rating": "satisfactory",
    "r85": {"longitudinal": {"between": {"length_m": 21.7, "width_mm": 5.2}}},
}

EXAMPLE_SEGMENTS: JsonDict = {
    "type": "FeatureCollection",
    "numberReturned": 1,
    "links": [
        {
            "rel": "self",
            "type": "application/geo+json",
            "href": "http://127.0.0.1:8000/api/v1/surveys/6c5f1a8e-4b7c-4b55-9d4e-2f1f0c6a7b10/segments",
        }
    ],
    "features": [
        {
            "type": "Feature",
            "id": 42,
            "geometry": {
                "type": "LineString",
                "coordinates": [[14.4211, 50.0801], [14.4225, 50.0801]],
            },
            "properties": {
                "segment_id": 42,
                "segment_key": "A1:100",
                "road_key": "A1",
                "name": "High Street",
                "from_m": 100.0,
                "to_m": 200.0,
                "length_m": 100.0,
                "width_m": 7.0,
                "width_source": "field",
                "lanes": 2,
                "oneway": False,
                "surface": "asphalt",
                **FIGURES,
            },
        }
    ],
}

EXAMPLE_CRACKS: JsonDict = {
    "type": "FeatureCollection",
    "numberReturned": 1,
    "links": [],
    "features": [
        {
            "type": "Feature",
            "id": 7,
            "geometry": {
                "type": "LineString",
                "coordinates": [[14.42112, 50.08011], [14.42114, 50.08012]],
            },
            "properties": {
                "length_m": 1.83,
                "width_mean_mm": 6.1,
                "width_p95_mm": 8.7,
                "width_max_mm": 9.4,
                "area_m2": 0.011,
                "confidence": 0.83,
                "model": "fan2018-1a2b3c4d",
                "found_digest": None,
            },
        }
    ],
}

EXAMPLE_CONDITION: JsonDict = {
    "survey_id": "6c5f1a8e-4b7c-4b55-9d4e-2f1f0c6a7b10",
    "survey_name": "Old town, spring 2026",
    "captured_on": "2026-04-28",
    "model_id": "fan2018-1a2b3c4d",
    "heeded_reviews": None,
    **FIGURES,
    "created_at": "2026-05-04T12:00:00Z",
}


EXAMPLE_SUMMARY: JsonDict = {
    "segments": 81,
    "segments_imaged": 78,
    "pavement_m2": 55391.0,
    "imaged_m2": 51846.0,
    "coverage": 0.936,
    "too_coarse_m2": 0.0,
    "crack_count": 1127,
    "crack_length_m": 4837.2,
    "cracked_area_m2": 33.2,
    "density_m_per_m2": 0.0933,
}


class FiguresOut(BaseModel):
    """The figures of a segment in one survey; docs/measures.md explains each.

    Where nothing was imaged all figures of cracks are null, never 0; the others say what was imaged, and
    are never null.
    """

    crack_count: int | None
    crack_length_m: float | None
    cracked_area_m2: float | None = Field(description="crack length times width")
    imaged_m2: float = Field(description="imaged pavement, in true square metres")
    pavement_m2: float
    coverage: float = Field(description="imaged_m2 / pavement_m2, 0 to 1")
    density_m_per_m2: float | None = Field(
        description="crack_length_m / imaged_m2; null where nothing was imaged, never 0"
    )
    reason: str = Field(
        description="why most of what is missing is: 'no imagery', 'no data', 'failed', 'too coarse', or ''"
    )
    too_coarse: float = Field(
        description="share of the pavement seen in imagery coarser than the model is meant for, 0 to 1"
    )
    confident: bool = Field(
        description="whether coverage, less what is too coarse, reaches the survey's least coverage"
    )
    cracked_area_share: float | None = Field(description="cracked area, % of imaged_m2")
    length_longitudinal_m: float | None
    length_transverse_m: float | None
    length_diagonal_m: float | None
    length_alligator_m: float | None
    length_block_m: float | None
    length_low_m: float | None = Field(
        description="where cracks are narrower than 10 mm (settable)"
    )
    length_medium_m: float | None = Field(description="where they are 10 to 75 mm wide (settable)")
    length_high_m: float | None = Field(description="where they are wider")
    length_unknown_m: float | None = Field(description="where their width is not known")
    alligator_m2: float | None = Field(description="area with alligator cracking")
    block_m2: float | None = Field(description="area with block cracking")
    zeb_share: float | None = Field(description="ZEB grid share: touched of evaluated cells, %")
    zeb_evaluated: float | None = Field(description="cells of the ZEB grid that were evaluated")
    cracking_percent: float | None = Field(description="US Cracking Percent (23 CFR 490), %")
    cracking_rating: str | None = Field(description="good, fair or poor by cracking_percent")
    pci_cracking: float | None = Field(
        description="PCI by cracks alone (after ASTM D6433), 0 to 100: an upper estimate"
    )
    pci_rating: str | None
    r85: dict[str, Any] | None = Field(
        description="AASHTO R 85 extents: {kind: {zone: {length_m, width_mm}}}"
    )


class SegmentProperties(FiguresOut):
    """A segment and its figures in one survey."""

    segment_id: int
    segment_key: str
    road_key: str
    name: str
    from_m: float
    to_m: float
    length_m: float
    width_m: float
    width_source: str = Field(description="where the width is from: 'field', 'lanes' or 'default'")
    lanes: int | None = Field(description="in both directions together; null where not stated")
    oneway: bool | None = Field(
        description="traffic runs in the direction of the line only; null where not stated"
    )
    surface: str = Field(description="surface type, as the network's file has it; '' for none")


class CrackProperties(BaseModel):
    """A crack and its measures."""

    length_m: float
    width_mean_mm: float = Field(description="mean along the line")
    width_p95_mm: float = Field(description="what 95 % of the crack's length does not exceed")
    width_max_mm: float
    area_m2: float
    confidence: float | None = Field(
        description="mean probability along it, 0 to 1; null where that is not known"
    )
    model: str | None = Field(
        description="id of the model version that found it; null of one that a reviewer drew"
    )
    found_digest: str | None = Field(
        description="SHA-256 of the course that it was found with, where reviewers have moved or cut it or "
        "judged it in part; null elsewhere"
    )


class SegmentFeature(Feature[int, SegmentProperties]):
    """A segment as a GeoJSON feature."""


class CrackFeature(Feature[int, CrackProperties]):
    """A crack as a GeoJSON feature."""


class SegmentPage(Page[SegmentFeature]):
    """A page of segments; without a `next` link it is the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SEGMENTS]})


class CrackPage(Page[CrackFeature]):
    """A page of cracks; without a `next` link it is the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_CRACKS]})


class ConditionOut(FiguresOut):
    """The figures of a segment in one of its surveys."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_CONDITION]})

    survey_id: uuid.UUID
    survey_name: str
    captured_on: date | None
    model_id: str
    heeded_reviews: int | None = Field(
        description="how many reviews its figures heed; null where they are as the model found them"
    )
    created_at: datetime


class SummaryOut(BaseModel):
    """A survey in sums over its segments; what was found is null where nothing was imaged, never 0."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SUMMARY]})

    segments: int
    segments_imaged: int
    pavement_m2: float
    imaged_m2: float
    coverage: float
    too_coarse_m2: float = Field(
        description="pavement seen only in imagery coarser than the model is meant for: fine cracks are "
        "missing there"
    )
    crack_count: int | None
    crack_length_m: float | None
    cracked_area_m2: float | None
    density_m_per_m2: float | None
