"""What all resources share: texts fit to be stored and shown, and the problem document."""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from datetime import date
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

MAX_NAME = 200

UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, lone surrogates, and line and paragraph separators."""


def printable(text: str) -> str:
    """Return a text that can be stored and shown on one line, in Unicode's form C. Raises ValueError.

    macOS writes umlauts as two characters in names of files: the same name is to be one wherever typed.
    """
    if any(unicodedata.category(character) in UNPRINTABLE for character in text):
        raise ValueError("control characters are not taken; use letters, digits and spaces")
    return unicodedata.normalize("NFC", text)


Printable = Annotated[str, AfterValidator(printable)]
Label = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_NAME),
    AfterValidator(printable),
]


def written_day(value: object) -> object:
    """Refuse what is no day as RFC 3339 writes it; a number would be taken for seconds since 1970."""
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        with suppress(ValueError):
            return date.fromisoformat(value)
    raise ValueError("write it as YYYY-MM-DD")


Day = Annotated[date, BeforeValidator(written_day)]
Bbox = Annotated[
    tuple[float, float, float, float],
    Field(description="west, south, east, north in degrees (EPSG:4326)"),
]
Next = Annotated[str | None, Field(description="URL of the page after this one; null on the last")]


class Problem(BaseModel):
    """Why a request failed (RFC 9457); `detail` says what to do next."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:pavemap:problem:not-found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "there is no network 'main street'; import it first, or list the networks",
                }
            ]
        },
    )

    type: str = Field(
        description="names the kind of problem; about:blank where HTTP's status says all"
    )
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = Field(
        default=None, description="each wrong field of the request, where fields are wrong"
    )


class FieldError(BaseModel):
    """One field of a request that does not fit."""

    model_config = ConfigDict(populate_by_name=True)

    location: str = Field(alias="in", description="body, query or path")
    pointer: str = Field(description="JSON pointer to the field")
    detail: str
