"""Lengths, widths and areas of lines, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import CRS, Transformer

from pavemap.geo.arrays import Geometries
from pavemap.geo.lines.flat_lines import Polylines
from pavemap.geo.lines.line_measures import line_stats, true_line_stats
from pavemap.geo.lines.line_widths import width_quantile
from pavemap.geo.resolution import smallest_width_mm


def line(*points: tuple[float, ...]) -> shapely.LineString:
    return shapely.LineString(points)


def array(*geometries: shapely.Geometry) -> Geometries:
    return np.array(geometries, object)


def test_length_width_and_area_by_hand() -> None:
    # 3 m at a width of 2 to 4 mm, then 4 m at 4 to 8 mm: (3 x 3 + 4 x 6) / 7 = 33 / 7 mm on average.
    stats = line_stats(array(line((0, 0, 2), (3, 0, 4), (3, 4, 8))))
    assert stats["length_m"].tolist() == [7]
    assert stats["width_mean_mm"].tolist() == pytest.approx([33 / 7])
    # 95 % of 7 m are 6.65 m: all of the first step and 3.65 of the second's 4 m.
    assert stats["width_p95_mm"].tolist() == pytest.approx([4 + 4 * 3.65 / 4])
    assert stats["width_max_mm"].tolist() == [8]
    assert stats["area_m2"].tolist() == pytest.approx([0.033])


def test_true_metres_are_projected_ones_by_the_scale() -> None:
    lines = array(line((0, 0, 5), (10, 0, 5)), line((0, 0, 5), (10, 0, 5)))
    assert line_stats(lines, scale=2.0)["length_m"].tolist() == [5, 5]
    assert line_stats(lines, scale=np.array([1.0, 2.0]))["area_m2"].tolist() == [0.05, 0.025]


def test_lines_are_measured_by_the_ground_scale_at_their_middle() -> None:
    """Web mercator: twice as long at 60 degrees north as at the equator."""
    crs = CRS.from_epsg(3857)
    northing = Transformer.from_crs(4326, crs, always_xy=True).transform(0.0, 60.0)[1]
    lines = array(line((-5, 0, 4), (5, 0, 4)), line((-5, northing, 4), (5, northing, 4)))
    stats = true_line_stats(lines, crs)
    assert stats["length_m"].tolist() == pytest.approx([10.0, 5.0], rel=0.01)
    assert stats["area_m2"].tolist() == pytest.approx([0.04, 0.02], rel=0.01)
    assert true_line_stats(array(), crs).empty


def test_an_unknown_width_is_not_a_width_of_zero() -> None:
    stats = line_stats(array(line((0, 0, 0), (1, 0, 4), (3, 0, 4)), line((0, 0), (1, 0))))
    assert stats["length_m"].tolist() == [3, 1]
    assert stats["width_mean_mm"].tolist() == [4, 0]
    assert stats["width_p95_mm"].tolist() == [4, 0]
    assert stats["area_m2"].tolist() == [0.008, 0]


@settings(deadline=None)
@given(
    widths=st.lists(st.floats(0.1, 40), min_size=2, max_size=8),
    steps=st.lists(st.floats(0.01, 3), min_size=7, max_size=7),
    part=st.floats(0.01, 1),
)
def test_a_width_quantile_is_that_of_many_even_samples(
    widths: list[float], steps: list[float], part: float
) -> None:
    x = np.cumsum([0.0, *steps])[: len(widths)]
    lines = Polylines(np.column_stack([x, np.zeros(len(x)), widths]), np.array([0, len(x)]))
    sampled = np.interp((np.arange(20_000) + 0.5) / 20_000 * x[-1], x, widths)
    (found,) = width_quantile(lines, part)
    assert (sampled <= found + 1e-9).mean() >= part - 2e-4
    assert (sampled < found - 1e-9).mean() <= part + 2e-4


def test_a_pixel_is_the_narrowest_width_it_shows() -> None:
    assert smallest_width_mm(0.002) == pytest.approx(2.0)


def test_no_lines_have_no_figures() -> None:
    assert len(line_stats(np.empty(0, object))) == 0
