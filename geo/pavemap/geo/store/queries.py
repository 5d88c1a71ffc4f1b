"""Questions to the results: pages of segments and cracks, a segment's history, a survey's sums.

Pages are cut by key, not by offset: a cursor holds the sort key and id of the last row, so a page is
as quick however deep it lies, and rows that come or go shift nothing.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import shapely
from sqlalchemy import Connection, text

from pavemap.geo.errors import NotFound
from pavemap.geo.store.bulk import geometries, geometry_value
from pavemap.geo.store.cursors import Cursor
from pavemap.geo.store.figures import COLUMNS, Figures
from pavemap.geo.store.places import Bbox, box_area
from pavemap.geo.store.segment_pages import check_limit
from pavemap.geo.store.surveys import get_survey, survey_version


@dataclass(frozen=True, kw_only=True)
class ConditionRecord(Figures):
    """The figures of one segment in one of its surveys."""

    survey_id: uuid.UUID
    survey_name: str
    captured_on: date | None
    model_id: str
    heeded_reviews: int | None
    created_at: datetime


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


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A survey in sums over its segments; what was found is None where nothing was imaged."""

    segments: int
    segments_imaged: int
    pavement_m2: float
    imaged_m2: float
    coverage: float
    too_coarse_m2: float
    """Pavement that was seen only in imagery coarser than the model is meant for."""
    crack_count: int | None
    crack_length_m: float | None
    cracked_area_m2: float | None
    density_m_per_m2: float | None


def segment_conditions(connection: Connection, segment_id: int) -> list[ConditionRecord]:
    """Return a segment's figures in all its surveys, the latest first. Raises NotFound.

    Surveys of networks that this segment's network replaces, or that replace it, are among them.
    """
    rows = connection.execute(_HISTORY, {"segment_id": segment_id}).all()
    if not rows and not connection.scalar(_KNOWN_SEGMENT, {"segment_id": segment_id}):
        raise NotFound(f"there is no segment {segment_id}; ids are those of a survey's segments")
    return [ConditionRecord(**row._mapping) for row in rows]


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


def summary(connection: Connection, survey_id: uuid.UUID) -> Summary:
    """Return a survey's sums over its segments; all 0 before it is measured. Raises NotFound."""
    get_survey(connection, survey_id)
    return Summary(**connection.execute(_SUMMARY, {"survey_id": survey_id}).one()._mapping)


_HISTORY = text(f"""
    SELECT c.survey_id, survey.name AS survey_name, survey.captured_on, survey.model_id,
        survey.heeded_reviews, {COLUMNS}, c.created_at
    FROM condition c JOIN survey ON survey.id = c.survey_id
    WHERE c.segment_id IN (  -- the segment in all its networks: those whose history began with one
        WITH first AS (SELECT coalesce(lineage, id) AS id FROM segment WHERE id = :segment_id)
        SELECT id FROM first UNION SELECT s.id FROM segment s JOIN first ON s.lineage = first.id)
    ORDER BY coalesce(survey.captured_on, CAST(survey.created_at AS date)) DESC, survey.created_at DESC
""")

_KNOWN_SEGMENT = text("SELECT EXISTS (SELECT FROM segment WHERE id = :segment_id)")

_SUMMARY = text("""
    SELECT count(*) AS segments,
        count(*) FILTER (WHERE imaged_m2 > 0) AS segments_imaged,
        coalesce(sum(pavement_m2), 0) AS pavement_m2,
        coalesce(sum(imaged_m2), 0) AS imaged_m2,
        least(1, coalesce(sum(imaged_m2) / nullif(sum(pavement_m2), 0), 0)) AS coverage,
        coalesce(sum(too_coarse * pavement_m2), 0) AS too_coarse_m2,
        CASE WHEN sum(imaged_m2) > 0
             THEN (SELECT count(*) FROM crack WHERE survey_id = :survey_id) END AS crack_count,
        sum(crack_length_m) FILTER (WHERE imaged_m2 > 0) AS crack_length_m,
        sum(cracked_area_m2) FILTER (WHERE imaged_m2 > 0) AS cracked_area_m2,
        sum(crack_length_m) FILTER (WHERE imaged_m2 > 0) / nullif(sum(imaged_m2), 0)
            AS density_m_per_m2
    FROM condition WHERE survey_id = :survey_id
""")
