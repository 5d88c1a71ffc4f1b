"""Which reviews the figures of a survey heed, and how they come to heed others, or none."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection, text

from pavemap.geo.errors import Conflict
from pavemap.geo.store.planning import set_running
from pavemap.geo.store.surveys import SurveyRow, get_survey, lock_survey


@dataclass(frozen=True)
class Heeded:
    """Which reviews figures heed: how many, and a digest that changes with what any of them says."""

    count: int
    digest: str

    @classmethod
    def of(cls, ids: Collection[int]) -> Self:
        """Tell reviews by their ids: what says something else has another one."""
        return cls.told_by(len(ids), max(ids, default=0))

    @classmethod
    def told_by(cls, count: int, last: int) -> Self:
        """Tell reviews by how many there are and the last id: ids only grow, and none comes back."""
        return cls(count, f"{count}-{last}")


def reviews_now(connection: Connection, survey_id: uuid.UUID) -> Heeded:
    """Return what figures would heed that were worked out now."""
    return Heeded.told_by(*connection.execute(_COUNT, {"survey_id": survey_id}).one())


def is_outdated(survey: SurveyRow, now: Heeded) -> bool:
    """Tell whether a survey's figures heed other reviews than there are now."""
    return survey.heeded_digest is not None and survey.heeded_digest != now.digest


def heed_reviews(connection: Connection, survey_id: uuid.UUID, *, heed: bool) -> SurveyRow:
    """Have a survey's figures worked out as its reviews say, or again as they were found.

    So they are whenever it is measured, from now on. Figures that are so already are left alone.

    Raises NotFound, and Conflict for a survey that was never run, or of which nobody said anything.
    """
    survey = lock_survey(connection, survey_id)
    said = reviews_now(connection, survey_id)
    if survey.state == "created":
        raise Conflict(f"survey '{survey.name}' has no figures yet; run it first")
    if heed and not said.count:
        raise Conflict(
            f"survey '{survey.name}' has no reviews; send some (`pavemap review import`), or take its "
            "figures as they were found (`pavemap review apply --undo`)"
        )
    if survey.heeds_reviews == heed and not _is_due(survey, said if heed else None):
        return survey
    connection.execute(
        text("UPDATE survey SET heeds_reviews = :heed WHERE id = :id"),
        {"id": survey_id, "heed": heed},
    )
    set_running(connection, survey_id)
    return get_survey(connection, survey_id)


def _is_due(survey: SurveyRow, wanted: Heeded | None) -> bool:
    """Tell whether a survey, left alone, keeps or gets figures that heed other reviews than wanted."""
    if survey.state == "running":
        return False  # its figures will heed what is said when it is measured
    return survey.state != "done" or survey.heeded_digest != (wanted and wanted.digest)


_COUNT = text("SELECT count(*), coalesce(max(id), 0) FROM review WHERE survey_id = :survey_id")
