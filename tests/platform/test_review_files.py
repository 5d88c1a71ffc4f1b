"""Files of reviewed cracks: what a GIS may make of them, and what is refused with its feature."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import shapely

from pavemap.geo.errors import BadInput, Unavailable
from pavemap.geo.line_digest import line_digests
from pavemap.platform.review_files import (
    BATCH,
    ReviewFile,
    has_areas,
    has_lines,
    in_file,
    read_areas,
    read_reviews,
    told_by_file,
    write_review_file,
)

LINE = shapely.LineString([(14.0, 50.0), (14.0001, 50.0)])
OTHER = shapely.LineString([(14.0, 50.1), (14.0001, 50.1)])


def written(path: Path, geometries: list[Any], **columns: list[Any]) -> Path:
    gpd.GeoDataFrame(columns, geometry=geometries, crs=4326).to_file(path)
    return path


def test_what_a_gis_has_saved_counts_while_it_has_the_file_open(tmp_path: Path) -> None:
    path = tmp_path / "review.gpkg"
    write_review_file(path, cracks=[], reviews=[], areas=[])
    assert not has_lines(path)
    assert not has_areas(path)
    with closing(sqlite3.connect(path)) as gis:
        gis.execute("PRAGMA journal_mode = WAL")
        for name in ("ST_IsEmpty", "ST_MinX", "ST_MaxX", "ST_MinY", "ST_MaxY"):
            gis.create_function(name, 1, lambda _: 0)  # what its triggers keep an index with
        for layer, shape in (("cracks", LINE), ("reviewed_areas", LINE.buffer(0.001))):
            blob = b"GP\x00\x01" + struct.pack("<i", 4326) + shapely.to_wkb(shape, byte_order=1)
            gis.execute(f"INSERT INTO {layer} (geom) VALUES (?)", (blob,))
        gis.commit()
        assert has_lines(path)
        assert has_areas(path)
    assert has_lines(path)


@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_fields_are_read_as_a_gis_writes_them(tmp_path: Path, name: str) -> None:
    """Numbers of which some are missing are written as 7.0; names of fields in any case."""
    file = written(
        tmp_path / name,
        [LINE, OTHER, LINE],
        verdict=["Confirmed ", "drawn", None],
        crack_id=[7.0, None, 9.0],
        Width_Mean_MM=[None, 4.5, 1.0],
        reviewer=[None, "Bob", None],
    )
    read = read_reviews(file, reviewer="Ada")
    assert read.without_verdict == 1
    drawn, confirmed = (each["properties"] for each in read.features)
    assert drawn == {
        "verdict": "drawn",
        "crack_id": None,
        "width_mm": 4.5,
        "reviewer": "Bob",
        "note": "",
    }
    assert (confirmed["verdict"], confirmed["crack_id"]) == ("confirmed", 7)
    assert (confirmed["width_mm"], confirmed["reviewer"]) == (None, "Ada")


def test_other_systems_are_brought_to_degrees_and_many_parts_are_many_lines(tmp_path: Path) -> None:
    both = gpd.GeoSeries([shapely.MultiLineString([LINE, OTHER])], crs=4326).to_crs(32633)
    frame = gpd.GeoDataFrame({"verdict": ["drawn"]}, geometry=both)
    frame.to_file(tmp_path / "a.gpkg")
    read = read_reviews(tmp_path / "a.gpkg", width_mm=3.0)
    lines = [shapely.geometry.shape(each["geometry"]) for each in read.features]
    assert all(a.equals_exact(b, 1e-8) for a, b in zip(lines, [LINE, OTHER], strict=True))
    assert [each["properties"]["width_mm"] for each in read.features] == [3.0, 3.0]


@pytest.mark.parametrize("number", [7, 9])
def test_parts_of_a_crack_stand_for_it_under_its_number_of_now(tmp_path: Path, number: int) -> None:
    """It was number 7 when it was cut in two and judged."""
    course = [(13.0, 52.0), (13.001, 52.0), (13.002, 52.001)]
    (digest,) = line_digests(np.array([shapely.LineString(course)], dtype=object))

    def line(points: list[tuple[float, float]], **properties: Any) -> dict[str, Any]:
        geometry = {"type": "LineString", "coordinates": points}
        return {"type": "Feature", "id": number, "geometry": geometry, "properties": properties}

    said = {"crack_id": 7, "crack_digest": digest, "width_mm": 4.0}
    path = tmp_path / "review.gpkg"
    write_review_file(
        path,
        cracks=[line(course, width_mean_mm=4.0, length_m=90.0, model="m")],
        reviews=[
            line(course[:2], verdict="confirmed", **said),
            line(course[1:], verdict="rejected", **said),
        ],
        areas=[],
    )
    found = gpd.read_file(path, layer="cracks")
    assert found["verdict"].tolist() == ["confirmed", "rejected"]
    assert found["crack_id"].tolist() == [number, number]


def test_parts_of_a_crack_are_never_sent_apart() -> None:
    def part(crack: int | None) -> dict[str, Any]:
        return {"properties": {"crack_id": crack}}

    features = [part(None)] * (BATCH - 1) + [part(5)] * 3 + [part(6)]
    batches = list(ReviewFile(features, 0).batches())
    assert [len(batch) for batch in batches] == [BATCH - 1, 4]
    assert [each for batch in batches for each in batch] == features


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("review #1 has no width; give it", "feature #70 has no width; give it"),
        ("reviews #1 and #2 are the same line", "features #70 and #8 are the same line"),
        ("area #2 crosses itself", "feature #8 crosses itself"),
        ("features/1/properties/note: too long", "feature #8 properties/note: too long"),
    ],
)
def test_a_server_s_errors_name_features_by_their_numbers_in_the_file(said: str, told: str) -> None:
    assert in_file(said, [{"id": 70}, {"id": 8}]) == told


def test_an_error_says_what_was_stored_before_it() -> None:
    for stored, message in ((2000, r"^away \(features stored before: 2,000\)$"), (0, r"^away$")):
        with pytest.raises(Unavailable, match=message), told_by_file([], stored=stored):
            raise Unavailable("away")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"name": ["x"]}, "there is no field 'verdict'"),
        ({"verdict": ["crack"]}, "feature #1 has the verdict 'crack'"),
        ({"verdict": ["drawn"]}, "feature #1 has no width"),
        ({"verdict": ["drawn"], "width_mm": ["wide"]}, "feature #1 is 'wide' wide"),
        ({"verdict": ["drawn"], "width_mm": [-1.0]}, "feature #1 is -1 mm wide"),
        ({"verdict": ["rejected"], "crack_id": ["seven"]}, "feature #1 has the crack_id 'seven'"),
    ],
)
def test_what_can_t_be_used_is_named(tmp_path: Path, columns: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_reviews(written(tmp_path / "a.gpkg", [LINE], **columns))


def test_points_and_lines_are_no_areas(tmp_path: Path) -> None:
    file = written(tmp_path / "a.geojson", [shapely.Point(1, 2)], verdict=["drawn"])
    with pytest.raises(BadInput, match="holds no reviewed cracks that can be used"):
        read_reviews(file)
    with pytest.raises(BadInput, match="holds no reviewed areas that can be used"):
        read_areas(written(tmp_path / "b.geojson", [LINE]))


def test_a_file_that_names_other_files_is_not_followed(tmp_path: Path) -> None:
    """A VRT under the name of a GeoPackage, and a GeoPackage with SQL of its own."""
    vrt = tmp_path / "a.gpkg"
    vrt.write_text("<OGRVRTDataSource><OGRVRTLayer name='cracks'/></OGRVRTDataSource>")
    with pytest.raises(BadInput, match="is not what its suffix says"):
        read_reviews(vrt)
    package = written(tmp_path / "b.gpkg", [LINE], verdict=["drawn"])
    with sqlite3.connect(package) as db:
        db.execute("CREATE VIEW cracks AS SELECT * FROM b")
    with pytest.raises(BadInput, match="view or virtual table"):
        read_reviews(package)
