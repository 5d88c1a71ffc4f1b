"""Builds the application: `uvicorn --factory pavemap.platform.api.main:create_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, Depends, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline

from pavemap.geo.logs import configure_logs
from pavemap.platform.api import (
    changes,
    health,
    metrics,
    models,
    networks,
    openapi,
    orthophotos,
    problems,
    results,
    reviews,
    surveys,
    tiles,
    training_jobs,
)
from pavemap.platform.api.csrf import refuse_cross_site_changes
from pavemap.platform.api.head_requests import Heads
from pavemap.platform.api.observe import Observed, note_path_ids
from pavemap.platform.api.services import Services
from pavemap.platform.default_server import API_PREFIX
from pavemap.platform.settings import Settings, load_settings


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
        openapi_tags=openapi.TAGS,
        lifespan=lifespan,
        redoc_url=None,  # its page asks its makers' server for a picture
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
    api = APIRouter(prefix=API_PREFIX)
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
            Depends(refuse_cross_site_changes),
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
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    return app


async def _start() -> RedirectResponse:
    """Send who opens the address itself to the API's own description."""
    return RedirectResponse("docs")
