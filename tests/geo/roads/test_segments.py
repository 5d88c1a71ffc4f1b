"""Segments: equal sections of true ground metres, their linear reference, and keys that last."""

from __future__ import annotations

import tempfile
import zipfile
from itertools import pairwise
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS, Geod

from drawn_roads import FIELDS, Line, drawn_network, feature, line, write_geojson
from pavemap.geo.crs import ground_scale
from pavemap.geo.errors import BadInput
from pavemap.geo.roads.chainage import lengths_m, measure
from pavemap.geo.roads.field_map import FieldMap
from pavemap.geo.roads.road_network import Network, read_network
from pavemap.geo.roads.segments import segment_network

ELLIPSOID = Geod(ellps="WGS84")


def straight(length_m: float) -> dict[str, tuple[Line, float]]:
    """Return one drawn road to the east."""
    return {"A": ([(0.0, 0.0), (length_m, 0.0)], 7.0)}


@pytest.mark.parametrize(
    ("length_m", "expected"),
    [
        (1000.0, [100.0] * 10),
        (1040.0, [104.0] * 10),
        (1060.0, [1060.0 / 11] * 11),
        (151.0, [75.5] * 2),
        (149.0, [149.0]),
        (30.0, [30.0]),
    ],
)
def test_a_road_is_cut_into_equal_sections_of_about_100_m(
    length_m: float, expected: list[float]
) -> None:
    cut = segment_network(drawn_network(straight(length_m)))

    assert cut["length_m"].tolist() == pytest.approx(expected, rel=1e-6)
    assert cut["from_m"].tolist() == pytest.approx(np.cumsum([0.0, *expected[:-1]]), abs=1e-3)
    assert cut["to_m"].tolist() == pytest.approx(np.cumsum(expected), abs=1e-3)
    assert cut["pavement_m2"].tolist() == pytest.approx([7.0 * each for each in expected], rel=1e-4)


def test_a_segment_says_what_the_store_needs() -> None:
    cut = segment_network(drawn_network(straight(200.0)))

    assert list(cut.columns) == [
        "segment_key",
        "road_key",
        "name",
        "from_m",
        "to_m",
        "length_m",
        "width_m",
        "width_source",
        "lanes",
        "oneway",
        "surface",
        "lineage",
        "pavement_m2",
        "line",
        "geometry",
    ]
    assert cut["segment_key"].tolist() == ["A:0", "A:100"]
    assert cut["name"].tolist() == ["road A", "road A"]
    assert cut.crs.to_epsg() == 4326
    assert cut["line"].crs.to_epsg() == 4326
    assert set(cut["line"].geom_type) == {"LineString"}
    assert set(cut.geometry.geom_type) == {"MultiPolygon"}


def test_keys_outlive_a_small_edit() -> None:
    before = segment_network(drawn_network(straight(1000.0)))
    after = segment_network(drawn_network(straight(1003.0)))

    assert after["segment_key"].tolist() == before["segment_key"].tolist()
    assert after["from_m"].tolist()[-1] == pytest.approx(902.7, abs=1e-3)


def test_a_cut_at_a_bend_is_made_at_the_vertex() -> None:
    bent: dict[str, tuple[Line, float]] = {"A": ([(0, 0), (100, 0), (100, 100)], 7.0)}
    cut = segment_network(drawn_network(bent))

    assert shapely.get_num_coordinates(cut["line"]).tolist() == [2, 2]
    assert cut["length_m"].tolist() == pytest.approx([100.0, 100.0], rel=1e-6)


def test_each_road_can_be_one_segment() -> None:
    cut = segment_network(drawn_network(straight(1234.0)), length_m=None)

    assert cut["segment_key"].tolist() == ["A:0"]
    assert cut["length_m"].tolist() == pytest.approx([1234.0], rel=1e-6)


