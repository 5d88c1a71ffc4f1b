"""What a cell is computed from: the imagery and pavement that meet it, read from the database."""

from __future__ import annotations

from dataclasses import dataclass

import shapely
from sqlalchemy import Connection

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.measures.shortfall import coarsest_m
from pavemap.geo.storage import Storage
from pavemap.geo.store import orthophotos, surveys
from pavemap.geo.store.cell_inputs import imagery_of
from pavemap.geo.store.leases import ClaimedCell
from pavemap.geo.store.model_versions import get_model
from pavemap.geo.store.orthophotos import OrthophotoRow
from pavemap.geo.store.pavements import segments_meeting
from pavemap.geo.vectorizing.vectorize import VectorizeParams


@dataclass(frozen=True)
class CellInputs:
    """Everything `survey_cell` needs besides the cell and a network."""

    grid: Grid
    mosaic: Mosaic
    """The orthophotos that meet the cell's window, no others: nothing is kept between cells."""
    pavements: list[tuple[int, shapely.MultiPolygon]]
    """Segment ids with their pavement, in the grid's CRS."""
    params: VectorizeParams
    model_id: str
    """The model version that the survey is made with."""
    orthophotos: tuple[OrthophotoRow, ...]
    """The imagery as it is registered."""
    digest: str
    """Of all that the result depends on; imagery may have changed since the plan."""


def read_inputs(conn: Connection, claimed: ClaimedCell, *, storage: Storage) -> CellInputs:
    """Return the inputs of a cell as they are stored now."""
    survey = surveys.get_survey(conn, claimed.survey_id)
    grid = survey.grid()
    window = reproject(grid.window(claimed.cell).box(), grid.crs, WGS84)
    near = orthophotos.orthophotos_near(conn, claimed.survey_id, window)
    tiles, digest = imagery_of(survey, claimed.cell, near)
    segments = segments_meeting(conn, claimed.survey_id, window)
    photos = [tile.info.at(storage.gdal_path(tile.key)) for tile in tiles]
    return CellInputs(
        grid=grid,
        mosaic=Mosaic(
            photos,
            grid.crs,
            gdal_options=storage.gdal_environment(),
            stretch=survey.stretch_ends,
            coarsest_m=coarsest_m(get_model(conn, survey.model_id).card),
        ),
        pavements=[(key, reproject(pavement, WGS84, grid.crs)) for key, pavement in segments],
        params=VectorizeParams.from_dict(survey.params),
        model_id=survey.model_id,
        orthophotos=tuple(tiles),
        digest=digest,
    )
