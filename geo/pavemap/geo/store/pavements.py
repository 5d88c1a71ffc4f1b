"""Segments by place: which of a network's pavements meet a polygon, or any of many boxes."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, text

from pavemap.geo.store.bulk import fetch_columns, from_ewkb, geometry_value
from pavemap.geo.store.places import search_area


def segments_meeting(
    connection: Connection, survey_id: uuid.UUID, polygon: BaseGeometry
) -> list[tuple[int, shapely.MultiPolygon]]:
    """Return (segment id, pavement in degrees) of a survey's network where they meet a polygon."""
    found = connection.execute(
        text("""
            SELECT s.id, ST_AsBinary(s.pavement)
            FROM segment s JOIN survey ON survey.network_id = s.network_id
            WHERE survey.id = :survey_id AND ST_Intersects(s.pavement, CAST(:area AS geometry))
            ORDER BY s.id
        """),
        {"survey_id": survey_id, "area": geometry_value(search_area(polygon))},
    ).all()
    pavements = shapely.from_wkb([pavement for _, pavement in found])
    return [(row[0], pavement) for row, pavement in zip(found, pavements, strict=True)]


def pavements_in(
    connection: Connection, network_id: uuid.UUID, boxes: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    """Return ids and pavements (degrees) of the segments whose bounds meet any of (N, 4) boxes."""
    ids: list[NDArray[Any]] = [np.empty(0, dtype=np.int64)]
    pavements: list[NDArray[Any]] = [np.empty(0, dtype=object)]
    west, south, east, north = boxes.T.tolist()
    for block_ids, block in fetch_columns(
        connection,
        """
            SELECT s.id, ST_AsBinary(s.pavement) FROM segment s
            WHERE s.network_id = %(network_id)s AND s.id IN (
                SELECT near.id
                FROM unnest(%(west)s::float8[], %(south)s::float8[],
                            %(east)s::float8[], %(north)s::float8[])
                     AS box(west, south, east, north)
                JOIN segment near ON near.pavement
                     && ST_MakeEnvelope(box.west, box.south, box.east, box.north, 4326))
            ORDER BY s.id
        """,
        {
            "network_id": network_id,
            "west": west,
            "south": south,
            "east": east,
            "north": north,
        },
    ):
        ids.append(block_ids)
        pavements.append(from_ewkb(block))
    return np.concatenate(ids), np.concatenate(pavements)
