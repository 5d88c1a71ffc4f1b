"""Builds the application: `uvicorn --factory pavemap.platform.api.main:create_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline

from pavemap.geo.logs import configure_logs
from pavemap.platform.api import (
    changes,
    health,
    metrics,
    models,
    networks,
    orthophotos,
    problems,
    results,
    reviews,
    surveys,
    tiles,
    training_jobs,
)
from pavemap.platform.api.headers import REQUEST_ID
from pavemap.platform.api.heads import Heads
from pavemap.platform.api.observe import Observed, note_path_ids
from pavemap.platform.api.pages import no_changes_by_other_pages
from pavemap.platform.api.schemas.changes import CrackChangePage, SegmentChangePage
from pavemap.platform.api.schemas.common import Problem
from pavemap.platform.api.schemas.results import CrackPage, SegmentPage
from pavemap.platform.api.schemas.reviews import (
    AreaCollection,
    AreaPage,
    ReviewCollection,
    ReviewPage,
)
from pavemap.platform.api.services import Services
from pavemap.platform.settings import Settings, load_settings

PREFIX = "/api/v1"

TAGS = [
    {
        "name": "networks",
        "description": "Road networks, cut into the segments that figures are for.",
    },
    {"name": "surveys", "description": "Campaigns over a network: imagery in, state and run."},
    {"name": "results", "description": "Condition by segment, and the cracks themselves."},
    {"name": "reviews", "description": "What people say of cracks, and what a model learns of it."},
    {"name": "models", "description": "Model versions, and which new surveys are made with."},
    {"name": "training", "description": "Retraining of the model on the Ray cluster."},
    {"name": "health", "description": "Whether the service is alive, and ready."},
]


REFERRED = (
    *(Problem, SegmentPage, CrackPage, SegmentChangePage, CrackChangePage),
    *(ReviewCollection, ReviewPage, AreaCollection, AreaPage),
)
"""Documents that the operations name by reference; FastAPI adds all others itself."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Return the API under the given settings, or those of the environment.

    Raises BadInput when no database is named; a database that is away is no error here, requests
    answer 503 until it is back.
    """
    if settings is None:  # the process is ours, and so are its logs
        settings = load_settings()
        configure_logs(level=settings.log_level, as_json=settings.log_format == "json")
    services = Services.open(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        services.close()

    app = FastAPIOffline(  # /docs loads nothing from elsewhere
        title="pavemap",
        version=version("pavemap"),
        summary="Orthophoto tiles of roads in, crack density per road segment out.",
        openapi_tags=TAGS,
        lifespan=lifespan,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.services = services
    app.state.readiness = health.Readiness(services)
    app.state.metrics = metrics.ApiMetrics(services)
    problems.install(app)
    if settings.web_origins:  # to read: nothing that changes anything is open to other pages
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.web_origins, allow_methods=["GET", "HEAD"]
        )
    api = APIRouter(prefix=PREFIX)
    for part in (
        networks,
        surveys,
        orthophotos,
        results,
        changes,
        tiles,
        reviews,
        models,
        training_jobs,
    ):
        api.include_router(part.router)
    app.include_router(
        api,
        dependencies=[
            Depends(note_path_ids),
            Depends(no_changes_by_other_pages),
            Depends(problems.no_unknown_queries),
        ],
    )
    app.include_router(health.router)
    app.add_api_route("/", _start, include_in_schema=False)
    app.include_router(metrics.router)
    below = app.build_middleware_stack
    # Outside of all else, so that a fault's line and answer bear the request's id too.
    app.build_middleware_stack = lambda: Heads(  # type: ignore[method-assign]
        Observed(below(), metrics=app.state.metrics)
    )
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


async def _start() -> RedirectResponse:
    """Send who opens the address itself to the API's own description."""
    return RedirectResponse("docs")


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Describe the API, with the problem document that every operation may answer."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            routes=app.routes,
            tags=app.openapi_tags,
            license_info=app.license_info,
        )
        components = schema.setdefault("components", {}).setdefault("schemas", {})
        for model in REFERRED:
            described = model.model_json_schema(ref_template="#/components/schemas/{model}")
            components.update(described.pop("$defs", {}))
            components[model.__name__] = described
        _tell_request_ids(schema["paths"])
        app.openapi_schema = schema
    return app.openapi_schema


def _tell_request_ids(paths: dict[str, Any]) -> None:
    """Add the header that every answer has."""
    for operations in paths.values():
        for operation in operations.values():
            for answer in operation["responses"].values():
                answer["headers"] = {**answer.get("headers", {}), **REQUEST_ID}
