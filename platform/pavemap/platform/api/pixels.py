"""A survey's pixel in the middle of its network: there its CRS's metres and the ground's are compared."""

from __future__ import annotations

import shapely
from pyproj import CRS

from pavemap.geo.crs import WGS84, ground_gsd, parse_metric_crs, reproject
from pavemap.geo.store.networks import NetworkRow
from pavemap.geo.store.surveys import SurveyRow


def middle(network: NetworkRow) -> tuple[float, float]:
    """Return the middle of a network's bounds, in degrees."""
    west, south, east, north = network.bounds
    return (west + east) / 2.0, (south + north) / 2.0


def middle_in(crs: CRS, network: NetworkRow) -> tuple[float, float]:
    """Return the same in a CRS."""
    x, y = shapely.get_coordinates(reproject(shapely.Point(middle(network)), WGS84, crs))[0]
    return float(x), float(y)


def ground_gsd_m(survey: SurveyRow, network: NetworkRow) -> float:
    """Return a survey's pixel in true ground metres."""
    crs = parse_metric_crs(survey.crs)
    return ground_gsd(survey.gsd_m, crs, *middle_in(crs, network))
