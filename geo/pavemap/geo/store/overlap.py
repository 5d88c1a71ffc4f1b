"""Whether imagery lies on a network's roads, and how far from them where it does not."""

from __future__ import annotations

import uuid

from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, text

from pavemap.geo.store.bulk import geometry_value
from pavemap.geo.store.places import search_area


def distance_to_pavement_m(
    connection: Connection, network_id: uuid.UUID, footprint: BaseGeometry
) -> float:
    """Return true metres between a footprint in degrees and a network's nearest pavement; 0 on it.

    What lies far away is measured from the road that is nearest in degrees, which is near enough to
    tell a wrong CRS from a tile beside the road.
    """
    area = geometry_value(search_area(footprint))
    return float(
        connection.execute(_DISTANCE, {"network_id": network_id, "area": area}).scalar_one()
    )


# The index ix_segment_pavement answers both: the test of overlap, and the nearest by <->.
_DISTANCE = text("""
    WITH place AS (SELECT CAST(:area AS geometry) AS area)
    SELECT CASE WHEN EXISTS (
        SELECT FROM segment s, place
        WHERE s.network_id = :network_id AND ST_Intersects(s.pavement, place.area)
    ) THEN 0 ELSE (
        SELECT ST_Distance(near.pavement::geography, place.area::geography)
        FROM place, LATERAL (
            SELECT s.pavement FROM segment s
            WHERE s.network_id = :network_id
            ORDER BY s.pavement <-> place.area LIMIT 1
        ) near
    ) END
""")
