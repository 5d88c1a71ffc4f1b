"""What holds of roads where nobody says otherwise."""

from __future__ import annotations

ROAD_WIDTH_M = 7.0
"""Of a road whose file states no width, nor lanes."""

SEGMENT_LENGTH_M = 100.0
