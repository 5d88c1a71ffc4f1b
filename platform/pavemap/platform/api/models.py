"""Model versions over HTTP: list them, add one, and choose which new surveys are made with."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import contextmanager_in_threadpool

from pavemap.geo.scratch import scratch
from pavemap.geo.store.engine import database
from pavemap.geo.store.promotions import list_promotions
from pavemap.platform import models
from pavemap.platform.api.bodies import (
    DocumentRoute,
    announced_length,
    refuse_encoded,
    translate_disconnect,
)
from pavemap.platform.api.headers import LOCATION, location
from pavemap.platform.api.parameters import LARGEST_ID
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.common import Printable
from pavemap.platform.api.schemas.models import ModelOut, ModelWithCard, PromotionIn, PromotionOut
from pavemap.platform.api.services import ServicesOf
from pavemap.platform.uploads import receive, translate_disk_full
from pavemap.training.models.model_archive import MAX_WEIGHTS_BYTES, unpack_model
from pavemap.training.models.model_store import ModelStore, register

router = APIRouter(prefix="/models", tags=["models"], route_class=DocumentRoute)

ModelId = Annotated[
    Printable, Path(description="id of a model version", examples=["survey-unet-fffb1082"])
]

ARCHIVE = {
    "requestBody": {
        "required": True,
        "description": "A ZIP of weights.safetensors and card.json.",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get("", responses=answers(), summary="List the model versions")
def list_models(services: ServicesOf) -> list[ModelOut]:
    """List the versions that surveys may use, the latest first."""
    kept = ModelStore(services.storage)
    with database(services.engine) as connection:
        known = models.list_known(connection, kept)
        in_use = models.model_in_use(connection, kept).id
    return [ModelOut.of(row, in_use=row.id == in_use) for row in known]


@router.post(
    "",
    status_code=201,
    responses={201: {"headers": LOCATION}, **answers(400, 408, 409, 413, 415, 507)},
    openapi_extra=ARCHIVE,
    summary="Add a model version",
)
async def add_model(request: Request, response: Response, services: ServicesOf) -> ModelOut:
    """Keep a model in storage, where every Detector finds it; the same model twice is one."""
    refuse_encoded(request)
    async with contextmanager_in_threadpool(scratch(services.incoming)) as folder:
        with translate_disconnect():
            file = await receive(
                request.stream(),
                folder / "model.zip",
                limit=MAX_WEIGHTS_BYTES,
                idle_s=services.settings.upload_idle_s,
                expected=announced_length(request),
            )

        def store() -> ModelOut:
            with translate_disk_full():
                unpack_model(file.path, folder / "model")
            kept = ModelStore(services.storage)
            with database(services.engine) as connection:
                row = register(connection, folder / "model", store=kept)
                in_use = models.model_in_use(connection, kept).id
            return ModelOut.of(row, in_use=row.id == in_use)

        model = await services.importing(store)
    response.headers["Location"] = location(request, "get_model", model_id=model.id)
    return model


@router.get("/promotions", responses=answers(), summary="What was promoted when")
def get_promotions(services: ServicesOf) -> list[PromotionOut]:
    """List the promotions, the latest first."""
    with database(services.engine) as connection:
        return [PromotionOut.of(row) for row in list_promotions(connection)]


@router.get(
    "/promotions/latest", responses=answers(404), summary="The promotion that can be taken back"
)
def get_latest_promotion(services: ServicesOf) -> PromotionOut:
    """Tell which promotion is the last that still stands."""
    with database(services.engine) as connection:
        return PromotionOut.of(models.latest_promotion(connection))


@router.delete("/promotions/latest", responses=answers(409), summary="Take the last promotion back")
def take_back(
    services: ServicesOf,
    of: Annotated[
        int | None,
        Query(
            ge=1,
            le=LARGEST_ID,
            description="id of that promotion: sent twice, it is taken back once",
        ),
    ] = None,
) -> PromotionOut:
    """Make new surveys with the version that was in use before; again, with the one before that.

    Surveys that were made stay as they are. With `of` a request that is repeated goes no further back,
    and one that is of another promotion than the last is refused.
    """
    with database(services.engine) as connection:
        return PromotionOut.of(models.take_back(connection, of=of))


@router.get("/{model_id}", responses=answers(404), summary="A model version with its card")
def get_model(model_id: ModelId, services: ServicesOf) -> ModelWithCard:
    """Tell all that is known of a version: data, licence, metrics, limits."""
    kept = ModelStore(services.storage)
    with database(services.engine) as connection:
        row = models.get_model_version(connection, model_id, kept)
        in_use = models.model_in_use(connection, kept).id
    return ModelWithCard.of(row, in_use=row.id == in_use, card=dict(row.card))


@router.post(
    "/{model_id}/promote",
    responses=answers(400, 404, 408, 409, 413, 415),
    summary="Make new surveys with this version",
)
def promote(
    model_id: ModelId, services: ServicesOf, how: PromotionIn | None = None
) -> PromotionOut:
    """Put a version in the place of the one in use; refused when it scores worse, unless forced."""
    force = how is not None and how.force
    kept = ModelStore(services.storage)
    with database(services.engine) as connection:
        return PromotionOut.of(models.promote_model(connection, model_id, kept, force=force))
