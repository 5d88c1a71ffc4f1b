"""How roads are cut, and what holds of them where nobody says otherwise."""

from __future__ import annotations

from typing import Literal

ROAD_WIDTH_M = 7.0
"""Of a road whose file states no width, nor lanes."""

SEGMENT_LENGTH_M = 100.0

SegmentsBy = Literal["length", "sections", "intersections", "intersections+length"]
"""Where roads are cut: every so many metres, at their ends alone, where others meet them, or both."""
