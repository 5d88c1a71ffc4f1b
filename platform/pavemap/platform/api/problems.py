"""Turns every failure into an RFC 9457 problem: one table from errors to HTTP status, no stack traces."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from pavemap.geo import errors as ground
from pavemap.platform import errors
from pavemap.platform.api.headers import RETRY_AFTER

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5

STATUS: dict[type[ground.PavemapError], HTTPStatus] = {
    ground.PavemapError: HTTPStatus.INTERNAL_SERVER_ERROR,
    ground.BadInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    ground.NotFound: HTTPStatus.NOT_FOUND,
    ground.Conflict: HTTPStatus.CONFLICT,
    ground.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    ground.StorageFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.BadRequest: HTTPStatus.BAD_REQUEST,
    errors.UploadStalled: HTTPStatus.REQUEST_TIMEOUT,
    errors.UploadTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.CrossSiteRequest: HTTPStatus.FORBIDDEN,
    errors.UnsupportedMedia: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}
"""A class that is not here has the status of its nearest base that is."""

MEANING: dict[int, str] = {
    400: "The request is malformed, or its body did not come whole.",
    403: "A web page of another server asked for it; only this server's own pages may change anything.",
    404: "No such thing is stored.",
    408: "The client stopped sending.",
    409: "The request contradicts what is stored.",
    413: "The body is larger than this server takes.",
    415: "The body comes in a form that is not taken here.",
    422: "What was given can't be used; the detail says why, and what to do.",
    500: "A fault of the server, logged under the reference given.",
    503: "The database, the storage or the Ray cluster is away; try again after `Retry-After`.",
    507: "There is no room to store what was sent.",
}


def status_of(error: ground.PavemapError) -> HTTPStatus:
    """Return the HTTP status of an error: its own in the table, or that of its nearest base."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's `responses` of an operation: these problems, and those any operation has."""
    return {
        status: {
            "description": MEANING[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            **({"headers": RETRY_AFTER} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}),
        }
        for status in sorted({*statuses, 422, 500, 503})
    }


def problem(
    status: int,
    detail: str,
    *,
    kind: str = "about:blank",
    title: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    """Make a problem document (RFC 9457, section 3) of a status, a sentence and extension members."""
    document = {
        "type": kind,
        "title": title or HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        **members,
    }
    return JSONResponse(
        document, status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE
    )


def of_error(error: ground.PavemapError) -> JSONResponse:
    """Make the problem of one of pavemap's own errors; its class names the type."""
    status = status_of(error)
    words = re.sub(
        r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", type(error).__name__
    ).lower()
    headers = (
        {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("%s: %s", type(error).__name__, error)
    return problem(
        status,
        str(error),
        kind=f"urn:pavemap:problem:{words}",
        title=_title(words, status),
        headers=headers,
    )


def _title(words: str, status: HTTPStatus) -> str:
    """Return an error's name as a title, spelt as HTTP does where HTTP has it too."""
    said = words.replace("-", " ").capitalize()
    return status.phrase if said.lower() == status.phrase.lower() else said


def of_validation(found: Sequence[Mapping[str, Any]]) -> JSONResponse:
    """Make the problem of a request that does not fit its schema, naming each field; no input is echoed."""
    listed = [
        {
            "in": str(error["loc"][0]) if error["loc"] else "body",
            "pointer": _pointer(error),
            "detail": _field_message(error),
        }
        for error in found
    ]
    malformed = any(error["type"] == "json_invalid" for error in found)
    said = "; ".join(
        f"{each['pointer'][2:] or each['in']}: {each['detail']}" for each in listed[:5]
    )
    if malformed:
        said = f"the body is no JSON ({listed[0]['detail']})"
    return problem(
        HTTPStatus.BAD_REQUEST if malformed else HTTPStatus.UNPROCESSABLE_ENTITY,
        said,
        kind="urn:pavemap:problem:invalid-request",
        title="Invalid request",
        errors=listed,
    )


async def no_unknown_queries(request: Request) -> None:
    """Refuse query parameters that the operation does not have; a misspelt filter must not be left out.

    Raises RequestValidationError.
    """
    parameters = list(_query_parameters(request.scope["route"].dependant))
    if any(_is_model(each.field_info.annotation) for each in parameters):
        return  # a model of all parameters looks after them
    known = {each.alias for each in parameters}
    unknown = [name for name in request.query_params if name not in known]
    if unknown:
        raise RequestValidationError(
            [{"loc": ("query", name), "type": "extra_forbidden", "msg": ""} for name in unknown]
        )


def _query_parameters(dependant: Dependant) -> Iterator[Any]:
    yield from dependant.query_params
    for below in dependant.dependencies:
        yield from _query_parameters(below)


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _pointer(error: Mapping[str, Any]) -> str:
    """Return a JSON pointer (RFC 6901) to what is wrong; the whole where it is no JSON."""
    inside = () if error["type"] == "json_invalid" else error["loc"][1:]
    return "#" + "".join(f"/{part}" for part in inside)


def _field_message(error: Mapping[str, Any]) -> str:
    """Say what is wrong and what to do; pydantic's words, but where they help nobody."""
    if error["type"] == "extra_forbidden":
        return "not known here; check its spelling, /docs lists what is taken"
    if error["type"] == "json_invalid":
        where, why = error["loc"][-1], error.get("ctx", {}).get("error", "not JSON")
        return f"it breaks at character {where}: {why}" if isinstance(where, int) else str(why)
    return str(error["msg"]).removeprefix("Value error, ")


def install(app: FastAPI) -> None:
    """Make every failure of an app answer with a problem document."""

    @app.exception_handler(ground.PavemapError)
    def pavemap_error(_: Request, exc: ground.PavemapError) -> JSONResponse:
        return of_error(exc)

    @app.exception_handler(RequestValidationError)
    def validation_error(_: Request, exc: RequestValidationError) -> JSONResponse:
        return of_validation(exc.errors())

    @app.exception_handler(HTTPException)
    def http_error(request: Request, exc: HTTPException) -> JSONResponse:
        detail, headers = str(exc.detail), dict(exc.headers or {})
        if exc.status_code == HTTPStatus.NOT_FOUND:
            detail = f"there is nothing at {request.url.path}; /docs lists what there is"
        elif exc.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = allowed = ", ".join(_methods(request))
            detail = f"{request.url.path} does not take {request.method}; it takes {allowed}"
        elif exc.status_code == HTTPStatus.BAD_REQUEST:  # FastAPI's, of JSON that Python can't take
            detail = (
                "the body can't be read as JSON: it is not in UTF-8, is nested too deep, or has a number "
                "that is too long"
            )
        elif exc.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            detail = "the body is larger than this operation takes; send less at once"
        return problem(exc.status_code, detail, headers=headers)

    @app.exception_handler(Exception)
    def fault(request: Request, exc: Exception) -> JSONResponse:
        reference = uuid.uuid4().hex[:12]
        log.error("fault %s in %s %s", reference, request.method, request.url.path, exc_info=exc)
        return problem(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"the server failed at this; its log has the reason under {reference}",
            reference=reference,
        )


def _methods(request: Request) -> list[str]:
    """Return all methods that the path of a request takes (RFC 9110, section 10.2.1)."""
    routes = request.app.router.routes

    def taken(method: str) -> bool:
        scope = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(scope)[0] is Match.FULL for route in routes)

    return [each for each in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT") if taken(each)]
