"""Pages of the cracks of a survey, by id."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import shapely
from sqlalchemy import Connection, text

from pavemap.geo.store.bulk import geometries, geometry_value
from pavemap.geo.store.cursors import Cursor, check_limit
from pavemap.geo.store.places import Bbox, box_area
from pavemap.geo.store.surveys import survey_version


@dataclass(frozen=True, kw_only=True)
class CrackRow:
    """A crack: its line in degrees, z the local width in millimetres, and its true measures."""

    id: int
    model_id: str | None
    """The version that found it; None of one that a reviewer drew."""
    found_digest: str | None
    """Of the course that it was found with, where it has another one now."""
    line: shapely.LineString
    length_m: float
    width_mean_mm: float
    width_p95_mm: float
    width_max_mm: float
    area_m2: float
    confidence: float | None


def cracks_page(
    connection: Connection,
    survey_id: uuid.UUID,
    *,
    bbox: Bbox | None = None,
    limit: int = 1000,
    after: str | None = None,
) -> tuple[list[CrackRow], str | None]:
    """Return a page of a survey's cracks by id, and the cursor of the next page or None at the end.

    Raises NotFound for an unknown survey, BadInput for a bad box or cursor, Conflict where the survey was
    measured anew since the page before.
    """
    check_limit(limit)
    cursor = Cursor.read(after, order="crack", version=survey_version(connection, survey_id))
    conditions = ["survey_id = :survey_id", "id > :id"]
    parameters: dict[str, Any] = {
        "survey_id": survey_id,
        "id": 0 if cursor.id is None else cursor.id,
        "limit": limit + 1,
    }
    if bbox is not None:
        conditions.append("ST_Intersects(geom, CAST(:area AS geometry))")
        parameters["area"] = geometry_value(box_area(bbox))
    rows = connection.execute(
        text(f"""
            SELECT id, model_id, found_digest, ST_AsBinary(geom) AS line, length_m, width_mean_mm,
                width_p95_mm, width_max_mm, area_m2, confidence
            FROM crack WHERE {" AND ".join(conditions)} ORDER BY id LIMIT :limit
        """),
        parameters,
    ).all()
    cursor.check(survey_version(connection, survey_id))  # measured anew while this was read?
    page = rows[:limit]
    following = cursor.at(None, page[-1].id) if len(rows) > limit else None
    lines = geometries(page, "line")
    return [
        CrackRow(**{**row._mapping, "line": line}) for row, line in zip(page, lines, strict=True)
    ], following
