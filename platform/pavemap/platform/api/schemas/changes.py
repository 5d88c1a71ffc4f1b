"""Change between two surveys as the API shows it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pavemap.platform.api.schemas.geojson import Feature, Page

CrackChangeId = Annotated[
    str, Field(description="unique within the comparison: the segment, and a number on it")
]

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


EXAMPLE_LINE: JsonDict = {
    "type": "LineString",
    "coordinates": [[14.4211, 50.0801], [14.4225, 50.0801]],
}
_PAGE: JsonDict = {"type": "FeatureCollection", "numberReturned": 1, "links": []}
EXAMPLE_SEGMENTS: JsonDict = {
    **_PAGE,
    "features": [
        {
            "type": "Feature",
            "id": 42,
            "geometry": EXAMPLE_LINE,
            "properties": {
                "segment_id": 42,
                "segment_key": "A1:100",
                "road_key": "A1",
                "name": "High Street",
                "from_m": 100.0,
                "to_m": 200.0,
                "length_m": 100.0,
                "density_before_m_per_m2": 0.081,
                "density_after_m_per_m2": 0.094,
                "density_change_m_per_m2": 0.013,
                "uncertainty_m_per_m2": 0.004,
                "significant": True,
                "coverage_before": 0.95,
                "coverage_after": 0.936,
                "common_m2": 641.0,
                "new_m": 6.1,
                "grown_m": 3.2,
                "gone_m": 0.9,
                "unchanged_m": 50.8,
                "widened_mm": 0.4,
            },
        }
    ],
}
EXAMPLE_CRACKS: JsonDict = {
    **_PAGE,
    "features": [
        {
            "type": "Feature",
            "id": "42-1",
            "geometry": EXAMPLE_LINE,
            "properties": {
                "segment_id": 42,
                "segment_key": "A1:100",
                "kind": "unchanged",
                "length_m": 1.83,
                "width_mean_mm": 6.1,
                "width_before_mm": 5.7,
            },
        }
    ],
}


class SegmentChangeProperties(BaseModel):
    """A segment in both surveys; lengths are of cracks on `common_m2`, the pavement that both imaged.

    They are null where there is none.
    """

    segment_id: int = Field(description="the segment's number in the network of the later survey")
    segment_key: str = Field(description="the road's key and a number, which a newer network keeps")
    road_key: str = Field(description="id of the road in the network's file, or made from its line")
    name: str = Field(description="the road's name; '' for none")
    from_m: float = Field(description="where on its road the segment begins, in m")
    to_m: float = Field(description="where on its road it ends, in m")
    length_m: float = Field(description="length of the segment, in m")
    density_before_m_per_m2: float | None = Field(
        description="crack length over imaged pavement in the earlier survey, in m per m2"
    )
    density_after_m_per_m2: float | None = Field(
        description="crack length over imaged pavement in the later survey, in m per m2"
    )
    density_change_m_per_m2: float | None = Field(
        description="after less before, in m per m2; null where one survey saw nothing"
    )
    uncertainty_m_per_m2: float | None = Field(
        description="half width of the 95 % interval of the change, by coverage and the detector's "
        "precision and recall"
    )
    significant: bool = Field(description="whether the change is larger than its uncertainty")
    coverage_before: float = Field(
        description="imaged share of the pavement in the earlier survey, 0 to 1"
    )
    coverage_after: float = Field(
        description="imaged share of the pavement in the later survey, 0 to 1"
    )
    common_m2: float = Field(description="pavement that both surveys imaged, in true m2")
    new_m: float | None = Field(description="cracks of which nothing was there before, in m")
    grown_m: float | None = Field(
        description="the new part of cracks that were there in part, in m"
    )
    gone_m: float | None = Field(
        description="cracks that are no longer seen, in m: sealed, overlaid or missed"
    )
    unchanged_m: float | None = Field(description="cracks that both surveys show, in m")
    widened_mm: float | None = Field(
        description="mean growth in width of what is unchanged in place, in mm"
    )


class CrackChangeProperties(BaseModel):
    """A stretch of crack and what became of it."""

    segment_id: int
    segment_key: str
    kind: Literal["new", "grown", "gone", "unchanged"]
    length_m: float
    width_mean_mm: float = Field(description="as it is now; of what is gone, as it was")
    width_before_mm: float | None = Field(description="of what is unchanged in place")


class SegmentChangeFeature(Feature[int, SegmentChangeProperties]):
    """A segment as a GeoJSON feature."""


class CrackChangeFeature(Feature[CrackChangeId, CrackChangeProperties]):
    """A stretch of crack as a GeoJSON feature."""


class SegmentChangePage(Page[SegmentChangeFeature]):
    """A page of segments; without a `next` link it is the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SEGMENTS]})


class CrackChangePage(Page[CrackChangeFeature]):
    """The cracks on a page of segments; without a `next` link it is the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_CRACKS]})


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
