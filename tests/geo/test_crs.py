"""Which metric CRS lengths can be measured in."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from pyproj import CRS, Transformer

from pavemap.geo.crs import (
    WGS84,
    ground_gsd_in,
    ground_scale,
    gsd_in_crs,
    reproject,
    unevenness,
)
from pavemap.geo.errors import BadInput


def at(crs: CRS, lon: float, lat: float) -> tuple[float, float]:
    point = reproject(shapely.Point(lon, lat), WGS84, crs)
    return point.x, point.y


@pytest.mark.parametrize(
    ("epsg", "lon", "lat"),
    [(32633, 15.0, 50.0), (3857, 15.0, 60.0), (2154, 3.0, 46.5), (5514, 15.0, 50.0)],
)
def test_conformal_ones_are_taken(epsg: int, lon: float, lat: float) -> None:
    crs = CRS.from_epsg(epsg)
    assert gsd_in_crs(0.002, crs, *at(crs, lon, lat)) > 0.0


@pytest.mark.parametrize(
    ("epsg", "lon", "lat"),
    [
        (3035, -8.0, 39.0),
        (5070, -81.0, 26.0),
        (6933, 10.0, 50.0),
        (4087, 10.0, 60.0),
        (4087, 36.8, 0.0),
    ],
)
def test_those_that_stretch_directions_unequally_are_refused(
    epsg: int, lon: float, lat: float
) -> None:
    crs = CRS.from_epsg(epsg)
    with pytest.raises(BadInput, match="conformal CRS such as a UTM zone"):
        gsd_in_crs(0.002, crs, *at(crs, lon, lat))


@pytest.mark.parametrize(
    ("code", "lon", "lat", "within"),
    [
        ("EPSG:32633", 13.0, 50.0, 1e-6),
        ("EPSG:2154", 3.0, 46.5, 1e-6),
        ("EPSG:3857", 36.8, -1.3, 4e-3),  # Nairobi: its directions differ by 0.7 %
        ("EPSG:3857", 9.2, 45.5, 2e-3),
        ("ESRI:102100", 10.8, 59.9, 1e-3),
    ],
)
def test_ground_metres_are_those_of_the_geodesic(
    code: str, lon: float, lat: float, within: float
) -> None:
    crs = CRS.from_user_input(code)
    x, y = at(crs, lon, lat)
    ellipsoid, area = crs.get_geod(), 1.0
    assert ellipsoid is not None
    for azimuth in (0.0, 90.0):
        there = ellipsoid.fwd(lon, lat, azimuth, 100.0)
        projected = np.hypot(*np.subtract(at(crs, there[0], there[1]), (x, y)))
        assert projected / ground_scale(crs, x, y) == pytest.approx(100.0, rel=within)
        area *= projected / ground_scale(crs, x, y) / 100.0
    assert area == pytest.approx(1.0, abs=2e-5)


@pytest.mark.parametrize(
    ("epsg", "lon", "lat"),
    [
        (32633, 14.0, 47.0),
        (31283, 16.3, 48.2),  # from Ferro
        (5221, 15.0, 50.0),  # from Ferro
        (20791, -8.6, 41.1),  # from Lisbon
        (27391, 5.3, 60.4),  # from Oslo
        (27572, 2.5, 47.0),  # from Paris, in grads
        (3035, -8.0, 39.0),  # equal-area
        (4087, 36.8, -1.3),  # of the sphere
    ],
)
def test_areas_are_those_of_geodesics_from_any_prime_meridian(
    epsg: int, lon: float, lat: float
) -> None:
    crs = CRS.from_epsg(epsg)
    x, y = at(crs, lon, lat)
    degrees = crs.geodetic_crs
    assert degrees is not None
    corners = Transformer.from_crs(crs, degrees, always_xy=True).transform(
        x + np.array([-50.0, 50.0, 50.0, -50.0]), y + np.array([-50.0, -50.0, 50.0, 50.0])
    )
    lon, lat = np.asarray(corners) * degrees.axis_info[0].unit_conversion_factor
    ellipsoid = crs.get_geod()
    assert ellipsoid is not None
    area, _ = ellipsoid.polygon_area_perimeter(lon, lat, radians=True)
    assert ground_scale(crs, x, y) == pytest.approx(100.0 / np.sqrt(area), rel=1e-6)


def test_the_prime_meridian_makes_no_grid_uneven() -> None:
    lisbon = CRS.from_epsg(20791)
    assert unevenness(lisbon, *at(lisbon, -8.6, 41.1)) == pytest.approx(1.0, abs=1e-6)


def test_a_grid_in_feet_has_the_scale_of_the_same_grid_in_metres() -> None:
    feet, metres = CRS.from_epsg(2263), CRS.from_epsg(32118)
    x, y = at(metres, -73.9, 40.7)
    scale = ground_scale(metres, x, y)
    assert ground_scale(feet, *at(feet, -73.9, 40.7)) == pytest.approx(scale, rel=1e-8)


@pytest.mark.parametrize(
    ("bounds", "lat"),
    [
        ((14.0, 59.0, 16.0, 61.0), 60.0),
        ((-179.9, -17.0, 179.9, -16.0), -16.5),  # Fiji: roads on both sides of the 180th meridian
        ((-180.0, -17.0, 180.0, -16.0), -16.5),
    ],
)
def test_a_grids_pixel_is_told_on_the_ground_in_the_middle_of_what_it_is_for(
    bounds: tuple[float, float, float, float], lat: float
) -> None:
    mercator = CRS.from_epsg(3857)
    cosine = np.cos(np.radians(lat))
    assert ground_gsd_in(bounds, 0.004, mercator) == pytest.approx(0.004 * cosine, rel=4e-3)


def test_the_middle_of_roads_about_the_180th_meridian_is_there() -> None:
    zone = CRS.from_epsg(32760)  # 174 to 180 degrees east: the Greenwich side has no pixel in it
    assert ground_gsd_in((-179.9, -17.0, 179.9, -16.0), 0.002, zone) == 0.002


def test_beyond_a_crs_there_is_no_scale() -> None:
    utm = CRS.from_epsg(32633)
    with pytest.raises(BadInput, match="outside the area of WGS 84 / UTM zone 33N"):
        gsd_in_crs(0.002, utm, 1e30, 1e30)
