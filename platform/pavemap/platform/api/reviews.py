"""Reviews over HTTP: what people say of a survey's cracks, and the training data that comes of it."""

from __future__ import annotations

from itertools import chain
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ValidationError

from pavemap.geo.limits import CHIP_PX, MAX_CHIP_PX, MIN_CHIP_PX
from pavemap.geo.store import review_intake, reviews
from pavemap.geo.store.engine import database, reading
from pavemap.geo.verdict import Verdict
from pavemap.platform.api import geojson
from pavemap.platform.api.bodies import read_body
from pavemap.platform.api.geojson import GeoJSONResponse
from pavemap.platform.api.parameters import (
    LARGEST_ID,
    After,
    Box,
    Limit,
    SurveyId,
    survey_id_of,
)
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.reviews import (
    AddedOut,
    AreaCollection,
    AreaPage,
    ReviewCollection,
    ReviewPage,
)
from pavemap.platform.api.services import ServicesOf

router = APIRouter(prefix="/surveys/{survey_id}", tags=["reviews"])

MAX_BODY_BYTES = 32 << 20
"""Some 10,000 lines of 100 vertices."""

ReviewId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="id of a review")]
AreaId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="id of a reviewed area")]
Collection = TypeVar("Collection", bound=BaseModel)


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    content = {kind: {"schema": schema} for kind in (geojson.MEDIA_TYPE, "application/json")}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/reviews",
    status_code=201,
    response_model=AddedOut,
    responses=answers(400, 404, 408, 413, 415),
    openapi_extra=_takes(ReviewCollection),
    summary="Judge cracks, or draw what was missed",
)
async def add_reviews(request: Request, survey_id: SurveyId, services: ServicesOf) -> AddedOut:
    """Store reviews, all or none; the last word on a line or on a crack counts.

    A review keeps its own line: measuring the survey again replaces its cracks, not what was said of
    them. A crack that was cut in two may come as two lines with its number, each with its own verdict.
    `review_id` names the review that one follows and takes the place of, wherever its line ran. One takes
    the place of what was said of the same stretch of its crack, too. Figures heed reviews once they are
    asked to: `POST .../measure`.
    """
    sent = await _read(request, ReviewCollection, services)

    def store() -> AddedOut:
        said = [feature.review() for feature in sent.features]
        with database(services.engine) as connection:
            added = review_intake.add_reviews(connection, survey_id_of(survey_id), said)
        return AddedOut.of(added)

    return await run_in_threadpool(store)


@router.get(
    "/reviews",
    response_class=GeoJSONResponse,
    responses=geojson.described(ReviewPage, "A page of reviews."),
    summary="Reviews of a survey",
)
def list_reviews(
    request: Request,
    survey_id: SurveyId,
    services: ServicesOf,
    bbox: Box,
    verdict: Annotated[Verdict | None, Query(description="only those of it")] = None,
    limit: Limit = 1000,
    after: After = None,
) -> GeoJSONResponse:
    """List what was said of lines, page by page, with the lines as they were when it was said."""
    with reading(services.engine) as connection:
        rows, following = reviews.reviews_page(
            connection,
            survey_id_of(survey_id),
            verdict=verdict,
            bbox=bbox,
            limit=limit,
            after=after,
        )
    names = ("verdict", "crack_id", "crack_digest", "width_mm", "reviewer", "note", "reviewed_at")
    return geojson.page(
        request,
        ids=[row.id for row in rows],
        geometries=[row.line for row in rows],
        properties=[{name: getattr(row, name) for name in names} for row in rows],
        following=following,
    )


@router.delete(
    "/reviews/{review_id}", status_code=204, responses=answers(404), summary="Take a review back"
)
def delete_review(survey_id: SurveyId, review_id: ReviewId, services: ServicesOf) -> None:
    """Forget a review: its crack is again one that nobody judged."""
    with database(services.engine) as connection:
        reviews.delete_review(connection, survey_id_of(survey_id), review_id)


