"""Results as the API shows them: segments and cracks as GeoJSON, histories, sums."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

FIGURES: JsonDict = {
    "crack_count": 14,
    "crack_length_m": 61.2,
    "cracked_area_m2": 0.42,
    "imaged_m2": 655.0,
    "pavement_m2": 700.0,
    "coverage": 0.936,
    "density_m_per_m2": 0.0934,
    "reason": "no imagery",
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
                "model": "fan2018-1a2b3c4d",
            },
        }
    ],
}

EXAMPLE_CONDITION: JsonDict = {
    "survey_id": "6c5f1a8e-4b7c-4b55-9d4e-2f1f0c6a7b10",
    "survey_name": "Old town, spring 2026",
    "captured_on": "2026-04-28",
    "model_id": "fan2018-1a2b3c4d",
    **FIGURES,
    "created_at": "2026-05-04T12:00:00Z",
}


class SegmentProperties(BaseModel):
    """A segment and its figures in one survey."""

    segment_id: int
    segment_key: str
    road_key: str
    name: str
    from_m: float
    to_m: float
    length_m: float
    width_m: float
    crack_count: int
    crack_length_m: float
    cracked_area_m2: float
    imaged_m2: float = Field(description="imaged pavement, in true square metres")
    pavement_m2: float
    coverage: float = Field(description="imaged_m2 / pavement_m2")
    density_m_per_m2: float | None = Field(
        description="crack_length_m / imaged_m2; null where nothing was imaged"
    )
    reason: str = Field(
        description="why most of what was not imaged was not: 'no imagery', 'no data', 'failed', or ''"
    )


class CrackProperties(BaseModel):
    """A crack and its measures."""

    length_m: float
    width_mean_mm: float = Field(description="mean along the line")
    width_p95_mm: float = Field(description="what 95 % of the crack's length does not exceed")
    width_max_mm: float
    area_m2: float
    model: str = Field(description="id of the model version that found it")


class GeometryOut(BaseModel):
    """A GeoJSON geometry in degrees."""

    type: Literal["LineString", "MultiPolygon"]
    coordinates: list[Any]


class Link(BaseModel):
    """Where else to go: `rel` is self or next."""

    rel: Literal["self", "next"]
    type: str
    href: str


class SegmentFeature(BaseModel):
    """A segment as a GeoJSON feature."""

    type: Literal["Feature"]
    id: int
    geometry: GeometryOut
    properties: SegmentProperties


class CrackFeature(BaseModel):
    """A crack as a GeoJSON feature."""

    type: Literal["Feature"]
    id: int
    geometry: GeometryOut
    properties: CrackProperties


class SegmentPage(BaseModel):
    """A page of segments; without a `next` link it is the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SEGMENTS]})

    type: Literal["FeatureCollection"]
    number_returned: int = Field(alias="numberReturned")
    links: list[Link]
    features: list[SegmentFeature]


class CrackPage(BaseModel):
    """A page of cracks; without a `next` link it is the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_CRACKS]})

    type: Literal["FeatureCollection"]
    number_returned: int = Field(alias="numberReturned")
    links: list[Link]
    features: list[CrackFeature]


class ConditionOut(BaseModel):
    """The figures of a segment in one of its surveys."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_CONDITION]})

    survey_id: uuid.UUID
    survey_name: str
    captured_on: date | None
    model_id: str
    crack_count: int
    crack_length_m: float
    cracked_area_m2: float
    imaged_m2: float
    pavement_m2: float
    coverage: float
    density_m_per_m2: float | None = Field(description="null where nothing was imaged, never 0")
    reason: str
    created_at: datetime


class SummaryOut(BaseModel):
    """A survey in sums over its segments."""

    segments: int
    segments_imaged: int
    pavement_m2: float
    imaged_m2: float
    coverage: float
    crack_count: int
    crack_length_m: float
    cracked_area_m2: float
    density_m_per_m2: float | None = Field(description="null where nothing was imaged, never 0")
