"""The agency's polygons, shared among segments by nearest centre-line, drawn by hand."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from drawn_roads import PLANE, Line, drawn_network, in_degrees, in_metres
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput
from pavemap.geo.roads.agency_pavement import AgencyPavement, read_pavement, share_pavement
from pavemap.geo.roads.segments import segment_network


def shared(
    polygons: list[shapely.Geometry], *lines: Line
) -> tuple[NDArray[np.object_], list[float]]:
    """Share drawn polygons among drawn lines; return the shares as drawn, and their areas."""
    drawn = np.asarray(reproject(np.array(polygons, dtype=object), PLANE, WGS84))
    laid = share_pavement(AgencyPavement(drawn, []), in_degrees(lines))
    return in_metres(laid.polygons), laid.area_m2.tolist()


def test_a_carriageway_is_cut_across_between_its_segments() -> None:
    _, areas = shared([shapely.box(0, -4, 200, 4)], [(0, 0), (120, 0)], [(120, 0), (200, 0)])

    assert areas == pytest.approx([960.0, 640.0], rel=1e-4)


def test_one_surface_is_halved_between_two_carriageways() -> None:
    _, areas = shared([shapely.box(0, -4, 100, 10)], [(0, 0), (100, 0)], [(100, 6), (0, 6)])

    assert areas == pytest.approx([700.0, 700.0], rel=5e-3)


def test_polygons_that_overlap_count_once_and_holes_and_islands_stay() -> None:
    #   a 100 m x 8 m street drawn in two overlapping parts, with a traffic island of 10 m2; a lay-by apart
    island = shapely.box(50, -1, 55, 1)
    drawn = [
        shapely.box(0, -4, 60, 4) - island,
        shapely.box(40, -4, 100, 4) - island,
        shapely.box(70, 6, 80, 9),
    ]
    (street,), areas = shared([*drawn], [(0, 0), (100, 0)])

    assert areas == pytest.approx([800.0 - 10.0 + 30.0], rel=1e-4)
    assert sum(len(part.interiors) for part in street.geoms) == 1
    assert not street.contains(shapely.Point(52, 0))


@pytest.mark.parametrize("half_deg", [0.5, 5.0, 30.0])
def test_a_polygon_as_large_as_a_country_costs_what_the_roads_do(half_deg: float) -> None:
    road = in_degrees([[(0, 0), (1000, 0)]])
    lon, lat = shapely.get_coordinates(road[0])[0]
    country = shapely.box(lon - half_deg, lat - half_deg, lon + half_deg, lat + half_deg)
    tracemalloc.start()
    laid = share_pavement(AgencyPavement(np.array([country], dtype=object), []), road)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert laid.area_m2.tolist() == pytest.approx([1000 * 50 + np.pi * 25**2], rel=0.01)
    assert peak < 20e6


def test_ground_far_from_every_road_is_left_out() -> None:
    _, areas = shared(
        [shapely.box(0, -4, 100, 4), shapely.box(0, 300, 50, 350)],
        [(0, 0), (100, 0)],
        [(900, 0), (950, 0)],
    )

    assert areas == [pytest.approx(800.0, rel=1e-4), 0.0]


def test_a_surface_over_many_squares_loses_nothing() -> None:
    drawn = [(0.0, 0.0), (900.0, 500.0), (1500.0, 480.0)]
    road = shapely.LineString(drawn).buffer(5.0, cap_style="flat")
    _, areas = shared([road], drawn)

    assert areas == pytest.approx([road.area], rel=1e-4)


@pytest.mark.parametrize("moved_m", np.arange(8) * 37.1)
def test_streets_at_right_angles_share_their_pavement(moved_m: float) -> None:
    """Points along them lie on circles by fours, which many ways to make Voronoi cells don't survive."""
    block = [[(0, 0), (80, 0)], [(80, 0), (80, 80)], [(80, 80), (0, 80)], [(0, 80), (0, 0)]]
    cross = [
        [(200, 0), (280, 0)],
        [(280, 0), (360, 0)],
        [(280, 0), (280, 80)],
        [(280, -80), (280, 0)],
    ]
    lines = [[(x + moved_m, y + 0.3 * moved_m) for x, y in line] for line in [*block, *cross]]
    town = shapely.union_all(shapely.buffer(shapely.linestrings(np.array(lines)), 3.0))

    polygons, areas = shared([town], *lines)

    assert sum(areas) == pytest.approx(town.area, rel=1e-4)
    assert areas[:4] == pytest.approx([areas[0]] * 4, rel=1e-3)
    assert areas[4:] == pytest.approx([areas[4]] * 4, rel=1e-3)
    assert shapely.area(shapely.union_all(polygons)) == pytest.approx(town.area, rel=1e-4)


