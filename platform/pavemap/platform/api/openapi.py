"""The API's own description: what FastAPI says of the routes, with its gaps filled and slips mended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_fields_from_routes, get_openapi
from pydantic import TypeAdapter
from starlette.routing import BaseRoute

from pavemap.platform.api.csrf import SAFE
from pavemap.platform.api.headers import REQUEST_ID
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.changes import CrackChangePage, SegmentChangePage
from pavemap.platform.api.schemas.common import Problem
from pavemap.platform.api.schemas.results import CrackPage, SegmentPage
from pavemap.platform.api.schemas.reviews import (
    AreaCollection,
    AreaPage,
    ReviewCollection,
    ReviewPage,
)

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


def describe(app: FastAPI) -> dict[str, Any]:
    """Return an app's OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            routes=app.routes,
            tags=app.openapi_tags,
            license_info=app.license_info,
        )
        components = document.setdefault("components", {}).setdefault("schemas", {})
        for model in REFERRED:
            described = _schema(model)
            components.update(described.pop("$defs", {}))
            components[model.__name__] = described
        _restore_examples(components, app.routes)
        for operations in document["paths"].values():
            for method, operation in operations.items():
                _complete(operation, changes=method.upper() not in SAFE)
        app.openapi_schema = document
    return app.openapi_schema


def _restore_examples(components: dict[str, Any], routes: Sequence[BaseRoute]) -> None:
    """Put the models' own examples in place of FastAPI's copies, which lack whatever is null."""
    for field in get_fields_from_routes(routes):
        described = _schema(field.field_info.annotation)
        within = described.pop("$defs", {})
        for name, schema in {**within, described.get("title"): described}.items():
            if name in components and "examples" in schema:
                components[name]["examples"] = schema["examples"]


def _schema(kind: Any) -> dict[str, Any]:
    return TypeAdapter(kind).json_schema(ref_template="#/components/schemas/{model}")


def _complete(operation: dict[str, Any], *, changes: bool) -> None:
    """Add what every operation, or every one that changes anything, may answer."""
    if changes:
        refused = {"403": answers(403)[403]}
        operation["responses"] = dict(sorted({**operation["responses"], **refused}.items()))
    for answer in operation["responses"].values():
        answer["headers"] = {**answer.get("headers", {}), **REQUEST_ID}
        _leave_references_alone(answer)


def _leave_references_alone(answer: dict[str, Any]) -> None:
    """Take away the `type: string` that FastAPI gives what is no application/json, a reference too."""
    for content in answer.get("content", {}).values():
        if "$ref" in content.get("schema", {}):
            content["schema"].pop("type", None)
