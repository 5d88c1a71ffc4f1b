"""Headers of answers: what OpenAPI says of them, and where a new resource is found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from fastapi import Request

Described = dict[str, dict[str, Any]]
"""Headers of an answer as OpenAPI describes them, by name."""


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


LOCATION: Described = {"Location": _text("Where what was made is found.")}
RETRY_AFTER: Described = {
    "Retry-After": {"description": "Seconds to wait at least.", "schema": {"type": "integer"}}
}
CACHING: Described = {
    "ETag": _text(
        "Names this very content; sent back as If-None-Match, it saves sending it again."
    ),
    "Cache-Control": _text("How long it may be shown without asking."),
}
REQUEST_ID: Described = {
    "X-Request-ID": _text(
        "Finds the request's lines in the log: the client's own, where it sent one."
    )
}


def names_etag(if_none_match: Sequence[str], etag: str) -> bool:
    """Tell whether the lines of If-None-Match name an ETag, compared weakly (RFC 9110, section 13.1.2)."""
    given = ",".join(if_none_match)
    return given.strip() == "*" or etag.removeprefix("W/") in re.findall(r'"[^"]*"', given)


def location(request: Request, operation: str, **path: object) -> str:
    """Return the URL of what an operation, such as `get_survey`, reads."""
    return str(request.url_for(operation, **{k: quote(str(v), safe="") for k, v in path.items()}))
