"""Surveys over HTTP: make one, look how far it is, run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from pavemap.geo.crs import (
    crs_text,
    gsd_in_crs,
    parse_metric_crs,
    working_crs,
)
from pavemap.geo.grid import halo_for
from pavemap.geo.store import cells, networks, orthophotos, planning, queries, workers
from pavemap.geo.store import surveys as store
from pavemap.geo.store.engine import database
from pavemap.geo.store.networks import NetworkRow
from pavemap.geo.store.orthophotos import OrthophotoRow
from pavemap.platform import imagery
from pavemap.platform.api.bodies import DocumentRoute
from pavemap.platform.api.headers import LOCATION, location
from pavemap.platform.api.parameters import After, Limit, SurveyId, survey_id_of
from pavemap.platform.api.pixels import ground_gsd_m, middle, middle_in
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.common import Label, Printable
from pavemap.platform.api.schemas.surveys import (
    CellOut,
    CellPage,
    Cells,
    OrthophotoOut,
    RunOut,
    SurveyCreate,
    SurveyOut,
    SurveySummary,
)
from pavemap.platform.api.services import ServicesOf
from pavemap.platform.models import get_model_version
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
    # Bring the vectoriser's compiler along, which few other operations need.
    from pavemap.geo.measures import MeasureParams
    from pavemap.geo.vectorizing.vectorize import VectorizeParams

    with database(services.engine) as connection:
        network = networks.get_network(connection, new.network)
        model = get_model_version(connection, new.model, ModelStore(services.storage))
        crs = parse_metric_crs(new.crs) if new.crs else working_crs(*middle(network))
        gsd_m = new.gsd_m or float(model.card["gsd_m"])
        params = VectorizeParams.from_dict(
            {**model.card.get("vectorize", {}), "threshold": model.card["threshold"]}
        )
        row = store.create_survey(
            connection,
            store.NewSurvey(
                name=new.name,
                network_id=network.id,
                model_id=model.id,
                crs=crs_text(crs),
                gsd_m=gsd_in_crs(gsd_m, crs, *middle_in(crs, network)),
                halo_px=halo_for(int(model.card.get("reach_px", 0))),
                params=params.to_dict(),
                captured_on=new.captured_on,
                measures=MeasureParams.from_dict(new.measures or {}).to_dict(),
                position_rmse_m=new.position_rmse_m,
            ),
        )
        response.headers["Location"] = location(request, "get_survey", survey_id=row.id)
        return _described(connection, row, network)


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
            SurveySummary.of(row, ground_gsd_m=ground_gsd_m(row, of_id[row.network_id]))
            for row in rows
            if row.network_id in of_id  # else both were deleted meanwhile
        ]


@router.get("/{survey_id}", responses=answers(404), summary="A survey and how far it is")
def get_survey(survey_id: SurveyId, services: ServicesOf) -> SurveyOut:
    """Tell a survey's state, its cells, what failed cells say, its coverage and its imagery."""
    with database(services.engine) as connection:
        row = store.get_survey(connection, survey_id_of(survey_id))
        return _described(connection, row, networks.get_network(connection, row.network_id))


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


@router.delete("/{survey_id}", status_code=204, responses=answers(404), summary="Delete a survey")
def delete_survey(survey_id: SurveyId, services: ServicesOf) -> None:
    """Remove a survey for good: imagery, cells, cracks, figures and reviews.

    Ask again where this was cut off; until it is gone the survey is failed and says what is going on.
    """
    imagery.remove_survey(services.engine, services.storage, survey_id_of(survey_id))


def _described(connection: Connection, row: store.SurveyRow, network: NetworkRow) -> SurveyOut:
    progress = store.progress(connection, row.id)
    # Summing up a national network takes its time; while a survey runs nothing new can come of it.
    sums = queries.summary(connection, row.id) if row.state == "done" else None
    tiles = orthophotos.list_orthophotos(connection, row.id)
    return SurveyOut.of(
        row,
        ground_gsd_m=ground_gsd_m(row, network),
        finest_m=min((tile.gsd_m for tile in tiles), default=0.0),
        cells=Cells.of(progress),
        imaged_m2=progress.imaged_m2,
        attention=_attention(connection, row, progress) or _changed(row, tiles),
        coverage=sums.coverage if sums is not None and sums.segments else None,
        orthophotos=[OrthophotoOut.of(tile) for tile in tiles],
    )


def _attention(connection: Connection, row: store.SurveyRow, progress: store.Progress) -> str:
    """Say what keeps a survey from going on; '' where nothing does."""
    if row.state != "running":
        return ""
    if not progress.waiting:
        return f"its figures wait: {row.error}" if row.error else ""
    present = workers.present_workers(connection)
    if present.serves(row.model_id):
        held_up = max(progress.held_up, key=lambda said: progress.held_up[said], default="")
        return f"some cells are tried again after: {held_up}" if held_up else ""
    if not present.by_model:
        return (
            f"no Surveyor is at work, so {progress.waiting:,} cells wait; start one (`pavemap up`), or "
            "look why those you have don't reach the database"
        )
    return (
        f"no Surveyor at work serves model {row.model_id}, so {progress.waiting:,} cells wait; serve it, "
        f"or make the survey with {' or '.join(sorted(present.by_model))}"
    )


def _changed(row: store.SurveyRow, tiles: Sequence[OrthophotoRow]) -> str:
    """Say that a survey's files are others than when it was last run; '' where they are the same."""
    if row.planned_imagery in {None, planning.imagery_digest(tiles)}:
        return ""
    return "its imagery is not what it was run with; run it again, and only what changed is done"
