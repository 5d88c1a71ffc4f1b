"""Change between two surveys as the API shows it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pavemap.platform.api.schemas.results import GeometryOut, Link

EXAMPLE_SUMMARY: JsonDict = {
    "segments": 412,
    "segments_compared": 398,
    "worse": 37,
    "better": 4,
    "density_before_m_per_m2": 0.081,
    "density_after_m_per_m2": 0.094,
    "density_change_m_per_m2": 0.013,
    "uncertainty_m_per_m2": 0.003,
    "significant": True,
    "tolerance_m": 0.13,
    "precision_before": 0.91,
    "recall_before": 0.9,
    "precision_after": 0.91,
    "recall_after": 0.9,
    "accuracy_stated": True,
}


class SegmentChangeProperties(BaseModel):
    """A segment in both surveys; lengths are of cracks on `common_m2`, the pavement that both imaged.

    They are null where there is none.
    """

    segment_id: int
    segment_key: str
    road_key: str
    name: str
    from_m: float
    to_m: float
    length_m: float
    density_before_m_per_m2: float | None
    density_after_m_per_m2: float | None
    density_change_m_per_m2: float | None = Field(description="null where one survey saw nothing")
    uncertainty_m_per_m2: float | None = Field(
        description="half width of the 95 % interval of the change, by coverage and the detector's "
        "precision and recall"
    )
    significant: bool = Field(description="whether the change is larger than its uncertainty")
    coverage_before: float
    coverage_after: float
    common_m2: float
    new_m: float | None = Field(description="cracks of which nothing was there before")
    grown_m: float | None = Field(description="the new part of cracks that were there in part")
    gone_m: float | None = Field(
        description="cracks that are no longer seen: sealed, overlaid or missed"
    )
    unchanged_m: float | None
    widened_mm: float | None = Field(
        description="mean growth in width of what is unchanged in place"
    )


class CrackChangeProperties(BaseModel):
    """A stretch of crack and what became of it."""

    segment_id: int
    segment_key: str
    kind: Literal["new", "grown", "gone", "unchanged"]
    length_m: float
    width_mean_mm: float = Field(description="as it is now; of what is gone, as it was")
    width_before_mm: float | None = Field(description="of what is unchanged in place")


class SegmentChangeFeature(BaseModel):
    """A segment as a GeoJSON feature."""

    type: Literal["Feature"]
    id: int
    geometry: GeometryOut
    properties: SegmentChangeProperties


class CrackChangeFeature(BaseModel):
    """A stretch of crack as a GeoJSON feature."""

    type: Literal["Feature"]
    id: str = Field(description="unique within the comparison: the segment, and a number on it")
    geometry: GeometryOut
    properties: CrackChangeProperties


class SegmentChangePage(BaseModel):
    """A page of segments; without a `next` link it is the last."""

    type: Literal["FeatureCollection"]
    number_returned: int = Field(alias="numberReturned")
    links: list[Link]
    features: list[SegmentChangeFeature]


class CrackChangePage(BaseModel):
    """The cracks on a page of segments; without a `next` link it is the last."""

    type: Literal["FeatureCollection"]
    number_returned: int = Field(alias="numberReturned")
    links: list[Link]
    features: list[CrackChangeFeature]


class ChangeSummaryOut(BaseModel):
    """The change of a whole network; worse and better count segments that changed significantly."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SUMMARY]})

    segments: int = Field(description="segments that both surveys have")
    segments_compared: int = Field(description="those of which both saw something")
    worse: int
    better: int
    density_before_m_per_m2: float | None
    density_after_m_per_m2: float | None
    density_change_m_per_m2: float | None
    uncertainty_m_per_m2: float | None
    significant: bool
    tolerance_m: float = Field(description="how far apart the surveys may show the same crack")
    precision_before: float
    recall_before: float
    precision_after: float
    recall_after: float
    accuracy_stated: bool = Field(
        description="whether the models' cards state precision and recall; otherwise 0.8 is assumed"
    )
