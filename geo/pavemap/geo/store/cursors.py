"""Cursors of paged answers: where the last page ended, as text that callers hand back unread.

Pages are cut by key, not by offset: a cursor holds the sort key and id of the last row, so a page is
as quick however deep it lies, and rows that come or go shift nothing.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass
from typing import Self

from pavemap.geo.errors import BadInput, Conflict

Key = float | str | None

_NO_TEXT = re.compile("[\x00\ud800-\udfff]")
LARGEST_ID = 2**63 - 1

MAX_PAGE = 10_000
MAX_COMPARED = 1000
"""Segments compared at a time: their cracks in both surveys are in memory together."""


@dataclass(frozen=True)
class Cursor:
    """The sort key and id of the last row of a page, in a named order; without id, the beginning.

    `version` is of what is paged through: where it has changed, pages would not go together.
    """

    order: str
    key: Key = None
    id: int | None = None
    version: str = ""

    @classmethod
    def read(
        cls,
        value: str | None,
        *,
        order: str,
        key_type: type[float] | type[str] = float,
        version: str = "",
    ) -> Self:
        """Read a cursor as it came, or begin.

        Raises BadInput when it is none, or is of another order; Conflict when it is of another version.
        """
        if value is None:
            return cls(order, version=version)
        try:
            own_order, key, number, own_version = json.loads(
                base64.urlsafe_b64decode(value.encode())
            )
        except (ValueError, TypeError, binascii.Error, RecursionError) as exc:
            raise _refused() from exc
        if own_order != order:
            raise BadInput(
                "the cursor is of a list sorted otherwise; use it with the parameters it came from"
            )
        if type(number) is not int or not 0 <= number <= LARGEST_ID:
            raise _refused()
        if not (key is None or (_is_number(key) if key_type is float else _is_text(key))):
            raise _refused()
        found = cls(order, key, number, own_version)
        found.check(version)
        return found

    def check(self, version: str) -> None:
        """Raise Conflict where what is paged through is of another version than the cursor's page."""
        if self.version != version:
            raise Conflict(
                "the survey was measured anew since the first page; begin again without a cursor"
            )

    def at(self, key: Key, number: int) -> str:
        """Return the text of a cursor of the same order that stands at another row."""
        return base64.urlsafe_b64encode(
            json.dumps([self.order, key, number, self.version]).encode()
        ).decode()


def check_limit(limit: int, *, most: int = MAX_PAGE) -> None:
    """Raise BadInput for a page of no row, or of more than `most`."""
    if not 1 <= limit <= most:
        raise BadInput(f"a page has 1 to {most} rows, not {limit}; ask for the next page instead")


def _refused() -> BadInput:
    return BadInput("the cursor can't be read; begin again without one, and hand back what comes")


def _is_number(value: object) -> bool:
    return type(value) in {int, float} and math.isfinite(float(str(value)))


def _is_text(value: object) -> bool:
    """Whether it is text that PostgreSQL takes; JSON may spell halves of characters, too."""
    return isinstance(value, str) and not _NO_TEXT.search(value)
