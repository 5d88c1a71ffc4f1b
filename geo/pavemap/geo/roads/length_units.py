"""The units that lengths in road tables come in."""

from __future__ import annotations

from typing import Literal

LengthUnit = Literal["m", "km", "ft", "us-ft", "mi"]

METRES: dict[str, float] = {
    "m": 1.0,
    "km": 1000.0,
    "ft": 0.3048,
    "us-ft": 1200.0 / 3937.0,
    "mi": 1609.344,
}
