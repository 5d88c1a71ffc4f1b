"""Road networks: every format agencies send, repairs with a note each, the same metres from any CRS."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import CRS, Geod

from drawn_roads import feature, in_degrees, in_metres, line, write_geojson
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import BadInput
from pavemap.geo.roads.field_map import FieldMap
from pavemap.geo.roads.length_units import LengthUnit
from pavemap.geo.roads.road_fields import read_measures
from pavemap.geo.roads.road_network import Network, read_network
from pavemap.geo.roads.road_table import ImportNote
from pavemap.geo.roads.segments import segment_network
from pavemap.geo.vector_files import read_raw_lines
from road_files import zip_shapefile

FIELDS = FieldMap(road_id="id", name="name", width="width")
EAST = [(5.60, 50.60), (5.61, 50.60)]
NORTH = [(5.60, 50.60), (5.60, 50.61)]
ELLIPSOID = Geod(ellps="WGS84")


def geojson(tmp_path: Path, *features: object, **members: object) -> Path:
    """Write features as GeoJSON."""
    return write_geojson(tmp_path / "roads.geojson", features, **members)


def notes(network: Network) -> list[tuple[str, str, str]]:
    """Return the report as tuples."""
    return [(note.feature, note.problem, note.action) for note in network.report]


def frame(crs: str | CRS = "EPSG:4326") -> geopandas.GeoDataFrame:
    """Return two roads as an agency has them."""
    lines = np.array([shapely.LineString(EAST), shapely.LineString(NORTH)], dtype=object)
    return geopandas.GeoDataFrame(
        {"id": ["A1", "B2"], "name": ["Quai", None], "width": [9.5, None]},
        geometry=reproject(lines, WGS84, CRS(crs)),
        crs=crs,
    )


def write(roads: geopandas.GeoDataFrame, path: Path) -> Path:
    """Write roads in the format that the suffix names."""
    if path.suffix == ".zip":
        return zip_shapefile(roads, path)
    if path.suffix == ".parquet":
        roads.to_parquet(path)
    else:
        roads.to_file(path)
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".zip", ".parquet"])
def test_every_format_reads_the_same(tmp_path: Path, suffix: str) -> None:
    network = read_network(write(frame(), tmp_path / f"roads{suffix}"), fields=FIELDS)
    roads = network.roads

    assert roads["road_key"].tolist() == ["A1", "B2"]
    assert roads["name"].tolist() == ["Quai", ""]
    assert roads["width_m"].tolist() == [9.5, 7.0]
    assert roads.crs.to_epsg() == 4326
    assert network.source_crs == "EPSG:4326"
    assert [np.asarray(each.coords)[[0, -1]].tolist() for each in roads.geometry] == [
        pytest.approx(np.array(EAST)),
        pytest.approx(np.array(NORTH)),
    ]
    assert notes(network) == [("", "no width", "default of 7 m")]


def test_columns_are_those_of_the_contract(tmp_path: Path) -> None:
    roads = read_network(geojson(tmp_path, feature(line(EAST)))).roads

    assert list(roads.columns) == [
        "road_key",
        "name",
        "section",
        "width_m",
        "width_source",
        "lanes",
        "oneway",
        "surface",
        "level",
        "length_m",
        "from_m",
        "to_m",
        "geometry",
    ]
    assert roads["from_m"].tolist() == [0.0]
    assert roads["to_m"].tolist() == roads["length_m"].tolist()


@pytest.mark.parametrize(
    ("crs", "centre"),
    [
        ("EPSG:32631", (5.6, 50.6)),  # UTM
        ("EPSG:32632", (5.6, 50.6)),  # the next zone
        ("EPSG:31370", (5.6, 50.6)),  # Belgian Lambert 72
        ("EPSG:3857", (5.6, 50.6)),  # web mercator: 1.57 times too long
        ("EPSG:2056", (8.2, 46.8)),  # Swiss LV95
        ("EPSG:27700", (-1.9, 52.5)),  # British national grid
        ("EPSG:2223", (-112.0, 33.5)),  # Arizona Central, international feet
        ("EPSG:2236", (-80.5, 26.5)),  # Florida East, US survey feet
        ("EPSG:4269", (-80.5, 26.5)),  # NAD 83 in degrees
    ],
)
@pytest.mark.parametrize("suffix", [".gpkg", ".zip"])
def test_the_same_road_has_the_same_metres_in_any_crs(
    tmp_path: Path, crs: str, centre: tuple[float, float], suffix: str
) -> None:
    # Legs of 400, 250 and 350 m: 1000 m, ten segments.
    points = [centre]
    for azimuth, length in ((20.0, 400.0), (95.0, 250.0), (170.0, 350.0)):
        lon, lat, _ = ELLIPSOID.fwd(*points[-1], azimuth, length)
        points.append((lon, lat))
    drawn = np.array([shapely.LineString(points)], dtype=object)
    roads = geopandas.GeoDataFrame(
        {"id": ["A"]}, geometry=reproject(drawn, WGS84, CRS(crs)), crs=crs
    )
    network = read_network(write(roads, tmp_path / f"roads{suffix}"), fields=FieldMap(road_id="id"))
    cut = segment_network(network)

    assert network.roads["length_m"].tolist() == pytest.approx([1000.0], rel=1e-4)
    assert cut["length_m"].tolist() == pytest.approx([100.0] * 10, rel=1e-4)
    assert cut["pavement_m2"].sum() == pytest.approx(7000.0, rel=5e-3)


def test_a_long_straight_line_stays_where_its_grid_draws_it(tmp_path: Path) -> None:
    # 40 km due east on the Swiss grid: without densifying, its middle would lie 21 m off.
    roads = geopandas.GeoDataFrame(
        geometry=[shapely.LineString([(2_600_000, 1_150_000), (2_640_000, 1_150_000)])],
        crs="EPSG:2056",
    )
    network = read_network(write(roads, tmp_path / "roads.gpkg"))
    back = reproject(network.roads.geometry.to_numpy(), WGS84, CRS("EPSG:2056"))

    assert np.abs(shapely.get_coordinates(back)[:, 1] - 1_150_000).max() < 0.01
    assert shapely.get_num_coordinates(back).tolist() == [81]


def test_widths_come_from_the_field_the_lanes_or_the_default(tmp_path: Path) -> None:
    cells = {
        "number": 8,
        "text": "8.5",
        "comma": "8,5 m",
        "feet": "24 ft",
        "mark": "24'6\"",
        "several": "6;8",
        "list": ["6", "8"],
        "osmnx": "['6', '8']",
        "lanes": None,
        "blank": " ",
        "words": "rather wide",
        "zero": 0,
        "huge": 1e9,
        "true": True,
        "inf": "1e999",
    }
    features = [
        feature(
            line([(5.6, 50.6 + i / 1e3), (5.61, 50.6 + i / 1e3)]),
            id=key,
            width=cell,
            lanes="2;4" if key == "lanes" else None,
        )
        for i, (key, cell) in enumerate(cells.items())
    ]
    network = read_network(
        geojson(tmp_path, *features),
        fields=FieldMap(road_id="id", width="width", lanes="lanes"),
        default_width_m=5.0,
    )
    widths = dict(zip(network.roads["road_key"], network.roads["width_m"], strict=True))

    assert widths == {
        "number": 8.0,
        "text": 8.5,
        "comma": 8.5,
        "feet": pytest.approx(7.3152),
        "mark": pytest.approx(24.5 * 0.3048),
        "several": 7.0,
        "list": 7.0,
        "osmnx": 7.0,
        "lanes": 10.5,
        "blank": 5.0,
        "words": 5.0,
        "zero": 5.0,
        "huge": 5.0,
        "true": 5.0,
        "inf": 5.0,
    }
    assert ImportNote("#11 (words)", "a width that can't be read", "ignored") in network.report
    assert ImportNote("#12 (zero)", "a width outside 1 to 100 m", "ignored") in network.report
    assert ImportNote("#7 (list)", "several values of width", "mean taken") in network.report
    assert ImportNote("", "no width", "default of 5 m", 6) in network.report


def test_widths_in_feet(tmp_path: Path) -> None:
    path = geojson(tmp_path, feature(line(EAST), w=24), feature(line(NORTH), w="8 m"))
    roads = read_network(path, fields=FieldMap(width="w", width_unit="ft")).roads

    assert sorted(roads["width_m"]) == pytest.approx([24 * 0.3048, 8.0])


def test_what_can_be_repaired_is_and_the_rest_is_listed(tmp_path: Path) -> None:
    features = [
        feature(line(EAST), id="good"),
        feature(None, id="nothing"),
        feature({"type": "Point", "coordinates": [5.6, 50.6]}, id="a point"),
        feature(line([(5.6, 50.6, 120.0), (5.6, 50.7, 130.0)]), id="with height"),
        feature(line([(5.6, 50.6), (5.6, 50.6)]), id="no length"),
        feature(
            {
                "type": "MultiLineString",
                "coordinates": [[(5.7, 50.6), (5.71, 50.6)], [(5.69, 50.6), (5.7, 50.6)]],
            },
            id="meets",
        ),
        feature(
            {
                "type": "MultiLineString",
                "coordinates": [[(5.8, 50.6), (5.81, 50.6)], [(5.83, 50.6), (5.84, 50.6)]],
            },
            id="apart",
        ),
        feature(line([(5.9, 50.6), (5.91, 50.6)]), id="twice"),
        feature(line([(5.9, 50.7), (5.91, 50.7)]), id="twice"),
        feature(line(EAST), id="good"),
        feature(line([(4.9, 50.7), (4.91, 50.7)]), id=None),
        feature(line([(500.0, 50.7), (4.91, 50.7)]), id="beyond"),
        "no feature at all",
        feature({"type": "LineString", "coordinates": "soup"}, id="soup"),
    ]
    network = read_network(geojson(tmp_path, *features), fields=FieldMap(road_id="id"))

    keys = network.roads["road_key"].tolist()
    made = [key for key in keys if len(key) == 12 and set(key) <= set("0123456789abcdef")]
    assert len(made) == 1
    assert [key for key in keys if key not in made] == [
        "apart/1",
        "apart/2",
        "good",
        "meets",
        "twice/1",
        "twice/2",
        "with height",
    ]
    assert not network.roads.geometry.has_z.any()
    assert set(notes(network)) == {
        ("#2 (nothing)", "no geometry, or one that can't be read", "left out"),
        ("#3 (a point)", "a point, not a line", "left out"),
        ("", "heights (Z)", "dropped"),
        ("#5 (no length)", "zero length", "left out"),
        ("#6 (meets)", "several parts that meet", "joined to one road"),
        ("#7 (apart)", "several parts apart", "split into one road each"),
        ("#8 (twice)", "an id that other features have", "numbered"),
        ("#9 (twice)", "an id that other features have", "numbered"),
        ("#10 (good)", "the same road again", "left out"),
        ("#11", "no id", "one made from its geometry"),
        ("#12 (beyond)", "coordinates off the Earth in the file's CRS", "left out"),
        ("#13", "no geometry, or one that can't be read", "left out"),
        ("#14 (soup)", "no geometry, or one that can't be read", "left out"),
    }
    assert network.summary()["no geometry, or one that can't be read: left out"] == 3


def test_parts_drawn_against_each_other_become_one_line(tmp_path: Path) -> None:
    parts = [[(5.60, 50.6), (5.61, 50.6)], [(5.62, 50.6), (5.61, 50.6)]]
    path = geojson(tmp_path, feature({"type": "MultiLineString", "coordinates": parts}, id="A"))
    roads = read_network(path, fields=FieldMap(road_id="id")).roads

    assert roads["road_key"].tolist() == ["A"]
    assert set(np.asarray(roads.geometry[0].coords)[:, 0].round(9)) >= {5.60, 5.61, 5.62}


def test_a_directed_graph_has_each_street_once(tmp_path: Path) -> None:
    network = read_network(geojson(tmp_path, feature(line(EAST)), feature(line(EAST[::-1]))))

    assert len(network.roads) == 1
    assert network.summary() == {"the same road again: left out": 1}


def test_the_order_of_the_features_does_not_matter(tmp_path: Path) -> None:
    features = [
        feature(line([(5.6 + i / 100, 50.6), (5.6 + j / 100, 50.7)]), id=["x", "y", ""][i % 3])
        for i in range(6)
        for j in range(3)
    ]
    one = read_network(geojson(tmp_path, *features), fields=FieldMap(road_id="id"))
    other = read_network(geojson(tmp_path, *reversed(features)), fields=FieldMap(road_id="id"))

    assert one.roads.equals(other.roads)
    assert one.digest == other.digest
    assert one.roads["road_key"].is_unique


def test_numbered_ids_never_meet_an_id_of_the_file(tmp_path: Path) -> None:
    ids = ["A", "A", "A/2", "A/2~1"]
    features = [
        feature(line([(5.6, 50.6 + i / 100), (5.7, 50.6 + i / 100)]), id=key)
        for i, key in enumerate(ids)
    ]
    roads = read_network(geojson(tmp_path, *features), fields=FieldMap(road_id="id")).roads

    assert roads["road_key"].is_unique
    assert len(roads) == 4


def test_names_and_ids_fit_a_database(tmp_path: Path) -> None:
    features = [
        feature(line(EAST), id=12.0, name="Rue\x00 du\nPont \ud800" + "x" * 500),
        feature(line(NORTH), id="B", name=["Rue A", "Rue B"]),
    ]
    roads = read_network(geojson(tmp_path, *features), fields=FIELDS_WITHOUT_WIDTH).roads

    assert roads["road_key"].tolist() == ["12", "B"]
    assert roads["name"][0].startswith("Rue  du Pont ?x")
    assert len(roads["name"][0]) == 200
    assert roads["name"][1] == "Rue A; Rue B"
    roads["name"][0].encode("utf-8")


FIELDS_WITHOUT_WIDTH = FieldMap(road_id="id", name="name")


def test_lanes_one_way_and_surface_are_kept(tmp_path: Path) -> None:
    cells: dict[str, dict[str, object]] = {
        "a": {"lanes": 2, "oneway": "yes", "surface": "asphalt"},
        "b": {"lanes": "2;3", "oneway": "-1", "surface": ["asphalt", "sett"]},
        "c": {"lanes": "many", "oneway": False, "surface": None},
        "d": {"lanes": 40, "oneway": "[True, False]", "surface": " "},
        "e": {"lanes": None, "oneway": "sometimes", "surface": "concrete"},
        "f": {"lanes": 3.0, "oneway": 1, "surface": "paved"},
    }
    features = [
        feature(line(EAST), id=key, width=9 if key == "f" else None, **each)
        for key, each in cells.items()
    ]
    network = read_network(
        geojson(tmp_path, *features), fields=FieldMap(road_id="id", width="width")
    )
    roads = network.roads.set_index("road_key")

    assert roads["lanes"].tolist() == [2, 3, None, None, None, 3]
    assert roads["oneway"].tolist() == [True, True, False, False, None, True]
    assert roads["surface"].tolist() == ["asphalt", "asphalt; sett", "", "", "concrete", "paved"]
    assert roads["width_m"].tolist() == [7.0, 8.75, 7.0, 7.0, 7.0, 9.0]
    assert roads["width_source"].tolist() == ["lanes"] * 2 + ["default"] * 3 + ["field"]
    # The line runs with the traffic.
    assert roads.geometry["a"].coords[0] == pytest.approx(EAST[0])
    assert roads.geometry["b"].coords[0] == pytest.approx(EAST[-1])
    assert set(notes(network)) == {
        ("", "a field 'lanes'", "read as lanes; name another field if it is not"),
        ("", "a field 'oneway'", "read as oneway; name another field if it is not"),
        ("", "a field 'surface'", "read as surface; name another field if it is not"),
        ("#2 (b)", "several values of lane count", "mean taken"),
        ("#2 (b)", "one-way against its line", "the line turned round"),
        ("#3 (c)", "a lane count that can't be read", "ignored"),
        ("#4 (d)", "a lane count outside 1 to 20", "ignored"),
        ("#4 (d)", "several values of one-way flag", "yes only if all are"),
        ("#5 (e)", "a one-way flag that can't be read", "ignored"),
        ("", "no width", "default of 7 m"),
    }


def test_fields_are_not_guessed_where_that_is_not_wanted(tmp_path: Path) -> None:
    path = geojson(tmp_path, feature(line(EAST), Lanes=2, ONEWAY="yes"))
    told = read_network(path, fields=FieldMap(guess=False))
    found = read_network(path)

    assert (told.roads["lanes"][0], told.roads["oneway"][0]) == (None, None)
    assert (found.roads["lanes"][0], found.roads["oneway"][0]) == (2, True)
    assert told.digest != found.digest


def test_a_road_of_which_nothing_is_said_is_neither_one_way_nor_two_way(tmp_path: Path) -> None:
    ways = {"a": None, "b": "no", "c": "", "d": "yes"}
    features = [feature(line(EAST), id=key, oneway=way) for key, way in ways.items()]
    said = read_network(geojson(tmp_path, *features), fields=FieldMap(road_id="id"))
    nothing = read_network(geojson(tmp_path, feature(line(EAST), id="a")))

    assert said.roads["oneway"].tolist() == [None, False, None, True]
    assert nothing.roads["oneway"].tolist() == [None]
    assert segment_network(said, length_m=None)["oneway"].tolist() == [None, False, None, True]


def test_the_letters_of_geofabrik_are_directions(tmp_path: Path) -> None:
    ways = {"forward": "F", "back": "T", "both": "B"}
    features = [feature(line(EAST), id=key, oneway=way) for key, way in ways.items()]
    roads = read_network(geojson(tmp_path, *features), fields=FieldMap(road_id="id")).roads

    assert dict(zip(roads["road_key"], roads["oneway"], strict=True)) == {
        "back": True,
        "both": False,
        "forward": True,
    }
    assert roads.geometry[0].coords[0] == pytest.approx(EAST[-1])
    plain = read_network(geojson(tmp_path, feature(line(EAST), oneway="F"))).roads
    assert plain["oneway"].tolist() == [False]


def test_a_road_that_is_turned_round_keeps_its_measures(tmp_path: Path) -> None:
    path = geojson(tmp_path, feature(line(EAST), oneway="-1", begin=100, end=800))
    roads = read_network(path, fields=FieldMap(begin="begin", end="end")).roads

    assert roads[["from_m", "to_m"]].to_numpy().tolist() == [[800.0, 100.0]]


@pytest.mark.parametrize("given", ["begin", "end"])
def test_one_measure_and_the_length_give_the_other(tmp_path: Path, given: str) -> None:
    """A road whose end lies at less than its own length begins at 0."""
    path = geojson(
        tmp_path,
        feature(line(EAST), id="along", measure=5000),
        feature(line(EAST), id="against", measure=5000, oneway="-1"),
        feature(line(EAST), id="near", measure=1),
    )
    fields = FieldMap(road_id="id", begin="measure" if given == "begin" else None)
    if given == "end":
        fields = FieldMap(road_id="id", end="measure")
    roads = read_network(path, fields=fields).roads.set_index("road_key")
    length = roads["length_m"].iloc[0]
    begin, end = (5000, 5000 + length) if given == "begin" else (5000 - length, 5000)
    found = {key: roads.loc[key, ["from_m", "to_m"]].tolist() for key in roads.index}
    assert found["along"] == pytest.approx([begin, end])
    assert found["against"] == pytest.approx([end, begin])
    assert found["near"] == pytest.approx([1, 1 + length] if given == "begin" else [0, 1])


@pytest.mark.parametrize(
    ("tags", "level"),
    [
        ({"layer": 1}, 1),
        ({"layer": "-2"}, -2),
        ({"bridge": "yes"}, 1),
        ({"tunnel": True}, -1),
        ({"bridge": "viaduct", "layer": 2}, 2),
        ({"bridge": "F", "layer": 0}, 0),
        ({"layer": "roads"}, 0),
        ({}, 0),
    ],
)
def test_bridges_and_tunnels_have_a_level(
    tmp_path: Path, tags: dict[str, object], level: int
) -> None:
    assert read_network(geojson(tmp_path, feature(line(EAST), **tags))).roads["level"][0] == level


def test_m_values_of_several_parts_stay_with_their_parts(tmp_path: Path) -> None:
    apart = "(700600 56e5 600, 700900 56e5 900), (700000 56e5 0, 700300 56e5 300)"
    against = "(700000 56e5 10, 700300 56e5 20), (700600 56e5 30, 700300 56e5 20)"
    lines = [shapely.from_wkt(f"MULTILINESTRING M ({parts})") for parts in (apart, against)]
    path = tmp_path / "roads.parquet"
    frame = geopandas.GeoDataFrame({"id": ["A", "B"]}, geometry=lines, crs="EPSG:32631")
    frame.to_parquet(path)
    roads = read_network(path, fields=FieldMap(road_id="id")).roads

    assert roads["road_key"].tolist() == ["A/1", "A/2", "B"]
    assert roads[["from_m", "to_m"]].to_numpy().tolist()[:2] == [[0.0, 300.0], [600.0, 900.0]]
    assert sorted(roads[["from_m", "to_m"]].to_numpy().tolist()[2]) == [10.0, 30.0]


def test_m_values_are_the_measures_of_a_road(tmp_path: Path) -> None:
    measured = shapely.from_wkt("LINESTRING M (700000 5600000 1200, 700300 5600000 1500)")
    roads = geopandas.GeoDataFrame({"id": ["A"]}, geometry=[measured], crs="EPSG:32631")
    path = tmp_path / "roads.parquet"
    roads.to_parquet(path)
    network = read_network(path, fields=FieldMap(road_id="id"))

    assert network.roads[["from_m", "to_m"]].to_numpy().tolist() == [[1200.0, 1500.0]]
    assert notes(network) == [("", "measures (M)", "kept at the two ends of the road")]


def test_measures_that_say_nothing_are_ignored(tmp_path: Path) -> None:
    path = geojson(
        tmp_path,
        feature(line(EAST), id="flat", begin=5, end=5),
        feature(line(NORTH), id="open", begin="km 7", end=None),
    )
    network = read_network(path, fields=FieldMap(road_id="id", begin="begin", end="end"))

    assert network.roads["from_m"].tolist() == [0.0, 0.0]
    assert network.roads["to_m"].tolist() == network.roads["length_m"].tolist()
    assert set(notes(network)) == {
        ("#1 (flat)", "measures that don't change along the line", "ignored"),
        ("#2 (open)", "a measure that is no number", "ignored"),
    }


@pytest.mark.parametrize(
    ("cells", "unit", "expected"),
    [
        (["950", "1,200"], "m", [950.0, np.nan]),
        (["950,5", "1,200"], "m", [950.5, 1.2]),
        (["0,350", "1,200"], "m", [0.35, 1.2]),
        (["0", "1,200"], "km", [0.0, 1200.0]),
        (["7 ft", "12,400 ft"], "ft", [2.1336, np.nan]),
        (["1,234,567"], "m", [np.nan]),
    ],
)
def test_a_comma_in_a_measure_may_part_thousands(
    cells: list[str], unit: LengthUnit, expected: list[float]
) -> None:
    read = read_measures(pd.Series(cells), unit=unit)
    assert read.values == pytest.approx(expected, nan_ok=True)
    assert read.unreadable.tolist() == np.isnan(expected).tolist()


def test_a_stray_vertex_at_the_end_adds_no_pavement(tmp_path: Path) -> None:
    x, y = 500_000.0, 5_500_000.0
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    areas = []
    for end in ([], [(x + 20.001, y)], [(x + 20.0, y + 0.001)]):
        path = geojson(tmp_path, feature(line([(x, y), *end, (x + 20.0, y)])), crs=named)
        areas.append(float(segment_network(read_network(path))["pavement_m2"].sum()))
    assert areas == pytest.approx([areas[0]] * 3, rel=1e-3)


@pytest.mark.parametrize(
    ("slip", "left"),
    [
        ([(50, 0), (49.8, 0.02)], [(49.8, 0.02)]),
        ([(50, 0), (49.98, 0)], [(49.98, 0)]),
        ([(50, 0), (50, 0.5), (50.02, 0)], [(50, 0), (50.02, 0)]),
        ([(50, 0), (50, 0.5), (50, 0)], [(50, 0)]),
        ([(50, 0), (50, 0.5), (50.5, 0.5)], [(50, 0), (50, 0.5), (50.5, 0.5)]),  # corners
        ([(50, 0), (48, 0.02)], [(50, 0), (48, 0.02)]),  # two metres back may be meant
    ],
)
def test_a_step_back_of_less_than_a_metre_is_straightened(
    tmp_path: Path, slip: list[tuple[float, float]], left: list[tuple[float, float]]
) -> None:
    clean, drawn = in_degrees([[(0, 0), (100, 0)], [(0, 0), *slip, (100, 0)]])
    features = [feature(line(one.coords), id=key) for one, key in ((clean, "A"), (drawn, "B"))]
    network = read_network(geojson(tmp_path, *features), fields=FieldMap(road_id="id"))
    road = in_metres(network.roads.geometry)[1]
    assert np.asarray(road.coords) == pytest.approx(np.array([(0, 0), *left, (100, 0)]), abs=1e-3)
    straightened = ("#2 (B)", "a step back of less than a metre", "straightened")
    assert notes(network) == ([] if left == slip else [straightened])


def test_a_loop_of_millimetres_is_left_out(tmp_path: Path) -> None:
    x, y = 500_000.0, 5_500_000.0
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    loop = line([(x, y), (x + 0.004, y), (x, y)])
    road = line([(x, y + 10.0), (x + 20.0, y + 10.0)])
    network = read_network(geojson(tmp_path, feature(loop), feature(road), crs=named))
    assert len(network.roads) == 1
    assert notes(network)[0][1:] == ("zero length", "left out")


def test_geojson_is_in_degrees_unless_it_names_another_crs(tmp_path: Path) -> None:
    swiss = [(2_600_000.0, 1_200_000.0), (2_600_100.0, 1_200_000.0)]
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2056"}}
    network = read_network(geojson(tmp_path, feature(line(swiss)), crs=named))

    assert network.source_crs == "EPSG:2056"
    assert network.roads["length_m"].tolist() == pytest.approx([100.0], rel=1e-4)
    with pytest.raises(BadInput, match="RFC 7946"):
        read_network(geojson(tmp_path, feature(line(swiss))))


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("EPSG:4326", "EPSG:4326"),
        ("EPSG:25832", "EPSG:25832"),
        ("EPSG::25832", "EPSG:25832"),
        ("urn:ogc:def:crs:EPSG::25832", "EPSG:25832"),
        ("urn:ogc:def:crs:EPSG:6.9:4326", "EPSG:4326"),
        ("urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326"),
        ("OGC:CRS84", "EPSG:4326"),
        ("ESRI:102100", "ESRI:102100"),
    ],
)
def test_geojson_may_spell_a_crs_in_many_ways(tmp_path: Path, name: str, code: str) -> None:
    crs = CRS.from_user_input(code)
    drawn = reproject(shapely.LineString(EAST), WGS84, crs)
    named = {"type": "name", "properties": {"name": name}}
    path = geojson(tmp_path, feature(line(list(drawn.coords))), crs=named)

    assert read_raw_lines(path).crs == crs
    assert read_network(path).roads["length_m"].tolist() == pytest.approx([708.4], abs=1.0)


EXCHANGED = "lies outside the area of WGS 84 / UTM zone 33N", "kept; are x and y exchanged?"


def test_exchanged_coordinates_are_pointed_out(tmp_path: Path) -> None:
    """UTM 33N: 500 000 east, 5 500 000 north is at 15 E, 50 N; the other way round in Africa's east."""
    true = [(500_000.0, 5_500_000.0), (500_100.0, 5_500_000.0)]
    swapped = [(y, x) for x, y in true]
    for name, points in (("true", true), ("swapped", swapped)):
        drawn = [shapely.LineString(points)] * 2
        geopandas.GeoDataFrame(geometry=drawn, crs=32633).to_file(tmp_path / f"{name}.gpkg")

    assert notes(read_network(tmp_path / "true.gpkg", fields=FieldMap())) == [
        ("#2", "the same road again", "left out")
    ]
    (told, *_) = read_network(tmp_path / "swapped.gpkg").report
    assert (told.problem, told.action, told.count) == (*EXCHANGED, 2)