def test_a_polygon_of_a_whole_town_costs_no_more_than_one_for_each_road(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [[(0, 300 * k), (1200, 300 * k)] for k in range(5)]
    streets: list[shapely.Geometry] = [
        shapely.LineString(line).buffer(5.0, quad_segs=64) for line in lines
    ]
    seen: list[int] = []
    united = shapely.union_all

    def counting(shapes: NDArray[np.object_]) -> Any:
        seen.append(int(shapely.get_num_coordinates(shapes).sum()))
        return united(shapes)

    monkeypatch.setattr(shapely, "union_all", counting)
    shared(streets, *lines)
    apart = sum(seen)
    seen.clear()
    town: Any = shapely.multipolygons(streets)
    shared([town], *lines)

    assert sum(seen) <= apart


coordinate = st.floats(-120, 120).map(lambda value: round(value, 1))
point = st.tuples(coordinate, coordinate)
line = st.lists(point, min_size=2, max_size=3, unique=True)
rectangle = st.tuples(coordinate, coordinate, st.floats(5, 80), st.floats(5, 80)).map(
    lambda box: shapely.box(box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@settings(max_examples=25, deadline=None)
@given(
    polygons=st.lists(rectangle, min_size=1, max_size=4),
    lines=st.lists(line, min_size=1, max_size=5),
)
def test_no_ground_is_shared_and_none_is_invented(
    polygons: list[shapely.Geometry], lines: list[Line]
) -> None:
    shares, areas = shared(polygons, *lines)
    ground = shapely.union_all(polygons)
    reach = shapely.union_all([shapely.LineString(each).buffer(24.0) for each in lines])
    one, other = shapely.STRtree(shares).query(shares, predicate="intersects")
    both = shapely.area(shapely.intersection(shares[one], shares[other]))[one < other]

    assert both.max(initial=0.0) < 1e-5
    assert shapely.union_all(shares).difference(ground.buffer(1e-3)).area < 1e-5
    assert ground.intersection(reach).difference(shapely.union_all(shares)).area < 0.05
    assert sum(areas) == pytest.approx(shapely.union_all(shares).area, rel=1e-4, abs=1e-3)


def test_pavement_is_read_like_roads_and_its_faults_are_told(tmp_path: Path) -> None:
    bow = shapely.Polygon([(0, -4), (100, 4), (100, -4), (0, 4)])
    drawn = [shapely.box(0, -4, 50, 4), bow, shapely.LineString([(0, 0), (1, 1)])]
    frame = geopandas.GeoDataFrame(geometry=drawn, crs=PLANE)
    frame.to_parquet(tmp_path / "p.parquet")
    frame.iloc[:2].to_crs(31370).to_file(tmp_path / "p.gpkg")
    read = read_pavement(tmp_path / "p.parquet")
    projected = read_pavement(tmp_path / "p.gpkg")

    assert [(note.feature, note.action) for note in read.report] == [
        ("pavement #3", "left out"),
        ("pavement #2", "repaired"),
    ]
    assert shapely.area(in_metres(projected.polygons)) == pytest.approx(
        shapely.area(in_metres(read.polygons)), rel=1e-4
    )
    frame.iloc[2:].to_parquet(tmp_path / "lines.parquet")
    with pytest.raises(BadInput, match="no pavement polygon"):
        read_pavement(tmp_path / "lines.parquet")


def test_segments_take_the_agencys_pavement() -> None:
    surface = reproject(np.array([shapely.box(0, -5, 200, 3)], dtype=object), PLANE, WGS84)
    pavement = AgencyPavement(np.asarray(surface), [])
    cut = segment_network(drawn_network({"A": ([(0, 0), (200, 0)], 7.0)}), pavement=pavement)

    assert cut["pavement_m2"].tolist() == pytest.approx([800.0, 800.0], rel=1e-4)
    assert set(cut.geometry.geom_type) == {"MultiPolygon"}
    assert pavement.digest == AgencyPavement(np.asarray(surface)[::-1], []).digest
