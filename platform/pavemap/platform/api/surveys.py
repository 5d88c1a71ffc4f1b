"""Surveys over HTTP: make one, look how far it is, run it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from pavemap.geo.store import cells, networks, orthophotos, planning, survey_summary
from pavemap.geo.store import surveys as store
from pavemap.geo.store.engine import database
from pavemap.geo.store.heeded_reviews import heed_reviews
from pavemap.platform import stored_imagery
from pavemap.platform.api.bodies import DocumentRoute
from pavemap.platform.api.headers import LOCATION, location
from pavemap.platform.api.parameters import After, Limit, SurveyId, survey_id_of
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.cells import CellOut, CellPage, Cells
from pavemap.platform.api.schemas.common import Label, Printable
from pavemap.platform.api.schemas.surveys import (
    MeasureIn,
    RunOut,
    SurveyCreate,
    SurveyOut,
    SurveySummary,
)
from pavemap.platform.api.services import ServicesOf
from pavemap.platform.surveys import SurveyWanted, attention
from pavemap.platform.surveys import create_survey as create
from pavemap.training.models.model_store import ModelStore

router = APIRouter(prefix="/surveys", tags=["surveys"], route_class=DocumentRoute)


@router.post(
    "",
    status_code=201,
    responses={201: {"headers": LOCATION}, **answers(400, 404, 408, 413, 415)},
    summary="Make a survey",
)
def create_survey(
    new: SurveyCreate, request: Request, response: Response, services: ServicesOf
) -> SurveyOut:
    """Make a survey of a network; imagery is uploaded to it next, then it is run."""
    with database(services.engine) as connection:
        row = create(connection, SurveyWanted(**dict(new)), models=ModelStore(services.storage))
        response.headers["Location"] = location(request, "get_survey", survey_id=row.id)
        return _described(connection, row)


@router.get("", responses=answers(404), summary="List the surveys")
def list_surveys(
    services: ServicesOf,
    network: Annotated[
        Printable | None, Query(description="only those of this network: its id or name")
    ] = None,
    name: Annotated[Label | None, Query(description="only those of this very name")] = None,
) -> list[SurveySummary]:
    """List all surveys, or those of a network or of a name, the latest first."""
    with database(services.engine) as connection:
        known = None if network is None else networks.get_network(connection, network)
        rows = store.list_surveys(connection, network_id=known.id if known else None, name=name)
        of_id = {network.id: network for network in networks.list_networks(connection)}
        return [
            SurveySummary.of(row, ground_gsd_m=row.ground_gsd_m(of_id[row.network_id].bounds))
            for row in rows
            if row.network_id in of_id  # else both were deleted meanwhile
        ]


@router.get("/{survey_id}", responses=answers(404), summary="A survey and how far it is")
def get_survey(survey_id: SurveyId, services: ServicesOf) -> SurveyOut:
    """Tell a survey's state, its cells, what failed cells say, its coverage, how much imagery it has."""
    with database(services.engine) as connection:
        return _described(connection, store.get_survey(connection, survey_id_of(survey_id)))


@router.get("/{survey_id}/cells", responses=answers(404), summary="Cells of a survey")
def list_cells(
    request: Request,
    survey_id: SurveyId,
    services: ServicesOf,
    state: Annotated[cells.CellState | None, Query(description="only those in this state")] = None,
    limit: Limit = 1000,
    after: After = None,
) -> CellPage:
    """List cells in the order of the grid, with what went wrong last: the failed ones say what to mend."""
    with database(services.engine) as connection:
        rows, following = cells.cells_page(
            connection, survey_id_of(survey_id), state=state, limit=limit, after=after
        )
    href = None if following is None else str(request.url.include_query_params(after=following))
    return CellPage(cells=[CellOut.of(row) for row in rows], next=href)


@router.post("/{survey_id}/run", status_code=202, responses=answers(404), summary="Run a survey")
def run_survey(survey_id: SurveyId, services: ServicesOf) -> RunOut:
    """Plan the cells where imagery meets pavement, and set them to work.

    Any number of times: cells that are done and whose imagery is the same stay done, those whose
    imagery changed are done again, failed ones are tried again.
    """
    with database(services.engine) as connection:
        survey = store.get_survey(connection, survey_id_of(survey_id))
        plan = planning.plan_cells(connection, survey)
        retried = cells.retry_failed(connection, survey.id)
        state = store.get_survey(connection, survey.id).state
    return RunOut.of(plan, state=state, retried=retried)


@router.post(
    "/{survey_id}/measure",
    status_code=202,
    responses=answers(400, 404, 408, 409, 413, 415),
    summary="Work out figures as reviewed, or as found",
)
def measure_survey(wanted: MeasureIn, survey_id: SurveyId, services: ServicesOf) -> SurveyOut:
    """Have a survey's cracks and figures heed its reviews, as they are now, or be as the model found them.

    So they are whenever it is measured, from then on. Nothing is detected again; figures that are so
    already are left alone. What is said later is not heeded until this is asked for once more, or new
    imagery is run.
    """
    with database(services.engine) as connection:
        row = heed_reviews(connection, survey_id_of(survey_id), heed=wanted.heed_reviews)
        return _described(connection, row)


@router.delete("/{survey_id}", status_code=204, responses=answers(404), summary="Delete a survey")
def delete_survey(survey_id: SurveyId, services: ServicesOf) -> None:
    """Remove a survey for good: imagery, cells, cracks, figures and reviews.

    Ask again where this was cut off; until it is gone the survey is failed and says what is going on.
    """
    stored_imagery.remove_survey(services.engine, services.storage, survey_id_of(survey_id))


def _described(connection: Connection, row: store.SurveyRow) -> SurveyOut:
    network = networks.get_network(connection, row.network_id)
    progress = store.progress(connection, row.id)
    # Summing up a national network takes its time; while a survey runs nothing new can come of it.
    sums = survey_summary.summary(connection, row.id) if row.state == "done" else None
    files = orthophotos.imagery_summary(connection, row.id)
    return SurveyOut.of(
        row,
        ground_gsd_m=row.ground_gsd_m(network.bounds),
        finest_m=files.finest_gsd_m or 0.0,
        cells=Cells.of(progress),
        imaged_m2=progress.imaged_m2,
        attention=attention(connection, row, progress),
        coverage=sums.coverage if sums is not None and sums.segments else None,
        orthophotos=files.count,
        finest_gsd_m=files.finest_gsd_m,
    )