@pytest.mark.parametrize(("begin", "end"), [(1200.0, 1500.0), (1500.0, 1200.0)])
def test_the_agencys_measures_are_the_linear_reference(
    tmp_path: Path, begin: float, end: float
) -> None:
    # The road is 306 m long, but its kilometre posts say 300.
    lon, lat, _ = ELLIPSOID.fwd(5.6, 50.6, 90.0, 306.0)
    path = write_geojson(
        tmp_path / "roads.geojson",
        [feature(line([(5.6, 50.6), (lon, lat)]), id="N5", begin=begin / 1000, end=end / 1000)],
    )
    fields = FieldMap(road_id="id", begin="begin", end="end", measure_unit="km")
    cut = segment_network(read_network(path, fields=fields))
    step = (end - begin) / 3

    assert cut["from_m"].tolist() == pytest.approx([begin + step * k for k in range(3)])
    assert cut["to_m"].tolist() == pytest.approx([begin + step * (k + 1) for k in range(3)])
    assert cut["length_m"].tolist() == pytest.approx([102.0] * 3, rel=1e-6)
    assert cut["segment_key"].tolist() == [
        f"N5:{begin + 100 * k * np.sign(step):g}" for k in range(3)
    ]


def test_lengths_are_true_from_the_equator_to_the_north_cape() -> None:
    starts = [(9.0, 0.0), (8.9999, 46.0), (12.0, 65.0), (25.78, 71.1), (-179.0, -16.5)]
    ends = [ELLIPSOID.fwd(lon, lat, 37.0, 250.0)[:2] for lon, lat in starts]
    lines = np.array([shapely.LineString(pair) for pair in zip(starts, ends, strict=True)])

    assert lengths_m(lines) == pytest.approx([250.0] * 5, abs=1e-6)


@pytest.mark.parametrize("length_m", [0.0, -5.0, 0.2, float("nan"), float("inf")])
def test_a_length_that_is_none_is_refused(length_m: float) -> None:
    with pytest.raises(BadInput, match="give 1 m or more"):
        segment_network(drawn_network(straight(200.0)), length_m=length_m)


def test_too_many_segments_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pavemap.geo.roads.segments.MAX_SEGMENTS", 50)

    with pytest.raises(BadInput, match="greater segment length"):
        segment_network(drawn_network(straight(200.0)), length_m=1.0)


GRIDS = [31370, 32631, 3857, 3035, 4258]
"""Belgian Lambert, UTM, web mercator, the European equal-area grid, ETRS 89 in degrees."""
coordinate = st.floats(-2000, 2000, allow_nan=False).map(lambda value: round(value, 2))
drawn_line = st.lists(st.tuples(coordinate, coordinate), min_size=2, max_size=8, unique=True)


@settings(max_examples=40, deadline=None)
@given(
    roads=st.lists(drawn_line, min_size=1, max_size=4),
    length_m=st.floats(20.0, 500.0),
)
def test_the_pieces_are_the_road(roads: list[Line], length_m: float) -> None:
    network = drawn_network({f"r{i}": (each, 7.0) for i, each in enumerate(roads)})
    cut = segment_network(network, length_m=length_m)

    for road in network.roads.itertuples():
        pieces = cut[cut["road_key"] == road.road_key]
        assert pieces["length_m"].sum() == pytest.approx(road.length_m, abs=1e-6)
        assert lengths_m(pieces["line"].to_numpy()).sum() == pytest.approx(road.length_m, rel=1e-7)
        assert pieces["length_m"].tolist() == pytest.approx(
            [road.length_m / len(pieces)] * len(pieces), abs=2.1e-3
        )
        assert pieces["from_m"].tolist()[1:] == pytest.approx(pieces["to_m"].tolist()[:-1])
        points = [np.asarray(piece.coords) for piece in pieces["line"]]
        for one, next_ in pairwise(points):
            assert (one[-1] == next_[0]).all()
        joined = shapely.LineString(np.concatenate([points[0], *(each[1:] for each in points[1:])]))
        vertices = {tuple(vertex) for vertex in np.asarray(joined.coords).tolist()}
        assert vertices >= {tuple(vertex) for vertex in np.asarray(road.geometry.coords).tolist()}


