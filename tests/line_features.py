"""Lines as the API gives them."""

from __future__ import annotations

from typing import Any

import shapely
import shapely.geometry


def line_feature(number: int, shape: shapely.LineString, **properties: Any) -> dict[str, Any]:
    geometry = shapely.geometry.mapping(shape)
    return {"type": "Feature", "id": number, "geometry": geometry, "properties": properties}
