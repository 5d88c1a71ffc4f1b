"""Coordinate reference systems: the metric working CRS of a survey and true ground metres in it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Proj, Transformer
from pyproj.exceptions import CRSError

from pavemap.geo.errors import BadInput
from pavemap.geo.grid import Bounds

Shape = TypeVar("Shape", bound=Any)
"""A geometry of shapely's, or an array of them."""

WGS84 = CRS.from_epsg(4326)

MOST_UNEVEN = 1.002
"""Beyond, lengths in two directions would differ by more than a fifth of a percent."""

SCALE_THAT_MATTERS = 0.01
"""A hundredth: the scale of a UTM zone stays within it, that of web mercator does not."""

WEB_MERCATOR_METHOD = "1024"
"""Popular Visualisation Pseudo Mercator among EPSG's methods."""

STEP_M = 50.0
"""Scales are measured over twice this: rounding and the inverse's own tolerance come to less than 1e-6."""

UTM_SOUTH_LIMIT, UTM_NORTH_LIMIT = -80.0, 84.0


def working_crs(lon: float, lat: float) -> CRS:
    """Return the WGS 84 UTM zone (or polar stereographic, UPS) that holds a point in degrees.

    The exceptions of Norway and Svalbard are left out: any metric CRS serves, since lengths are
    divided by its point scale.
    """
    if not (-180.0 <= lon <= 180.0 and -90.0 <= lat <= 90.0):
        raise BadInput(
            f"the point ({lon:g}, {lat:g}) is not on the Earth in degrees; check the CRS of the file"
        )
    if lat > UTM_NORTH_LIMIT:
        return CRS.from_epsg(5041)
    if lat < UTM_SOUTH_LIMIT:
        return CRS.from_epsg(5042)
    zone = min(int((lon + 180.0) // 6.0) + 1, 60)
    return CRS.from_epsg((32600 if lat >= 0 else 32700) + zone)


def parse_metric_crs(text: str) -> CRS:
    """Read a survey's working CRS (an authority code or WKT); it must be projected, in metres.

    Raises BadInput for what pyproj can't read, for degrees and for feet.
    """
    try:
        crs = CRS.from_user_input(text)
    except CRSError as exc:
        raise BadInput(f"'{text}' is no CRS; give one like EPSG:32633") from exc
    if not crs.is_projected:
        raise BadInput(
            f"{crs.name} is not projected; a survey needs a metric CRS such as a UTM zone "
            "(leave it out to have one chosen)"
        )
    if any(not math.isclose(axis.unit_conversion_factor, 1.0) for axis in crs.axis_info[:2]):
        raise BadInput(
            f"{crs.name} is not in metres; a survey needs a metric CRS such as a UTM zone "
            "(imagery and roads may stay in any CRS)"
        )
    return crs


def crs_text(crs: CRS) -> str:
    """Return the shortest lossless text of a CRS: its authority code where it has one, else WKT 2."""
    authority = crs.to_authority(min_confidence=100)
    return ":".join(authority) if authority else crs.to_wkt()


def unit_of(crs: CRS) -> float:
    """Return what one unit of a CRS is: in metres, or in radians where it is geographic."""
    return float(crs.axis_info[0].unit_conversion_factor) if crs.axis_info else 1.0


def ground_scale(crs: CRS, x: float, y: float) -> float:
    """Return projected metres per true ground metre at a point of a metric CRS.

    The root of the area scale, which is the point scale of a conformal projection (Snyder 1987,
    chapter 4): 0.9996 on a UTM central meridian, some 1/cos(lat) in web mercator.
    """
    return float(ground_scales(crs, np.array([x]), np.array([y]))[0])


def ground_scales(crs: CRS, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `ground_scale` at many points, (N,). Raises BadInput for a point outside the CRS's area."""
    if len(x) == 0:
        return np.empty(0)
    east, north = _steps_on_ground(crs, np.asarray(x), np.asarray(y))
    area = np.linalg.norm(np.cross(east, north), axis=-1)
    wrong = ~(np.isfinite(area) & (area > 0.0))
    if wrong.any():
        at = int(wrong.argmax())
        raise BadInput(f"the point ({x[at]:g}, {y[at]:g}) lies outside the area of {crs.name}")
    scale: NDArray[np.float64] = 1.0 / np.sqrt(area)
    return scale


def gsd_in_crs(gsd_m: float, crs: CRS, x: float, y: float) -> float:
    """Return the pixel, in metres of a metric CRS, that shows about `gsd_m` true metres at a point.

    Raises BadInput for a CRS that stretches directions unequally there: no scale makes its lengths true.

    Where the CRS's metres are ground metres to within SCALE_THAT_MATTERS it is `gsd_m` itself, so that
    imagery on the same pixel grid needs no resampling.
    """
    if unevenness(crs, x, y) > MOST_UNEVEN:
        raise BadInput(
            f"{crs.name} stretches some directions more than others here, so that lengths would be wrong; "
            "take a conformal CRS such as a UTM zone, or leave it out to have one chosen"
        )
    return gsd_m * _scale_that_matters(crs, x, y)


def unevenness(crs: CRS, x: float, y: float) -> float:
    """Return by how much a metric CRS stretches one direction more than another at a point; 1: conformal.

    The ratio of the axes of Tissot's ellipse (Snyder 1987, chapter 4): 1 in UTM zones and in Lambert's
    conformal conic, 1.02 at the rim of Europe in its equal-area grid (EPSG:3035). Web mercator, which maps
    the ellipsoid as if it were a sphere, counts as 1; it is up to 1.007 at the equator, where a length may
    be a third of a percent off either way, areas are right.
    """
    if _is_web_mercator(crs):
        return 1.0
    (east,), (north,) = _steps_on_ground(crs, np.array([x]), np.array([y]))
    mean = (east @ east + north @ north) / 2.0
    apart = np.hypot((east @ east - north @ north) / 2.0, east @ north)
    return float(np.sqrt((mean + apart) / (mean - apart)))


def ground_gsd(gsd_m: float, crs: CRS, x: float, y: float) -> float:
    """Return the true metres that a pixel of `gsd_m` metres of a metric CRS shows: undoes `gsd_in_crs`."""
    return gsd_m / _scale_that_matters(crs, x, y)


def ground_gsd_in(bounds: Bounds, gsd_m: float, crs: CRS) -> float:
    """Return `ground_gsd` in the middle of (west, south, east, north) in degrees."""
    middle = reproject(shapely.Point(middle_of(bounds)), WGS84, crs)
    return ground_gsd(gsd_m, crs, middle.x, middle.y)


def middle_of(bounds: Bounds) -> tuple[float, float]:
    """Return the middle of (west, south, east, north) in degrees, as longitude and latitude.

    Bounds wider than half the Earth are those of places on both sides of the 180th meridian.
    """
    west, south, east, north = bounds
    lon, lat = (west + east) / 2.0, (south + north) / 2.0
    if east - west > 180.0:
        lon += -180.0 if lon > 0.0 else 180.0
    return lon, lat


def wrapped(lon: float) -> float:
    """Return the same longitude, in degrees, between -180 and 180."""
    return (lon + 180.0) % 360.0 - 180.0


def degrees_off_area(
    crs: CRS, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how far points lie off the area that a CRS is made for: degrees, the greater of the two ways.

    0 on the area, and everywhere for a CRS that states none.
    """
    area = crs.area_of_use
    if area is None:
        return np.zeros(np.shape(lon))
    width = (area.east - area.west) % 360.0 or 360.0
    past_west = (lon - area.west) % 360.0
    aside = np.where(past_west > width, np.minimum(past_west - width, 360.0 - past_west), 0.0)
    off: NDArray[np.float64] = np.maximum(aside, np.maximum(area.south - lat, lat - area.north))
    return np.maximum(off, 0.0)


def _scale_that_matters(crs: CRS, x: float, y: float) -> float:
    scale = ground_scale(crs, x, y)
    return scale if abs(scale - 1.0) > SCALE_THAT_MATTERS else 1.0


def reproject(geometries: Shape, source: CRS, target: CRS) -> Shape:
    """Transform a geometry, or an array of them, between two CRS, x before y; z is kept as it is."""
    if source == target:
        return geometries
    transformer = _transformer(source, target)

    def apply(points: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = points.copy()
        moved[:, 0], moved[:, 1] = transformer.transform(points[:, 0], points[:, 1])
        return moved

    has_z = bool(np.any(shapely.has_z(geometries)))
    result: Shape = shapely.transform(geometries, apply, include_z=has_z)
    return result


@lru_cache(maxsize=64)
def _is_web_mercator(crs: CRS) -> bool:
    operation = crs.coordinate_operation
    return operation is not None and operation.method_code == WEB_MERCATOR_METHOD


def _steps_on_ground(
    crs: CRS, x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what a step of one projected metre along each axis is in true metres, (N, 3) in space.

    PROJ's own factors don't serve: they count longitudes from the CRS's prime meridian, other than its
    inverse, and some projections map the ellipsoid as if it were a sphere.
    """
    ellipsoid = crs.get_geod()
    assert ellipsoid is not None
    aside = STEP_M * np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    lon, lat = np.radians(
        _projection(crs)(x + aside[0, :, None], y + aside[1, :, None], inverse=True)
    )
    # Where there is no such place on the Earth PROJ says infinity.
    lon, lat = np.where(np.isfinite(lon), [lon, lat], np.nan)
    prime = ellipsoid.a / np.sqrt(1.0 - ellipsoid.es * np.sin(lat) ** 2)
    flat, up = prime * np.cos(lat), prime * (1.0 - ellipsoid.es) * np.sin(lat)
    in_space = np.stack([flat * np.cos(lon), flat * np.sin(lon), up], axis=-1)
    east, north = (in_space[::2] - in_space[1::2]) / (2.0 * STEP_M * unit_of(crs))
    return east, north


@lru_cache(maxsize=64)
def _projection(crs: CRS) -> Proj:
    return Proj(crs)


@lru_cache(maxsize=64)
def _transformer(source: CRS, target: CRS) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)
