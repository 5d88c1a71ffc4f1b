"""Parameters that several operations take: a survey's id, a box, a page and what shapes it has."""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from fastapi import Depends, Path, Query
from fastapi.exceptions import RequestValidationError

from pavemap.geo.errors import BadInput, NotFound
from pavemap.geo.store.cursors import LARGEST_ID, MAX_PAGE
from pavemap.geo.store.places import Bbox, box_area

__all__ = ["LARGEST_ID", "After", "Box", "GeometryKind", "Limit", "SurveyId", "survey_id_of"]

SurveyId = Annotated[
    str, Path(description="id of a survey", examples=["6c5f1a8e-4b7c-4b55-9d4e-2f1f0c6a7b10"])
]


def survey_id_of(text: str) -> uuid.UUID:
    """Read the id of a survey. Raises NotFound: what is no id names no survey either."""
    try:
        return uuid.UUID(text)
    except ValueError as exc:
        raise NotFound(
            f"there is no survey {text[:60]!r}; GET /api/v1/surveys lists them with their ids"
        ) from exc


async def _box(
    bbox: Annotated[
        str | None,
        Query(
            description="west,south,east,north in degrees: what meets this box; west > east crosses "
            "the 180th meridian. Of a box of six numbers the heights, its third and sixth, are left out",
            examples=["14.42,50.08,14.43,50.09"],
        ),
    ] = None,
) -> Bbox | None:
    """Read a box. Raises RequestValidationError, as of any parameter that does not fit."""
    if bbox is None:
        return None
    try:
        return _box_of(bbox)
    except BadInput as exc:
        wrong = {"loc": ("query", "bbox"), "type": "value_error", "msg": str(exc)}
        raise RequestValidationError([wrong]) from exc


def _box_of(text: str) -> Bbox:
    try:
        edges = [float(edge) for edge in text.split(",")]
    except ValueError:
        edges = []
    if len(edges) == 6:  # with heights (OGC API Features, 7.15.3), which nothing here has
        edges = edges[:2] + edges[3:5]
    if len(edges) != 4:
        raise BadInput("give four numbers in degrees: bbox=west,south,east,north")
    west, south, east, north = edges
    box_area((west, south, east, north))  # refuses what is not on the Earth
    return west, south, east, north


Box = Annotated[Bbox | None, Depends(_box)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="how many on a page")]
After = Annotated[
    str | None,
    Query(max_length=2000, description="cursor of the page before; the `next` link has it"),
]
GeometryKind = Annotated[
    Literal["pavement", "line"], Query(description="the pavement, or the centre-line")
]
