"""What a reviewer says of a line."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["confirmed", "rejected", "drawn"]
"""A crack was found rightly; what was found is none; a crack that was missed."""
