"""Surveys in the store: what they are, and how far they are."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, insert, select, text, update

from pavemap.geo.crs import ground_gsd_in, parse_metric_crs
from pavemap.geo.errors import BadInput, NotFound
from pavemap.geo.grid import LEAST_HALO_PX, Bounds, Grid
from pavemap.geo.store.engine import lift_timeouts
from pavemap.geo.store.model_versions import get_model
from pavemap.geo.store.networks import hold_network
from pavemap.geo.store.tables import Survey

SurveyState = Literal["created", "running", "measuring", "done", "failed"]


@dataclass(frozen=True, kw_only=True)
class NewSurvey:
    """A survey to be.

    `gsd_m` is the grid's pixel in CRS metres, `params` are VectorizeParams, `measures` MeasureParams;
    `position_rmse_m` is the horizontal error (radial RMSE) of the imagery, where it is known.
    """

    name: str
    network_id: uuid.UUID
    model_id: str
    crs: str
    gsd_m: float
    params: Mapping[str, Any]
    cell_px: int = 2048
    halo_px: int = LEAST_HALO_PX
    captured_on: date | None = None
    measures: Mapping[str, Any] = field(default_factory=dict)
    position_rmse_m: float | None = None


@dataclass(frozen=True, kw_only=True)
class SurveyRow:
    """A survey as it is stored; `error` says why it is failed, or why its measuring rests.

    `epoch` is raised whenever cells change or a measuring begins, so that what an older measuring
    writes late is refused. `heeds_reviews` says whether its figures are to be as reviewed,
    `heeded_reviews` how many reviews those that stand heed, None where they are as found, and
    `heeded_digest` which.
    """

    id: uuid.UUID
    name: str
    network_id: uuid.UUID
    model_id: str
    captured_on: date | None
    crs: str
    gsd_m: float
    cell_px: int
    halo_px: int
    params: Mapping[str, Any]
    measures: Mapping[str, Any]
    position_rmse_m: float | None
    stretch: Sequence[float] | None
    planned_imagery: str | None
    heeds_reviews: bool
    heeded_reviews: int | None
    heeded_digest: str | None
    state: SurveyState
    epoch: int
    measuring_attempts: int
    lease_owner: str | None
    lease_until: datetime | None
    error: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def stretch_ends(self) -> tuple[float, float] | None:
        """The 16 bit values that become 0 and 255 in its imagery; None before it is planned."""
        return None if self.stretch is None else (self.stretch[0], self.stretch[1])

    def grid(self) -> Grid:
        """Return the survey's grid."""
        crs = parse_metric_crs(self.crs)
        return Grid(crs, self.gsd_m, cell_px=self.cell_px, halo_px=self.halo_px)

    def ground_gsd_m(self, bounds: Bounds) -> float:
        """Return its pixel in true metres, in the middle of its network's bounds in degrees."""
        return ground_gsd_in(bounds, self.gsd_m, self.grid().crs)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a survey is: its cells by state, and the ground seen."""

    cells_total: int
    waiting: int
    leased: int
    done: int
    failed: int
    retries: int
    """Attempts beyond the first, over all cells."""
    imaged_m2: float
    errors: Mapping[str, int]
    """Messages of failed cells with their number, the most frequent five."""
    held_up: Mapping[str, int]
    """The same of cells that wait for what was away, or for another attempt."""


def create_survey(connection: Connection, survey: NewSurvey) -> SurveyRow:
    """Store a new survey. Raises NotFound for an unknown network or model, BadInput for a bad grid."""
    hold_network(connection, survey.network_id)
    get_model(connection, survey.model_id)
    Grid(parse_metric_crs(survey.crs), survey.gsd_m, cell_px=survey.cell_px, halo_px=survey.halo_px)
    if not survey.name.strip():
        raise BadInput("a survey needs a name, such as 'Main Street, spring 2026'")
    made = connection.execute(
        insert(Survey)
        .values(
            name=survey.name.strip(),
            network_id=survey.network_id,
            model_id=survey.model_id,
            captured_on=survey.captured_on,
            crs=survey.crs,
            gsd_m=survey.gsd_m,
            cell_px=survey.cell_px,
            halo_px=survey.halo_px,
            params=dict(survey.params),
            measures=dict(survey.measures),
            position_rmse_m=survey.position_rmse_m,
        )
        .returning(*Survey.__table__.columns)
    )
    return _survey_row(made.one())


def get_survey(connection: Connection, survey_id: uuid.UUID) -> SurveyRow:
    """Return a survey. Raises NotFound."""
    row = connection.execute(
        select(*Survey.__table__.columns).where(Survey.id == survey_id)
    ).one_or_none()
    return _survey_row(_found(row, survey_id))


BEING_DELETED = "this survey is being deleted; delete it again if it stays"
"""The error of a failed survey whose imagery is being removed; it is put to work no more."""


def lock_survey(connection: Connection, survey_id: uuid.UUID) -> SurveyRow:
    """Return a survey, and keep others from planning, retrying or finishing it until the end of this.

    Writers of cells go on: their foreign keys only need the survey to stay. Raises NotFound.
    """
    row = connection.execute(
        select(*Survey.__table__.columns)
        .where(Survey.id == survey_id)
        .with_for_update(key_share=True)
    ).one_or_none()
    return _survey_row(_found(row, survey_id))


def survey_version(connection: Connection, survey_id: uuid.UUID) -> str:
    """Return what changes whenever a survey's figures do. Raises NotFound."""
    row = connection.execute(_VERSION, {"survey_id": survey_id}).one_or_none()
    return str(_found(row, survey_id).version)


