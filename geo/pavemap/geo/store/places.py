"""Places to ask for, in degrees, made safe for the 180th meridian, where longitudes jump."""

from __future__ import annotations

import math

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from shapely import affinity
from shapely.geometry.base import BaseGeometry

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput
from pavemap.geo.grid import Bounds

Bbox = Bounds
"""West, south, east, north in degrees; west > east crosses the 180th meridian."""

NEAR_THE_MERIDIAN = 170.0
"""Beyond this longitude a place is also asked for 360 degrees further east and west."""

MARGIN_DEG = 1e-5
"""About a metre: what straight edges may bulge by between two projections."""


def search_area(polygon: BaseGeometry) -> BaseGeometry:
    """Return a polygon in degrees as one to compare stored geometries with.

    Near the 180th meridian it is repeated 360 degrees further on either side, since what is stored
    there may have been written as 179, 181 or -179.
    """
    return _repeated(_unwrapped(polygon)) if _near_the_meridian(polygon) else polygon


def box_area(bbox: Bbox) -> BaseGeometry:
    """Return the area of a box (west, south, east, north) in degrees; west > east crosses 180.

    Raises BadInput for what is no box on the Earth (RFC 7946, section 5).
    """
    west, south, east, north = bbox
    if not all(map(math.isfinite, bbox)):
        raise BadInput("a bbox is four numbers in degrees: west,south,east,north")
    if not (-90.0 <= south <= north <= 90.0 and abs(west) <= 360.0 and abs(east) <= 360.0):
        raise BadInput(
            f"the bbox {west:g},{south:g},{east:g},{north:g} is not on the Earth; "
            "give west,south,east,north in degrees"
        )
    if east - west >= 360.0:
        return shapely.box(-360.0, south, 360.0, north)
    # Its sides say which way round it goes, however wide it is, so there is nothing to unwrap.
    turns = math.ceil(max(west - east, 0.0) / 360.0)
    box = shapely.box(west, south, east + 360.0 * turns, north)
    return _repeated(box) if _near_the_meridian(box) else box


def search_boxes(geometries: NDArray[np.object_], crs: CRS) -> NDArray[np.float64]:
    """Return boxes in degrees, (N, 4), that hold geometries given in any CRS, with a small margin."""
    boxes: list[Bbox] = []
    for geometry in reproject(geometries, crs, WGS84):
        area = search_area(geometry)
        boxes.extend(part.bounds for part in getattr(area, "geoms", [area]))
    spread = MARGIN_DEG * np.array([-1.0, -1.0, 1.0, 1.0])
    return np.array(boxes, dtype=np.float64).reshape(-1, 4) + spread


def _near_the_meridian(polygon: BaseGeometry) -> bool:
    if polygon.is_empty:
        return False
    return bool(np.abs(shapely.bounds(polygon)[[0, 2]]).max() >= NEAR_THE_MERIDIAN)


def _repeated(polygon: BaseGeometry) -> BaseGeometry:
    """Repeat a polygon a turn further on either side."""
    return shapely.union_all([affinity.translate(polygon, turn) for turn in (-360.0, 0.0, 360.0)])


def _unwrapped(polygon: BaseGeometry) -> BaseGeometry:
    """Bring longitudes that jump from 180 to -180 inside a polygon back together."""
    west, _, east, _ = polygon.bounds
    if east - west <= 180.0:
        return polygon

    def unwrap(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return points + np.where(points[:, :1] < 0.0, [[360.0, 0.0]], 0.0)

    moved: BaseGeometry = shapely.transform(polygon, unwrap)
    return moved