@router.post(
    "/reviewed-areas",
    status_code=201,
    response_model=AddedOut,
    responses=answers(400, 404, 408, 413, 415),
    openapi_extra=_takes(AreaCollection),
    summary="Say which ground was looked at whole",
)
async def add_areas(request: Request, survey_id: SurveyId, services: ServicesOf) -> AddedOut:
    """Store areas in which every crack is confirmed or drawn: the rest of their ground is sound.

    Training data is cut from these areas only. What a model found there and nobody judged is taught
    neither as crack nor as sound.
    """
    sent = await _read(request, AreaCollection, services)

    def store() -> AddedOut:
        areas = sent.areas()
        with database(services.engine) as connection:
            added = review_intake.add_areas(connection, survey_id_of(survey_id), areas)
        return AddedOut.of(added)

    return await run_in_threadpool(store)


@router.get(
    "/reviewed-areas",
    response_class=GeoJSONResponse,
    responses=geojson.described(AreaPage, "A page of areas."),
    summary="Areas of a survey that were looked at whole",
)
def list_areas(
    request: Request,
    survey_id: SurveyId,
    services: ServicesOf,
    bbox: Box,
    limit: Limit = 1000,
    after: After = None,
) -> GeoJSONResponse:
    """List the areas that were looked at whole, page by page."""
    with reading(services.engine) as connection:
        rows, following = reviews.areas_page(
            connection, survey_id_of(survey_id), bbox=bbox, limit=limit, after=after
        )
    names = ("reviewer", "note", "reviewed_at")
    return geojson.page(
        request,
        ids=[row.id for row in rows],
        geometries=[row.area for row in rows],
        properties=[{name: getattr(row, name) for name in names} for row in rows],
        following=following,
    )


@router.delete(
    "/reviewed-areas/{area_id}",
    status_code=204,
    responses=answers(404),
    summary="Take an area back",
)
def delete_area(survey_id: SurveyId, area_id: AreaId, services: ServicesOf) -> None:
    """Forget that an area was looked at whole."""
    with database(services.engine) as connection:
        reviews.delete_area(connection, survey_id_of(survey_id), area_id)


@router.get(
    "/training-data",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A ZIP of images/, masks/ and manifest.json.",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        },
        **answers(404, 409),
    },
    summary="Reviewed ground as training data",
)
def get_training_data(
    survey_id: SurveyId,
    services: ServicesOf,
    chip_px: Annotated[
        int,
        Query(
            ge=MIN_CHIP_PX,
            le=MAX_CHIP_PX,
            multiple_of=32,
            description="side of an image in pixels",
        ),
    ] = CHIP_PX,
) -> StreamingResponse:
    """Cut the reviewed areas into images with masks (255 crack, 0 sound, 127 not known).

    The same reviews and imagery give the same bytes. The manifest, which comes last, has the survey, its
    model version, the imagery and a SHA-256 of each file; an archive without it is not whole.
    """
    # It reads imagery and draws with compiled code, which few requests need.
    from pavemap.platform.training_data import training_files
    from pavemap.platform.zip_stream import zipped

    files = training_files(
        services.engine, services.storage, survey_id_of(survey_id), chip_px=chip_px
    )
    first = next(files)  # what is wrong with it is said before the answer begins
    return StreamingResponse(zipped(chain([first], files)), media_type="application/zip")


async def _read(request: Request, model: type[Collection], services: ServicesOf) -> Collection:
    """Read a GeoJSON body in bounded memory, and say what is wrong with it field by field."""
    idle_s = services.settings.upload_idle_s
    body = await read_body(request, limit=MAX_BODY_BYTES, idle_s=idle_s)
    try:
        return await run_in_threadpool(model.model_validate_json, body)
    except ValidationError as exc:
        found = exc.errors(include_input=False, include_url=False)
        raise RequestValidationError(
            [{**error, "loc": ("body", *error["loc"])} for error in found]
        ) from exc
