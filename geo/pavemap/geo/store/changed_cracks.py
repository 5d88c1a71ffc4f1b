"""The cracks of two surveys compared, on the ground that both have imaged."""

from __future__ import annotations

import uuid

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from sqlalchemy import Connection

from pavemap.geo.arrays import object_array
from pavemap.geo.change_lines import LineChanges, compare_lines
from pavemap.geo.crs import WGS84, ground_scales, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.imagery.imaged import imaged_by_both
from pavemap.geo.store.bulk import fetch_columns, from_ewkb
from pavemap.geo.store.comparison import Comparison
from pavemap.geo.store.imaged_pavement import imaged_pavement
from pavemap.geo.store.pavements import pavements_in
from pavemap.geo.store.places import search_boxes
from pavemap.geo.store.surveys import SurveyRow


def common_ground(
    connection: Connection,
    comparison: Comparison,
    pavements: NDArray[np.object_],
    *,
    grid: Grid,
) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Return the part of pavements (degrees) that both surveys imaged, in the grid's CRS, and its scale.

    Pavements are those of the later survey; where the earlier one's network had none, it kept no crack.
    """
    before, after = (
        _imaged(connection, survey, pavements, crs=grid.crs)
        for survey in (comparison.before, comparison.after)
    )
    ground = imaged_by_both(before, after)
    if comparison.before.network_id != comparison.after.network_id:
        former = _pavement_near(connection, comparison.before.network_id, ground, crs=grid.crs)
        ground = imaged_by_both(ground, former)
    middle = shapely.get_coordinates(shapely.centroid(reproject(pavements, WGS84, grid.crs)))
    return ground, ground_scales(grid.crs, middle[:, 0], middle[:, 1])


def _imaged(
    connection: Connection, survey: SurveyRow, pavements: NDArray[np.object_], *, crs: CRS
) -> NDArray[np.object_]:
    grid = survey.grid()
    moved = reproject(pavements, WGS84, grid.crs)
    seen = imaged_pavement(connection, survey.id, moved, grid=grid)
    return reproject(seen, grid.crs, crs)


def _pavement_near(
    connection: Connection, network_id: uuid.UUID, ground: NDArray[np.object_], *, crs: CRS
) -> NDArray[np.object_]:
    """Return a network's pavement, in a CRS, that meets each of (N,) pieces of ground of that CRS."""
    boxes = search_boxes(ground[~shapely.is_empty(ground)], crs)
    _, pavements = pavements_in(connection, network_id, boxes)
    pavements = reproject(pavements, WGS84, crs)
    at, near = shapely.STRtree(pavements).query(ground, predicate="intersects")
    return object_array(
        [shapely.union_all(pavements[near[at == each]]) for each in range(len(ground))]
    )


def compared_lines(
    connection: Connection,
    comparison: Comparison,
    ground: NDArray[np.object_],
    *,
    scale: NDArray[np.float64],
    grid: Grid,
) -> LineChanges:
    """Return what became of the cracks on (N,) ground (the grid's CRS), of which `scale` is known."""
    areas = shapely.box(*shapely.bounds(ground[~shapely.is_empty(ground)]).reshape(-1, 4).T)
    near = shapely.buffer(areas, 2.0 * comparison.tolerance_m, join_style="mitre")
    boxes = search_boxes(np.asarray(near, dtype=object), grid.crs)
    before, after = (
        reproject(_cracks_in(connection, survey.id, boxes), WGS84, grid.crs)
        for survey in (comparison.before, comparison.after)
    )
    return compare_lines(
        before, after, ground=ground, tolerance_m=comparison.tolerance_m, scale=scale
    )


def _cracks_in(
    connection: Connection, survey_id: uuid.UUID, boxes: NDArray[np.float64]
) -> NDArray[np.object_]:
    """Return, in degrees, the cracks of a survey whose bounds meet any of (N, 4) boxes."""
    west, south, east, north = boxes.T.tolist()
    found = [np.empty(0, dtype=object)]
    for (block,) in fetch_columns(
        connection,
        """
            SELECT ST_AsBinary(c.geom) FROM crack c
            WHERE c.survey_id = %(survey_id)s AND c.id IN (
                SELECT near.id
                FROM unnest(%(west)s::float8[], %(south)s::float8[],
                            %(east)s::float8[], %(north)s::float8[])
                     AS box(west, south, east, north)
                JOIN crack near ON near.survey_id = %(survey_id)s AND near.geom
                     && ST_MakeEnvelope(box.west, box.south, box.east, box.north, 4326))
            ORDER BY c.id
        """,
        {"survey_id": survey_id, "west": west, "south": south, "east": east, "north": north},
    ):
        found.append(from_ewkb(block))
    return np.concatenate(found)
