"""Surveys as they are made: fitted to their network and their model; and what keeps one from going on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import shapely
from pyproj import CRS
from pyproj.exceptions import ProjError
from sqlalchemy import Connection

from pavemap.geo.crs import (
    WGS84,
    crs_text,
    degrees_off_area,
    gsd_in_crs,
    parse_metric_crs,
    reproject,
    working_crs,
    wrapped,
)
from pavemap.geo.errors import BadInput
from pavemap.geo.grid import halo_for
from pavemap.geo.store import cell_inputs, heeded_reviews, networks, workers
from pavemap.geo.store import surveys as store
from pavemap.geo.store.surveys import NewSurvey, Progress, SurveyRow
from pavemap.platform.models import card_of, get_model_version
from pavemap.training.models.model_store import ModelStore

AREA_MARGIN_DEG = 15.0
"""How far off its area of use a CRS may serve: Norway's maps are in zone 33 (12 to 18 degrees east) from
coast to coast, 13 degrees beyond; lengths stay true, being divided by the scale there."""

ROUND_TRIP_DEG = 1e-5
"""A metre: a projection that is used where it has no inverse comes back many kilometres away."""


@dataclass(frozen=True, kw_only=True)
class SurveyWanted:
    """What is asked of a survey to be; what is None is chosen to fit.

    `network` and `model` are ids or names, `crs` is an authority code or WKT, `gsd_m` ground metres per
    pixel, `measures` the MeasureParams that differ from their defaults, `position_rmse_m` the radial RMSE
    of the imagery.
    """

    name: str
    network: str
    captured_on: date | None = None
    crs: str | None = None
    gsd_m: float | None = None
    model: str | None = None
    measures: Mapping[str, Any] | None = None
    position_rmse_m: float | None = None


def create_survey(connection: Connection, wanted: SurveyWanted, *, models: ModelStore) -> SurveyRow:
    """Make a survey of a network. Raises NotFound, or BadInput for parameters or a CRS that don't fit."""
    # Bring the vectoriser's compiler along, which few other operations need.
    from pavemap.geo.measures import MeasureParams
    from pavemap.geo.vectorizing.vectorize import VectorizeParams

    network = networks.get_network(connection, wanted.network)
    model = get_model_version(connection, wanted.model, models)
    card = card_of(model)
    crs = parse_metric_crs(wanted.crs) if wanted.crs else working_crs(*network.centre)
    x, y = _fitting_point(crs, *network.centre)
    params = VectorizeParams.from_dict({**card.vectorize, "threshold": card.threshold})
    return store.create_survey(
        connection,
        NewSurvey(
            name=wanted.name,
            network_id=network.id,
            model_id=model.id,
            crs=crs_text(crs),
            gsd_m=gsd_in_crs(wanted.gsd_m or card.gsd_m, crs, x, y),
            halo_px=halo_for(card.reach_px),
            params=params.to_dict(),
            captured_on=wanted.captured_on,
            measures=MeasureParams.from_dict(wanted.measures or {}).to_dict(),
            position_rmse_m=wanted.position_rmse_m,
        ),
    )


def attention(connection: Connection, survey: SurveyRow, progress: Progress) -> str:
    """Say what keeps a survey from going on, or what has changed since; '' where nothing does or has."""
    held_up = _held_up(connection, survey, progress) if survey.state == "running" else ""
    if held_up or survey.planned_imagery is None:
        return held_up
    if cell_inputs.stored_imagery_digest(connection, survey.id) != survey.planned_imagery:
        return (
            "its imagery is not what it was run with; run it again, and only what changed is done"
        )
    if survey.state != "done" or survey.heeded_digest is None:
        return ""
    now = heeded_reviews.reviews_now(connection, survey.id)
    if not heeded_reviews.is_outdated(survey, now):
        return ""
    how = "apply them again" if now.count else "none is left, so undo that (`review apply --undo`)"
    return f"its reviews are not those that its figures heed; {how}"


def _held_up(connection: Connection, survey: SurveyRow, progress: Progress) -> str:
    if not progress.waiting:
        return f"its figures wait: {survey.error}" if survey.error else ""
    present = workers.present_workers(connection)
    if present.serves(survey.model_id):
        said = max(progress.held_up, key=lambda each: progress.held_up[each], default="")
        return f"some cells are tried again after: {said}" if said else ""
    if not present.by_model:
        return (
            f"no Surveyor is at work, so {progress.waiting:,} cells wait; start one (`pavemap up`), or "
            "look why those you have don't reach the database"
        )
    return (
        f"no Surveyor at work serves model {survey.model_id}, so {progress.waiting:,} cells wait; serve "
        f"it, or make the survey with {' or '.join(sorted(present.by_model))}"
    )


def _place_in(crs: CRS, lon: float, lat: float) -> shapely.Point | None:
    """Return a place, in degrees, in a CRS; None where it does not come back, as from one of the Moon."""
    try:
        place = reproject(shapely.Point(lon, lat), WGS84, crs)
        back = reproject(place, crs, WGS84)
    except ProjError:
        return None
    returns = abs(wrapped(back.x - lon)) < ROUND_TRIP_DEG and abs(back.y - lat) < ROUND_TRIP_DEG
    return place if returns else None


def _fitting_point(crs: CRS, lon: float, lat: float) -> tuple[float, float]:
    """Return a place, in degrees, in a CRS. Raises BadInput where the CRS does not serve there."""
    place = _place_in(crs, lon, lat)
    off_deg = degrees_off_area(crs, np.array(lon), np.array(lat))
    if place is not None and off_deg <= AREA_MARGIN_DEG:
        return place.x, place.y
    area = crs.area_of_use
    edges = "" if area is None else ", ".join(f"{edge:g}" for edge in area.bounds)
    made_for = f"; it is made for {edges} (west, south, east, north)" if edges else ""
    raise BadInput(
        f"{crs.name} does not serve in the middle of the network ({lon:.3f}, {lat:.3f}){made_for}; take a "
        "CRS for this ground, or leave it out to have one chosen"
    )
