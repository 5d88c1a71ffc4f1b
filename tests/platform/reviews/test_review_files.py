"""Files of reviewed cracks: what a GIS may make of them, and what is refused with its feature."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

from line_features import line_feature
from pavemap.geo.errors import BadInput, Unavailable
from pavemap.geo.lines.line_digest import line_digests
from pavemap.platform.reviews.review_export import write_review_file
from pavemap.platform.reviews.review_import import (
    BATCH,
    ReviewFile,
    errors_by_feature,
    in_file,
    read_areas,
    read_reviews,
)
from pavemap.platform.reviews.review_layers import has_areas, has_lines

LINE = shapely.LineString([(14.0, 50.0), (14.0001, 50.0)])
SURVEY = "0b1c2d3e-0000-4000-8000-000000000000"
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
        cracks=[[line(course, width_mean_mm=4.0, length_m=90.0, model="m")]],
        reviews=[
            line(course[:2], verdict="confirmed", **said),
            line(course[1:], verdict="rejected", **said),
        ],
        areas=[],
    )
    found = gpd.read_file(path, layer="cracks")
    assert found["verdict"].tolist() == ["confirmed", "rejected"]
    assert found["crack_id"].tolist() == [number, number]


def crossing(number: int) -> shapely.LineString:
    east = 14.0 + number / 1000
    return shapely.LineString([(east, 50.0), (east, 50.0001)])


@pytest.fixture
def judged(tmp_path: Path) -> gpd.GeoDataFrame:
    """An exported file: crack 1 confirmed (review 10), crack 2 not judged, a drawn line (review 11)."""
    about = {"length_m": 9.0, "model": "m", "width_mean_mm": 4.1234567}
    said = {"reviewer": "Ada", "note": "two\nlines", "width_mm": 5.0}
    write_review_file(
        tmp_path / "exported.gpkg",
        survey_id=SURVEY,
        cracks=[[line_feature(n, crossing(n), **about)] for n in (1, 2)],
        reviews=[
            line_feature(10, crossing(1), verdict="confirmed", crack_id=1, **said),
            line_feature(11, crossing(3), verdict="drawn", crack_id=None, **said),
        ],
        areas=[],
    )
    frame: gpd.GeoDataFrame = gpd.read_file(tmp_path / "exported.gpkg", layer="cracks")
    assert frame["review_id"].astype("Int64").fillna(0).tolist() == [10, 0, 11]
    assert frame["width_mm"].round(3).tolist() == [5.0, 4.123, 5.0]
    return frame


def read_back(frame: gpd.GeoDataFrame, path: Path, survey_id: str = SURVEY) -> ReviewFile:
    frame.to_file(path, **({"layer": "cracks"} if path.suffix == ".gpkg" else {}))
    return read_reviews(path, survey_id=survey_id, reviewer="Bob", width_mm=3.0)


@pytest.fixture(params=["back.gpkg", "back.geojson"])
def back(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return tmp_path / str(request.param)


def test_of_an_exported_file_only_what_was_changed_is_sent(
    judged: gpd.GeoDataFrame, back: Path
) -> None:
    read = read_back(judged, back)
    assert (read.features, read.without_verdict, read.as_exported) == ([], 1, 2)
    assert read.tells_exported
    changes: list[tuple[int, str, Any]] = [
        (0, "verdict", "rejected"),
        (1, "verdict", "confirmed"),
        (0, "width_mm", 6.0),
        (0, "note", ""),
        (2, "reviewer", "Eve"),
        (2, "geometry", crossing(4)),
    ]
    for row, name, value in changes:
        changed = judged.copy()
        changed.loc[row, name] = value
        read = read_back(changed, back)
        (sent,) = (each["properties"] for each in read.features)
        assert sent.get("review_id") == [10, None, 11][row], name
        assert name == "geometry" or sent[name] == value
    assert "exported" not in sent


def test_a_line_that_was_drawn_and_is_confirmed_stays_drawn(tmp_path: Path, back: Path) -> None:
    """Split too; its review, and the number under which it was applied, may be gone by now."""
    about = {"length_m": 9.0, "width_mean_mm": 4.0}
    said = {"reviewer": "Ada", "note": "", "width_mm": 5.0}
    write_review_file(
        tmp_path / "exported.gpkg",
        survey_id=SURVEY,
        cracks=[
            [
                line_feature(1, crossing(1), model="m", **about),
                line_feature(2, crossing(2), model=None, **about),
            ]
        ],
        reviews=[line_feature(10, crossing(2), verdict="drawn", crack_id=None, **said)],
        areas=[],
    )
    frame: gpd.GeoDataFrame = gpd.read_file(tmp_path / "exported.gpkg", layer="cracks")
    assert frame["crack_digest"].isna().tolist() == [False, True]
    frame["verdict"] = "confirmed"
    parts = frame.iloc[[1]].set_geometry([crossing(3)], crs=4326)
    read = read_back(pd.concat([frame, parts], ignore_index=True), back)
    sent = [each["properties"] for each in read.features]
    assert [(each["verdict"], each["crack_id"]) for each in sent] == [
        ("drawn", None),
        ("drawn", None),
        ("confirmed", 1),
    ]
    # Where the field is lost nobody knows: the server then goes by the review and the number.
    lost = read_back(frame.drop(columns="crack_digest"), back)
    assert {each["properties"]["verdict"] for each in lost.features} == {"confirmed"}


def test_to_another_survey_a_file_is_sent_whole(judged: gpd.GeoDataFrame, back: Path) -> None:
    """Its numbers of reviews are not that survey's."""
    read = read_back(judged, back, survey_id="6c5f1a8e-4b7c-4b55-9d4e-2f1f0c6a7b10")
    assert (len(read.features), read.as_exported, read.tells_exported) == (2, 0, False)
    assert not any("review_id" in each["properties"] for each in read.features)


