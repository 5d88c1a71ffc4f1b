"""Reviews as the API takes and shows them: GeoJSON features, in degrees."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Self

import shapely
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from pavemap.geo.limits import MAX_WIDTH_MM
from pavemap.geo.lines.line_digest import DIGEST
from pavemap.geo.store.cursors import LARGEST_ID
from pavemap.geo.store.review_checks import NewArea, NewReview
from pavemap.geo.store.review_intake import Added
from pavemap.geo.verdict import Verdict
from pavemap.platform.api.schemas.common import MAX_NAME, printable
from pavemap.platform.api.schemas.geojson import Feature, Page

MAX_FEATURES = 10_000
MAX_NOTE = 2000

EXAMPLE_LINE: JsonDict = {
    "type": "LineString",
    "coordinates": [[14.42112, 50.08011], [14.42114, 50.08012]],
}
EXAMPLE_RING: JsonDict = {
    "type": "Polygon",
    "coordinates": [
        [[14.421, 50.08], [14.422, 50.08], [14.422, 50.081], [14.421, 50.081], [14.421, 50.08]]
    ],
}
EXAMPLE_REVIEWS: JsonDict = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "geometry": None,
            "properties": {"crack_id": 7, "verdict": "confirmed", "reviewer": "A. Novak"},
        },
        {
            "type": "Feature",
            "geometry": None,
            "properties": {"crack_id": 8, "verdict": "rejected", "note": "edge of a patch"},
        },
        {
            "type": "Feature",
            "geometry": EXAMPLE_LINE,
            "properties": {"verdict": "drawn", "width_mm": 4.0},
        },
    ],
}
EXAMPLE_AREAS: JsonDict = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "geometry": EXAMPLE_RING,
            "properties": {"reviewer": "A. Novak", "note": "left lane"},
        }
    ],
}
_PAGE: JsonDict = {"type": "FeatureCollection", "numberReturned": 1, "links": []}
EXAMPLE_REVIEW_PAGE: JsonDict = {
    **_PAGE,
    "features": [
        {
            "type": "Feature",
            "id": 12,
            "geometry": EXAMPLE_LINE,
            "properties": {
                "verdict": "confirmed",
                "crack_id": 7,
                "crack_digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                "width_mm": 6.1,
                "reviewer": "A. Novak",
                "note": "",
                "reviewed_at": "2026-05-06T10:00:00Z",
            },
        }
    ],
}
EXAMPLE_AREA_PAGE: JsonDict = {
    **_PAGE,
    "features": [
        {
            "type": "Feature",
            "id": 3,
            "geometry": {"type": "MultiPolygon", "coordinates": [EXAMPLE_RING["coordinates"]]},
            "properties": {
                "reviewer": "A. Novak",
                "note": "left lane",
                "reviewed_at": "2026-05-06T10:00:00Z",
            },
        }
    ],
}


def _storable(text: str) -> str:
    printable(text.replace("\n", " ").replace("\r", " ").replace("\t", " "))
    return text


Reviewer = Annotated[
    str,
    StringConstraints(strip_whitespace=True, max_length=MAX_NAME),
    AfterValidator(printable),
    Field(description="who says so", examples=["A. Novak"]),
]
Note = Annotated[
    str, StringConstraints(max_length=MAX_NOTE), AfterValidator(_storable), Field(description="why")
]
Position = Annotated[
    list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=2, max_length=4)
]


class LineIn(BaseModel):
    """A line in degrees, longitude first; further numbers of a position are left out."""

    type: Literal["LineString"]
    coordinates: list[Position] = Field(min_length=2)

    def line(self) -> shapely.LineString:
        """Return it in two dimensions."""
        return shapely.LineString([position[:2] for position in self.coordinates])


class PolygonIn(BaseModel):
    """One or several polygons in degrees, longitude first."""

    type: Literal["Polygon", "MultiPolygon"]
    coordinates: list[Any] = Field(min_length=1)


class ReviewIn(BaseModel):
    """What is said of a line."""

    verdict: Verdict = Field(
        description="confirmed: a crack was found rightly; rejected: what was found is none; drawn: a "
        "crack that was missed"
    )
    crack_id: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST_ID,
        description="the crack that is judged; its line and width need not be sent. A drawn one has none",
    )
    crack_digest: str | None = Field(
        default=None,
        pattern=f"^{DIGEST}$",
        description="SHA-256 of that crack's course as it was found (`found_digest` of cracks and "
        "`crack_digest` of reviews have it), for when measuring has numbered it anew",
    )
    width_mm: float | None = Field(
        default=None,
        gt=0,
        le=MAX_WIDTH_MM,
        description="width all along a line that is sent; needed where no crack has one",
    )
    reviewer: Reviewer = ""
    note: Note = ""
    review_id: int | None = Field(
        default=None,
        ge=1,
        le=LARGEST_ID,
        description="the review that this one follows, wherever its line ran; it may be gone by now",
    )


class ReviewFeatureIn(BaseModel):
    """A review as a GeoJSON feature; properties of other names are left out."""

    type: Literal["Feature"]
    geometry: LineIn | None = Field(
        default=None, description="null: the crack's own; another line: how it should run"
    )
    properties: ReviewIn

    def review(self) -> NewReview:
        """Return what is to be stored."""
        said = self.properties
        return NewReview(
            verdict=said.verdict,
            crack_id=None if said.verdict == "drawn" else said.crack_id,
            crack_digest=said.crack_digest,
            line=None if self.geometry is None else self.geometry.line(),
            width_mm=said.width_mm,
            reviewer=said.reviewer,
            note=said.note,
            review_id=said.review_id,
        )


class AreaIn(BaseModel):
    """Who looked at an area."""

    reviewer: Reviewer = ""
    note: Note = ""


class AreaFeatureIn(BaseModel):
    """An area that was looked at whole, as a GeoJSON feature."""

    type: Literal["Feature"]
    geometry: PolygonIn
    properties: AreaIn = AreaIn()


class ReviewCollection(BaseModel):
    """Reviews to store, all or none."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_REVIEWS]})

    type: Literal["FeatureCollection"]
    features: list[ReviewFeatureIn] = Field(min_length=1, max_length=MAX_FEATURES)