def test_degrees_under_the_name_of_a_projected_crs_are_told_as_such(tmp_path: Path) -> None:
    degrees = shapely.LineString([(15.0, 50.0), (15.1, 50.0)])
    geopandas.GeoDataFrame(geometry=[degrees], crs=32633).to_file(tmp_path / "roads.gpkg")
    with pytest.raises(BadInput, match=r"look like degrees, but .* UTM zone 33N; set the CRS"):
        read_network(tmp_path / "roads.gpkg")


@pytest.mark.parametrize(("epsg", "beyond"), [(3460, -179.99), (4326, -179.99), (4326, 180.01)])
def test_a_road_across_the_180th_meridian_is_left_out_with_the_reason(
    tmp_path: Path, epsg: int, beyond: float
) -> None:
    """In Fiji: W west of it, E east of it, both up to it, and X across."""
    west, east = [(179.9, -16.8), (180.0, -16.8)], [(-180.0, -16.8), (-179.9, -16.8)]
    across = [(179.99, -16.8), (beyond, -16.8)]
    roads = geopandas.GeoDataFrame(
        {"id": ["W", "E", "X"]},
        geometry=reproject(shapely.linestrings([west, east, across]), WGS84, CRS.from_epsg(epsg)),
        crs=epsg,
    )
    network = read_network(write(roads, tmp_path / "fiji.gpkg"), fields=FieldMap(road_id="id"))

    assert network.roads["road_key"].tolist() == ["E", "W"]
    assert network.roads["length_m"].tolist() == pytest.approx([10_659.0, 10_659.0], abs=10.0)
    assert notes(network) == [
        ("#3 (X)", "crosses the 180th meridian", "left out; cut it there in a GIS")
    ]
    with pytest.raises(BadInput, match="no road line is left to use: crosses the 180th meridian"):
        read_network(write(roads[2:], tmp_path / "x.gpkg"))


def test_nothing_left_is_an_error_that_says_why(tmp_path: Path) -> None:
    path = geojson(tmp_path, feature({"type": "Polygon", "coordinates": []}), feature(None))

    with pytest.raises(BadInput, match="holds polygons: the centre-lines of the roads are needed"):
        read_network(path)


def test_absurd_sizes_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    zigzag = [((-1.0) ** i * 80.0, i / 500.0) for i in range(30_000)]
    with pytest.raises(BadInput, match="too long"):
        read_network(geojson(tmp_path, feature(line(zigzag))))


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    path = geojson(tmp_path, feature(line(EAST)))

    with pytest.raises(BadInput, match="1 to 100 m"):
        read_network(path, default_width_m=0.0)
    with pytest.raises(BadInput, match="no unit of length"):
        FieldMap(width_unit="furlong")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="no field 'breite'; the file has: id"):
        read_network(geojson(tmp_path, feature(line(EAST), id=1)), fields=FieldMap(width="breite"))


def test_a_single_feature_is_a_network_too(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text(json.dumps(feature(line(EAST), id="A")))

    assert read_network(path, fields=FieldMap(road_id="id")).roads["road_key"].tolist() == ["A"]
