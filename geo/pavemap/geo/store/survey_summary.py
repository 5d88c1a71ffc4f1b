"""A survey in sums over its segments."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, text

from pavemap.geo.store.surveys import get_survey


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


def summary(connection: Connection, survey_id: uuid.UUID) -> Summary:
    """Return a survey's sums over its segments; all 0 before it is measured. Raises NotFound."""
    get_survey(connection, survey_id)
    return Summary(**connection.execute(_SUMMARY, {"survey_id": survey_id}).one()._mapping)


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