class AreaCollection(BaseModel):
    """Areas to store, all or none."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_AREAS]})

    type: Literal["FeatureCollection"]
    features: list[AreaFeatureIn] = Field(min_length=1, max_length=MAX_FEATURES)

    def areas(self) -> list[NewArea]:
        """Return what is to be stored; what is no polygon is None, for the store to name."""
        texts = [each.geometry.model_dump_json() for each in self.features]
        shapes = shapely.from_geojson(texts, on_invalid="ignore")
        return [
            NewArea(area=shape, reviewer=each.properties.reviewer, note=each.properties.note)
            for shape, each in zip(shapes, self.features, strict=True)
        ]


class AddedOut(BaseModel):
    """What became of the features that were sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ids": [12, 13, 14],
                    "added": 3,
                    "replaced": 1,
                    "unchanged": 0,
                    "overtaken": 0,
                }
            ]
        }
    )

    ids: list[int] = Field(description="ids of the reviews, in the order of the features")
    added: int
    replaced: int = Field(
        description="earlier reviews of the same lines or cracks, or named by review_id, that these took "
        "the place of"
    )
    unchanged: int
    overtaken: int = Field(
        description="of the added ones, how many follow another review than their review_id: what others "
        "said since it was read"
    )

    @classmethod
    def of(cls, added: Added) -> Self:
        """Describe what the store did."""
        return cls(**vars(added))


class ReviewProperties(BaseModel):
    """A review as it is stored."""

    verdict: Verdict
    crack_id: int | None = Field(
        description="the crack as it was numbered then; measuring the survey again numbers them anew"
    )
    crack_digest: str | None = Field(
        description="SHA-256 of that crack's course as it was found; the line may be moved from it, or a "
        "part of it"
    )
    width_mm: float = Field(description="mean along the line")
    reviewer: str
    note: str
    reviewed_at: datetime


class ReviewFeature(Feature[int, ReviewProperties]):
    """A review as a GeoJSON feature."""


class AreaProperties(BaseModel):
    """Who looked at an area, and when."""

    reviewer: str
    note: str
    reviewed_at: datetime


class AreaFeature(Feature[int, AreaProperties]):
    """An area that was looked at whole."""


class ReviewPage(Page[ReviewFeature]):
    """A page of reviews; without a `next` link it is the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_REVIEW_PAGE]})


class AreaPage(Page[AreaFeature]):
    """A page of reviewed areas; without a `next` link it is the last."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_AREA_PAGE]})
