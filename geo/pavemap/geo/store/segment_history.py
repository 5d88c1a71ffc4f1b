"""The history of a segment: its figures in all its surveys."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import Connection, text

from pavemap.geo.errors import NotFound
from pavemap.geo.store.figures import COLUMNS, Figures


@dataclass(frozen=True, kw_only=True)
class ConditionRecord(Figures):
    """The figures of one segment in one of its surveys."""

    survey_id: uuid.UUID
    survey_name: str
    captured_on: date | None
    model_id: str
    heeded_reviews: int | None
    created_at: datetime


def segment_conditions(connection: Connection, segment_id: int) -> list[ConditionRecord]:
    """Return a segment's figures in all its surveys, the latest first. Raises NotFound.

    Surveys of networks that this segment's network replaces, or that replace it, are among them.
    """
    rows = connection.execute(_HISTORY, {"segment_id": segment_id}).all()
    if not rows and not connection.scalar(_KNOWN_SEGMENT, {"segment_id": segment_id}):
        raise NotFound(f"there is no segment {segment_id}; ids are those of a survey's segments")
    return [ConditionRecord(**row._mapping) for row in rows]


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
