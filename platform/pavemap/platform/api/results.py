"""Results over HTTP: condition by segment, a segment's history, cracks, and the sums of a survey."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request

from pavemap.geo.store import crack_pages, figures, segment_history, segment_pages, survey_summary
from pavemap.geo.store.engine import reading
from pavemap.platform.api import geojson
from pavemap.platform.api.geojson import GeoJSONResponse
from pavemap.platform.api.parameters import (
    LARGEST_ID,
    After,
    Box,
    GeometryKind,
    Limit,
    SurveyId,
    survey_id_of,
)
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.results import ConditionOut, CrackPage, SegmentPage, SummaryOut
from pavemap.platform.api.services import ServicesOf

router = APIRouter(tags=["results"])


@router.get(
    "/surveys/{survey_id}/segments",
    response_class=GeoJSONResponse,
    responses=geojson.described(SegmentPage, "A page of segments with their figures."),
    summary="Segments of a survey with their condition",
)
def list_segments(
    request: Request,
    survey_id: SurveyId,
    services: ServicesOf,
    bbox: Box,
    min_density: Annotated[
        float | None,
        Query(ge=0, allow_inf_nan=False, description="least crack density, in m per m2"),
    ] = None,
    confident: Annotated[
        bool | None,
        Query(description="only segments whose figures rest on enough coverage (or on too little)"),
    ] = None,
    sort: Annotated[figures.Sort, Query(description="what to sort by")] = "density",
    order: Annotated[
        Literal["desc", "asc"] | None,
        Query(
            description="the largest or the smallest first; without it, the worst, of keys the first"
        ),
    ] = None,
    geometry: GeometryKind = "pavement",
    limit: Limit = 100,
    after: After = None,
) -> GeoJSONResponse:
    """List segments by crack density (or else), page by page: the `next` link neither skips nor repeats.

    `density_m_per_m2` is crack length over imaged pavement; figures are null where nothing was imaged,
    and their segments come last. `coverage` says how much of the pavement they rest on, `reason` why
    the rest was not seen, `confident` whether it is enough.
    """
    with reading(services.engine) as connection:
        found, following = segment_pages.segment_features(
            connection,
            survey_id_of(survey_id),
            geometry=geometry,
            bbox=bbox,
            min_density=min_density,
            confident=confident,
            sort=sort,
            descending=None if order is None else order == "desc",
            limit=limit,
            after=after,
        )
    return geojson.collection(
        request, features=[segment.json for segment in found], following=following
    )


@router.get(
    "/segments/{segment_id}/conditions",
    responses=answers(404),
    summary="History of a segment",
)
def list_conditions(
    segment_id: Annotated[int, Path(ge=1, le=LARGEST_ID, description="id of a segment")],
    services: ServicesOf,
) -> list[ConditionOut]:
    """List the figures of one segment in all its surveys, the latest first."""
    with reading(services.engine) as connection:
        rows = segment_history.segment_conditions(connection, segment_id)
    return [ConditionOut(**vars(row)) for row in rows]


@router.get(
    "/surveys/{survey_id}/cracks",
    response_class=GeoJSONResponse,
    responses=geojson.described(CrackPage, "A page of cracks."),
    summary="Cracks of a survey",
)
def list_cracks(
    request: Request,
    survey_id: SurveyId,
    services: ServicesOf,
    bbox: Box,
    limit: Limit = 1000,
    after: After = None,
) -> GeoJSONResponse:
    """List cracks as lines with their true length and their width, page by page."""
    with reading(services.engine) as connection:
        rows, following = crack_pages.cracks_page(
            connection, survey_id_of(survey_id), bbox=bbox, limit=limit, after=after
        )
    return geojson.page(
        request,
        ids=[row.id for row in rows],
        geometries=[row.line for row in rows],
        properties=[
            {
                "length_m": row.length_m,
                "width_mean_mm": row.width_mean_mm,
                "width_p95_mm": row.width_p95_mm,
                "width_max_mm": row.width_max_mm,
                "area_m2": row.area_m2,
                "confidence": row.confidence,
                "model": row.model_id,
                "found_digest": row.found_digest,
            }
            for row in rows
        ],
        following=following,
    )


@router.get("/surveys/{survey_id}/summary", responses=answers(404), summary="A survey in sums")
def get_summary(survey_id: SurveyId, services: ServicesOf) -> SummaryOut:
    """Sum up a survey over its segments; all zero before it is measured."""
    with reading(services.engine) as connection:
        return SummaryOut(**vars(survey_summary.summary(connection, survey_id_of(survey_id))))