def test_copies_and_parts_of_an_exported_line_lose_nothing(
    judged: gpd.GeoDataFrame, back: Path
) -> None:
    """A GIS copies all fields; what goes on as it was is sent beside its copy, which replaces it."""
    for row, number in ((0, 10), (2, 11)):
        copy = judged.iloc[[row]].set_geometry([crossing(5)], crs=4326)
        read = read_back(pd.concat([judged, copy], ignore_index=True), back)
        sent = [each["properties"]["review_id"] for each in read.features]
        assert (sent, read.as_exported) == ([number, number], 1)
        (batch,) = read.batches()
        assert batch == read.features


def test_what_replaces_the_same_review_is_never_sent_apart() -> None:
    """A copy of a crack that is to be a drawn line has its review's number, but not the crack's."""
    named = [{"crack_id": None, "review_id": 10}]
    others = [{"crack_id": None}] * (BATCH - 1)
    features = [
        {"properties": each} for each in (*named, *others, {"crack_id": 1, "review_id": 10})
    ]
    first, last = ReviewFile(features, 0).batches()
    assert [first[0], first[1]] == [features[0], features[-1]]
    assert (len(first), len(last)) == (BATCH, 1)
    assert list(ReviewFile([], 0).batches()) == []


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
        with pytest.raises(Unavailable, match=message), errors_by_feature([], stored=stored):
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
        ({"verdict": ["rejected"], "review_id": ["one"]}, "feature #1 has the review_id 'one'"),
    ],
)
def test_what_can_t_be_used_is_named(tmp_path: Path, columns: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        read_reviews(written(tmp_path / "a.gpkg", [LINE], **columns))


@pytest.mark.parametrize("shape", [None, shapely.LineString()], ids=["none", "empty"])
@pytest.mark.parametrize("name", ["a.gpkg", "a.geojson"])
def test_a_verdict_without_a_line_is_not_dropped_in_silence(
    tmp_path: Path, name: str, shape: Any
) -> None:
    columns: dict[str, list[Any]] = {"verdict": [None, "confirmed", "rejected"]}
    file = written(tmp_path / name, [shape, LINE, shape], crack_id=[1, 2, 3], **columns)
    with pytest.raises(BadInput, match="feature #3 has a verdict but no line"):
        read_reviews(file)
    columns["verdict"][2] = " "
    read = read_reviews(written(file, [shape, LINE, shape], crack_id=[1, 2, 3], **columns))
    assert (len(read.features), read.without_verdict) == (1, 2)


def layers(path: Path, **verdicts: list[str] | None) -> Path:
    """Write a GeoPackage of layers that hold a line for each verdict; None: without the field."""
    for layer, said in verdicts.items():
        columns = {} if said is None else {"verdict": said, "crack_id": [1] * len(said)}
        frame = gpd.GeoDataFrame(columns, geometry=[LINE] * len(said or [""]), crs=4326)
        frame.to_file(path, layer=layer, mode="a" if path.exists() else "w", driver="GPKG")
    return path


def test_verdicts_in_two_layers_are_chosen_between(tmp_path: Path) -> None:
    """As when a GIS has saved the edited cracks as a new layer of the same file."""
    path = layers(tmp_path / "a.gpkg", cracks=[""], cracks_edited=["rejected"], roads=None)
    with pytest.raises(BadInput, match=r"'a\.gpkg' .*: cracks, cracks_edited; name .*\(--layer\)"):
        read_reviews(path)
    (sent,) = read_reviews(path, layer="cracks_edited").features
    assert sent["properties"]["verdict"] == "rejected"
    assert read_reviews(path, layer="cracks").features == []


def test_verdicts_beside_an_empty_layer_of_cracks_are_seen(tmp_path: Path) -> None:
    """As of lines that somebody drew into a layer of their own where nothing was found."""
    path = tmp_path / "a.gpkg"
    write_review_file(path, cracks=[], reviews=[], areas=[])
    assert not has_lines(path, layer="cracks")
    layers(path, missed=["drawn"])
    assert has_lines(path)
    assert not has_lines(path, layer="cracks")
    assert has_lines(path, layer="missed")
    with pytest.raises(BadInput, match=r"cracks, missed; name .*\(--layer\)"):
        read_reviews(path, width_mm=3.0)


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
