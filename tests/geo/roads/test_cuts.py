"""Cuts at intersections and by the agency's own sections, drawn by hand."""

from __future__ import annotations

from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely

from drawn_roads import Line, drawn_network, feature, in_degrees, line, write_geojson
from pavemap.geo.errors import BadInput
from pavemap.geo.roads.field_map import FieldMap
from pavemap.geo.roads.road_defaults import SegmentsBy
from pavemap.geo.roads.road_network import read_network
from pavemap.geo.roads.segments import segment_network


def ends(cut: geopandas.GeoDataFrame, road: str) -> list[float]:
    """Return where a road is cut, in whole metres, with its two ends."""
    rows = cut[cut["road_key"] == road]
    return [round(value) for value in [*rows["from_m"], rows["to_m"].iloc[-1]]]


def by_intersections(
    *roads: Line, by: SegmentsBy = "intersections", **names: Line
) -> geopandas.GeoDataFrame:
    """Cut drawn roads, called a, b, c, ... or by name, at intersections."""
    drawn = dict(zip("abcdef", roads, strict=False)) | names
    return segment_network(drawn_network({key: (each, 6.0) for key, each in drawn.items()}), by=by)


def test_a_crossing_and_a_t_cut_the_roads_through_them() -> None:
    #        b        c
    #   -----+--------+-----  a: 300 m; b crosses it at 100, c begins on it at 220
    cut = by_intersections([(0, 0), (300, 0)], [(100, -50), (100, 50)], [(220, 0), (220, 40)])

    assert ends(cut, "a") == [0, 100, 220, 300]
    assert ends(cut, "b") == [0, 50, 100]
    assert ends(cut, "c") == [0, 40]
    assert cut["segment_key"].tolist() == ["a:0", "a:100", "a:220", "b:0", "b:50", "c:0"]


def test_between_intersections_roads_may_be_cut_by_length() -> None:
    cut = by_intersections([(0, 0), (300, 0)], [(220, 0), (220, 40)], by="intersections+length")

    assert ends(cut, "a") == [0, 110, 220, 300]
    assert cut["segment_key"].tolist() == ["a:0", "a:100", "a:220", "b:0"]


def test_ends_that_meet_cut_nothing() -> None:
    cut = by_intersections([(0, 0), (100, 0)], [(100, 0), (200, 0)], [(100, 0), (100, 90)])

    assert len(cut) == 3


def test_a_road_that_meets_itself_is_cut_there() -> None:
    #      ____
    #     |    |      a 6: the road ends on itself at 100 m; an 8 would be cut at both passes.
    #  ---+----+
    cut = by_intersections([(0, 0), (200, 0), (200, 80), (100, 80), (100, 0)])
    eight = by_intersections([(0, 0), (100, 100), (100, 0), (0, 100)])

    assert ends(cut, "a") == [0, 100, 460]
    assert ends(eight, "a") == [0, 71, 312, 383]


def test_roads_on_different_levels_cross_without_meeting(tmp_path: Path) -> None:
    #        | over (a bridge)   | side (on the ground, ends on the bridge: its ramp)
    #   -----+------------- street
    drawn: dict[str, tuple[Line, dict[str, object]]] = {
        "street": ([(0, 0), (300, 0)], {}),
        "over": ([(100, -50), (100, 50)], {"bridge": "yes"}),
        "ramp": ([(100, 30), (160, 30)], {}),
        "under": ([(200, -50), (200, 50)], {"layer": -1}),
        "level": ([(250, -50), (250, 50)], {"layer": 0}),
    }
    lines = in_degrees([each for each, _ in drawn.values()])
    features = [
        feature(line(shapely.get_coordinates(each).tolist()), id=key, **tags)
        for each, (key, (_, tags)) in zip(lines, drawn.items(), strict=True)
    ]
    path = write_geojson(tmp_path / "roads.geojson", features)
    network = read_network(path, fields=FieldMap(road_id="id"))
    cut = segment_network(network, by="intersections")

    assert ends(cut, "street") == [0, 250, 300]
    assert ends(cut, "over") == [0, 80, 100]
    assert ends(cut, "under") == [0, 100]
    assert ends(cut, "level") == [0, 50, 100]


def test_the_agencys_sections_are_the_segments(tmp_path: Path) -> None:
    lines = in_degrees([[(0, 0), (340, 0)], [(340, 0), (700, 0)], [(0, 50), (30, 50)]])
    told: list[dict[str, object]] = [
        {"road": "N5", "sec": "N5-010", "begin": 1.2, "end": 1.54},
        {"road": "N5", "sec": "N5-020", "begin": 1.54, "end": 1.9},
        {"road": "K7", "sec": None, "begin": 0, "end": 0.03},
    ]
    features = [
        feature(line(shapely.get_coordinates(each).tolist()), **tags)
        for each, tags in zip(lines, told, strict=True)
    ]
    path = write_geojson(tmp_path / "roads.geojson", features)
    fields = FieldMap(road_id="road", section="sec", begin="begin", end="end", measure_unit="km")
    cut = segment_network(read_network(path, fields=fields), by="sections")

    assert cut["segment_key"].tolist() == ["K7:0", "N5-010", "N5-020"]
    assert cut["from_m"].tolist() == pytest.approx([0.0, 1200.0, 1540.0])
    assert cut["to_m"].tolist() == pytest.approx([30.0, 1540.0, 1900.0])
    assert cut["length_m"].tolist() == pytest.approx([30.0, 340.0, 360.0], rel=1e-5)


def test_lanes_and_surface_come_along(tmp_path: Path) -> None:
    (street,) = in_degrees([[(0, 0), (200, 0)]])
    told = feature(
        line(shapely.get_coordinates(street).tolist()), lanes=3, oneway="yes", surface="asphalt"
    )
    cut = segment_network(read_network(write_geojson(tmp_path / "r.geojson", [told])))

    assert cut["lanes"].tolist() == [3, 3]
    assert cut["oneway"].tolist() == [True, True]
    assert cut["surface"].tolist() == ["asphalt", "asphalt"]
    assert cut["width_source"].tolist() == ["lanes", "lanes"]
    assert cut["width_m"].tolist() == [10.5, 10.5]


def test_another_way_of_cutting_is_refused() -> None:
    with pytest.raises(BadInput, match="use length, sections, intersections"):
        segment_network(drawn_network({"a": ([(0, 0), (9, 0)], 3.0)}), by="miles")  # type: ignore[arg-type]


def test_all_pieces_are_the_roads() -> None:
    random = np.random.default_rng(5)
    drawn = {f"r{i}": (random.uniform(-300, 300, (4, 2)).tolist(), 6.0) for i in range(12)}
    network = drawn_network(drawn)
    cut = segment_network(network, by="intersections+length")

    assert cut["length_m"].sum() == pytest.approx(network.roads["length_m"].sum(), rel=1e-9)
    assert len(cut) > 50
