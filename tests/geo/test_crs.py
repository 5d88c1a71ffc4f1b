"""Which metric CRS lengths can be measured in."""

from __future__ import annotations

import pytest
import shapely
from pyproj import CRS

from pavemap.geo.crs import WGS84, gsd_in_crs, reproject
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
    [(3035, -8.0, 39.0), (5070, -81.0, 26.0), (6933, 10.0, 50.0), (4087, 10.0, 60.0)],
)
def test_those_that_stretch_directions_unequally_are_refused(
    epsg: int, lon: float, lat: float
) -> None:
    crs = CRS.from_epsg(epsg)
    with pytest.raises(BadInput, match="conformal CRS such as a UTM zone"):
        gsd_in_crs(0.002, crs, *at(crs, lon, lat))