def list_surveys(
    connection: Connection, *, network_id: uuid.UUID | None = None, name: str | None = None
) -> list[SurveyRow]:
    """Return all surveys, or those of a network or of a name, the latest first."""
    query = select(*Survey.__table__.columns).order_by(Survey.created_at.desc(), Survey.id)
    if network_id is not None:
        query = query.where(Survey.network_id == network_id)
    if name is not None:
        query = query.where(Survey.name == name)
    return [_survey_row(row) for row in connection.execute(query)]


def is_unchanged(connection: Connection, survey: SurveyRow) -> bool:
    """Tell whether a survey is still there, not planned, claimed or set to a state since it was read."""
    epoch = connection.scalar(select(Survey.epoch).where(Survey.id == survey.id))
    return bool(epoch == survey.epoch)


def set_state(
    connection: Connection, survey_id: uuid.UUID, state: SurveyState, *, error: str = ""
) -> SurveyRow:
    """Put a survey into a state, free of any lease. Raises NotFound."""
    now = text("clock_timestamp()")
    moments: dict[str, Any] = {"finished_at": now if state in {"done", "failed"} else None}
    if state == "running":
        moments["started_at"] = now
    row = connection.execute(
        update(Survey)
        .where(Survey.id == survey_id)
        .values(
            state=state,
            epoch=Survey.epoch + 1,
            error=clean(error),
            lease_owner=None,
            lease_until=None,
            **moments,
        )
        .returning(*Survey.__table__.columns)
    ).one_or_none()
    return _survey_row(_found(row, survey_id))


def delete_survey(connection: Connection, survey_id: uuid.UUID) -> None:
    """Remove a survey with all that was found in it and said of it; not its imagery in storage.

    Workers that are at its cells find their claims gone, and store nothing. Raises NotFound.
    """
    lift_timeouts(connection)
    lock_survey(connection, survey_id)
    # Cells first: a worker that stores one at this moment needs the survey's row until it has ended.
    for table in ("cell", "piece", "crack", "condition"):
        connection.execute(text(f"DELETE FROM {table} WHERE survey_id = :id"), {"id": survey_id})
    connection.execute(delete(Survey).where(Survey.id == survey_id))


def progress(connection: Connection, survey_id: uuid.UUID) -> Progress:
    """Count a survey's cells. Raises NotFound."""
    counted = connection.execute(_PROGRESS, {"survey_id": survey_id}).one_or_none()
    return Progress(**_found(counted, survey_id)._mapping)


def clean(message: str) -> str:
    """Return a message as a row can hold it: of whole characters, no NUL, no longer than anyone reads."""
    return message.replace("\x00", "").encode(errors="replace").decode()[:MAX_MESSAGE]


MAX_MESSAGE = 2000

_PROGRESS = text("""
    SELECT count(c.col) AS cells_total,
           count(*) FILTER (WHERE c.state = 'waiting') AS waiting,
           count(*) FILTER (WHERE c.state = 'leased') AS leased,
           count(*) FILTER (WHERE c.state = 'done') AS done,
           count(*) FILTER (WHERE c.state = 'failed') AS failed,
           coalesce(sum(greatest(c.attempts - 1, 0)), 0) AS retries,
           coalesce(sum(c.imaged_m2) FILTER (WHERE c.state = 'done'), 0) AS imaged_m2,
           (SELECT coalesce(jsonb_object_agg(error, times), '{}') FROM (
               SELECT error, count(*) AS times FROM cell
               WHERE survey_id = :survey_id AND state = 'failed'
               GROUP BY error ORDER BY count(*) DESC, error LIMIT 5) AS reasons) AS errors,
           (SELECT coalesce(jsonb_object_agg(error, times), '{}') FROM (
               SELECT error, count(*) AS times FROM cell
               WHERE survey_id = :survey_id AND state = 'waiting' AND error <> ''
               GROUP BY error ORDER BY count(*) DESC, error LIMIT 5) AS reasons) AS held_up
    FROM survey s LEFT JOIN cell c ON c.survey_id = s.id
    WHERE s.id = :survey_id GROUP BY s.id
""")


def _found(row: Row[Any] | None, survey_id: uuid.UUID) -> Row[Any]:
    if row is None:
        raise NotFound(f"there is no survey '{survey_id}'; list the surveys to find its id")
    return row


def _survey_row(row: Row[Any]) -> SurveyRow:
    return SurveyRow(**row._mapping)


_VERSION = text(
    "SELECT concat_ws('-', epoch, state, extract(epoch FROM finished_at)) AS version "
    "FROM survey WHERE id = :survey_id"
)