@settings(max_examples=30, deadline=None)
@given(drawn=drawn_line, share=st.floats(0.1, 0.9))
def test_a_road_split_in_two_has_the_same_length_and_pavement(drawn: Line, share: float) -> None:
    whole = drawn_network({"whole": (drawn, 7.0)})
    chainage = measure(whole.roads.geometry.to_numpy())
    middle = chainage.snapped(np.zeros(1, dtype=np.int64), chainage.length_m * share)
    ends = np.concatenate([np.zeros(1), middle, chainage.length_m])
    halves = chainage.cut(np.zeros(2, dtype=np.int64), ends[:-1], ends[1:])
    # Beside a shorter edge a turn back is a slip of the drawing, which the reader mends.
    assume(min(edges_m(halves)) > 10.0)
    split = whole_of(halves)

    one, two = (segment_network(each, length_m=None) for each in (whole, split))
    assert two["length_m"].sum() == pytest.approx(one["length_m"].sum(), abs=1e-6)
    assert two["pavement_m2"].sum() == pytest.approx(one["pavement_m2"].sum(), rel=1e-3, abs=0.3)


@settings(max_examples=15, deadline=None)
@given(drawn=st.lists(drawn_line, min_size=1, max_size=3), epsg=st.sampled_from(GRIDS))
def test_a_round_trip_through_another_crs_changes_nothing(drawn: list[Line], epsg: int) -> None:
    roads = {f"r{i}": (each, 7.0) for i, each in enumerate(drawn)}
    network = drawn_network(roads)
    moved = network.roads.to_crs(epsg)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "roads.parquet"
        moved[["road_key", "width_m", "geometry"]].to_parquet(path)
        other = read_network(path, fields=FieldMap(road_id="road_key", width="width_m"))
    one, two = (segment_network(each, length_m=200.0) for each in (network, other))

    assert two["segment_key"].tolist() == one["segment_key"].tolist()
    assert two["length_m"].to_numpy() == pytest.approx(one["length_m"].to_numpy(), rel=1e-4)
    assert two["pavement_m2"].sum() == pytest.approx(one["pavement_m2"].sum(), rel=1e-4)


def edges_m(lines: NDArray[np.object_]) -> list[float]:
    """Return the length of each edge of lines in degrees."""
    edges = [shapely.LineString(edge) for each in lines for edge in pairwise(each.coords)]
    return [float(ELLIPSOID.geometry_length(edge)) for edge in edges]


def whole_of(lines: NDArray[np.object_]) -> Network:
    """Read lines in degrees as a network, through a file."""
    features = [
        feature(line(np.asarray(each.coords).tolist()), id=f"half{i}", name="", width=7.0)
        for i, each in enumerate(lines)
    ]
    with tempfile.TemporaryDirectory() as folder:
        return read_network(write_geojson(Path(folder) / "r.geojson", features), fields=FIELDS)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "road_id", "kilometres"),
    [
        ("apalachicola_osm/apalachicola_original.parquet", None, 63.65),  # each street twice
        ("swiss_motorways/lane_data.gpkg", "UUID", 1864.0),  # the Swiss grid
        ("bubenec_osm/bubenec.gpkg", None, 3.82),  # web mercator, which says 5.97
    ],
)
def test_real_networks_have_the_length_that_is_known_of_them(
    shared: Path, file: str, road_id: str | None, kilometres: float
) -> None:
    network = read_network(shared / "data/roads" / file, fields=FieldMap(road_id=road_id))
    cut = segment_network(network)

    assert network.roads["length_m"].sum() / 1000 == pytest.approx(kilometres, rel=2e-3)
    assert cut["length_m"].sum() == pytest.approx(network.roads["length_m"].sum(), rel=1e-9)
    assert cut["length_m"].between(0, 150.001).all()
    assert cut["segment_key"].is_unique
    pavements = cut.geometry.to_numpy()
    assert shapely.is_valid(pavements).all()
    one, other = shapely.STRtree(pavements).query(pavements, predicate="overlaps")
    assert len(one) == len(other) == 0


@pytest.mark.shared
def test_a_real_shapefile_in_feet(shared: Path, tmp_path: Path) -> None:
    path = tmp_path / "streets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part in (shared / "data/roads/geodanet_az").glob("streets.*"):
            archive.write(part, part.name)
    network = read_network(path, fields=FieldMap(road_id="ID"))
    drawn = geopandas.read_file(shared / "data/roads/geodanet_az/streets.shp")

    west, south, east, north = drawn.total_bounds
    scale = ground_scale(CRS(drawn.crs), (west + east) / 2, (south + north) / 2)

    metres = drawn.length.sum() * (1200 / 3937) / scale  # US survey feet
    assert network.roads["length_m"].sum() == pytest.approx(metres, rel=1e-6)
