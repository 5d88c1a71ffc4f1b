"""Exports open again with every row, null stays null, and a failed one leaves nothing behind."""

from __future__ import annotations

import csv
import json
import math
import resource
import sqlite3
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

from pavemap.geo.errors import BadInput
from pavemap.geo.measures.pci import RATINGS, pci_rating
from pavemap.platform.exports.export import Export
from pavemap.platform.exports.export_layers import LayerName
from pavemap.platform.exports.styling import (
    NOT_IMAGED_COLOUR,
    colour_of,
    density_classes,
    pci_style,
    segment_style,
)
from pavemap.platform.exports.text_tables import columns_beyond


def segments() -> gpd.GeoDataFrame:
    """Two segments side by side: one with density 0.25 m/m2, one that no tile shows."""
    return gpd.GeoDataFrame(
        {
            "segment_key": ["a:0", "a:10"],
            "crack_count": [3, 0],
            "density_m_per_m2": [0.25, None],
            "reason": ["", "no imagery"],
            "of no concern": [1, 2],
        },
        geometry=[shapely.box(0, 0, 1, 1), shapely.box(1, 0, 2, 1)],
        crs=4326,
    )


def cracks(count: int) -> gpd.GeoDataFrame:
    """Lines with a width as z, as they are inside pavemap."""
    lines = [shapely.LineString([(i, 0, 5.0), (i, 1, 7.0)]) for i in range(count)]
    return gpd.GeoDataFrame({"crack_id": range(count), "length_m": 1.5}, geometry=lines, crs=4326)


def write(path: Path) -> Export:
    said: dict[LayerName, str] = {"segments": "Cracks from 2 mm."}
    with Export(path, layers=["segments", "cracks"], descriptions=said) as export:
        export.write("segments", segments())
        export.write("cracks", cracks(2))
        export.write("cracks", cracks(3))
    return export


def test_a_geopackage_holds_every_batch_with_styles_for_qgis(tmp_path: Path) -> None:
    path = tmp_path / "street.gpkg"
    assert write(path).files == [path]

    found = gpd.read_file(path, layer="segments")
    assert list(found.segment_key) == ["a:0", "a:10"]
    assert found.density_m_per_m2[0] == 0.25
    assert math.isnan(found.density_m_per_m2[1])
    assert "of no concern" not in found
    assert pyogrio.read_info(path, layer="cracks")["features"] == 5
    assert pyogrio.read_info(path, layer="cracks")["geometry_type"] == "LineString"

    connection = sqlite3.connect(path)
    styles = dict(connection.execute("SELECT styleName, styleQML FROM layer_styles"))
    shown = list(connection.execute("SELECT styleName FROM layer_styles WHERE useAsDefault"))
    (said,) = connection.execute(
        "SELECT description FROM gpkg_contents WHERE table_name = 'segments'"
    )
    connection.close()
    # five classes, "not imaged" and "too little coverage"; seven ratings and the same two
    for name, count in (("pavemap segments", 7), ("pavemap segments by PCI", 9)):
        rules = ElementTree.fromstring(styles[name].partition("'SYSTEM'>")[2]).iter("rule")
        assert len(list(rules)) == count
    assert set(styles) == {"pavemap segments", "pavemap segments by PCI", "pavemap cracks"}
    assert shown == [("pavemap segments",), ("pavemap cracks",)]
    assert said == ("Cracks from 2 mm.",)
    assert list(tmp_path.iterdir()) == [path]


def test_geojson_holds_a_layer_a_file(tmp_path: Path) -> None:
    export = write(tmp_path / "street.geojson")

    assert [file.name for file in export.files] == ["street.geojson", "street_cracks.geojson"]
    first, second = (json.loads(file.read_text()) for file in export.files)
    assert first["features"][1]["properties"]["density_m_per_m2"] is None
    assert first["features"][0]["properties"]["crack_count"] == 3
    assert len(second["features"]) == 5
    assert second["features"][0]["geometry"]["coordinates"] == [[0, 0], [0, 1]]
    (ring,) = first["features"][0]["geometry"]["coordinates"]
    assert shapely.LinearRing(ring).is_ccw


def test_csv_says_where_the_middle_is(tmp_path: Path) -> None:
    write(tmp_path / "street.csv")

    with (tmp_path / "street.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["density_m_per_m2"] == "0.25"
    assert rows[1]["density_m_per_m2"] == ""
    assert (rows[1]["lon"], rows[1]["lat"]) == ("1.5", "0.5")


def test_a_spreadsheet_works_nothing_out_of_names(tmp_path: Path) -> None:
    path = tmp_path / "street.csv"
    names = ["=HYPERLINK(1)", "+1 road", "-12", "-12:40~2", "-1+2", "@a", "A=B", None]
    frame = segments().iloc[[0] * len(names)].assign(name=names)
    with Export(path, layers=["segments"]) as export:
        export.write("segments", frame)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf"), "Excel takes it for another encoding"
    with path.open(newline="", encoding="utf-8-sig") as file:
        text = file.read()
    assert text.count("\n") == text.count("\r\n") == len(names) + 1
    found = [row["name"] for row in csv.DictReader(text.splitlines())]
    assert found == ["'=HYPERLINK(1)", "'+1 road", "-12", "-12:40~2", "'-1+2", "'@a", "A=B", ""]


def test_a_geopackage_that_another_program_has_open_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "street.gpkg"
    write(path)
    with closing(sqlite3.connect(path)) as gis:
        gis.execute("PRAGMA journal_mode = WAL")
        gis.execute("UPDATE gpkg_contents SET description = 'mine'")
        gis.commit()
        with pytest.raises(BadInput, match="open in another program"):
            write(path)
    write(path)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("ALTER TABLE cracks ADD COLUMN verdict TEXT", "cracks.verdict"),
        ("UPDATE gpkg_contents SET table_name = 'areas' WHERE table_name = 'cracks'", "areas"),
        ("CREATE TABLE qgis_projects (name TEXT)", "qgis_projects"),
    ],
)
def test_a_geopackage_with_someones_work_in_it_is_not_replaced(
    tmp_path: Path, statement: str, named: str
) -> None:
    path = tmp_path / "street.gpkg"
    write(path)
    write(path)  # as we wrote it, it may be replaced
    with closing(sqlite3.connect(path)) as gis, gis:
        gis.execute("PRAGMA foreign_keys = OFF")
        gis.execute(statement)
    before = path.read_bytes()
    with pytest.raises(BadInput, match=rf"someone added \({named}\)"):
        write(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", ["geojson", "csv"])
def test_a_table_with_someones_columns_is_not_replaced(tmp_path: Path, suffix: str) -> None:
    path, beside = tmp_path / f"street.{suffix}", tmp_path / f"street_cracks.{suffix}"
    write(path)
    write(path)  # as we wrote it, it may be replaced
    judged = beside.read_text("utf-8-sig").replace("confidence", "verdict")
    beside.write_text(judged, encoding="utf-8")
    with pytest.raises(BadInput, match=r"street_cracks.* someone added \(verdict\)"):
        write(path)
    assert beside.read_text("utf-8") == judged


@pytest.mark.parametrize(
    ("name", "text", "columns"),
    [
        ("a.csv", "", []),
        ("a.csv", 'length_m,"my, notes"\r\n1,x\r\n', ["my, notes"]),
        ("a.geojson", "", []),
        ("a.geojson", '{"type": "FeatureCollection", "features": []}', []),
        ("a.geojson", '{"features": [{"properties": {"length_m": 1, "n": {"a": 2}}}]}', ["n"]),
        ("a.geojson", '{"features": [{"properties": {"length_m": 1, "n": {"a": 2', []),
        ("a.geojson", '{"features": [{"properties": null, "geometry": null}]}', []),
    ],
)
def test_columns_are_told_from_the_beginning_of_a_file(
    tmp_path: Path, name: str, text: str, columns: list[str]
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert columns_beyond(tmp_path / name, ["length_m"]) == columns


def test_what_is_read_is_not_overwritten(tmp_path: Path) -> None:
    roads = tmp_path / "street_cracks.geojson"
    roads.write_text("{}")
    for inputs in ([roads], [None, tmp_path / "." / roads.name]):
        with pytest.raises(BadInput, match="is read by this command"):
            Export(tmp_path / "street.geojson", layers=["segments", "cracks"], inputs=inputs)
    assert roads.read_text() == "{}"


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "csv"])
def test_layers_without_rows_are_there(tmp_path: Path, suffix: str) -> None:
    with Export(tmp_path / f"empty.{suffix}", layers=["cracks"]):
        pass

    path = tmp_path / f"empty.{suffix}"
    if suffix == "csv":
        assert path.read_text("utf-8-sig").startswith("crack_id,length_m")
    else:
        assert len(gpd.read_file(path, layer="cracks")) == 0


def fail_to_write(path: Path) -> None:
    with Export(path, layers=["segments"]) as export:
        export.write("segments", segments())
        raise RuntimeError("the server went away")


@pytest.mark.parametrize("suffix", ["gpkg", "geojson", "csv"])
def test_an_error_leaves_the_old_file_as_it_was(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"street.{suffix}"
    path.write_text("segment_key")

    with pytest.raises(RuntimeError):
        fail_to_write(path)

    assert path.read_text() == "segment_key"
    assert list(tmp_path.iterdir()) == [path]


def test_unknown_formats_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"end it in \.gpkg"):
        Export(tmp_path / "street.shp", layers=["cracks"])
    with pytest.raises(BadInput, match="no folder"):
        Export(tmp_path / "missing" / "street.gpkg", layers=["cracks"])
    with pytest.raises(
        BadInput, match=r"^/proc/street\.gpkg can't be written: its folder takes no"
    ):
        Export(Path("/proc/street.gpkg"), layers=["cracks"])


@pytest.mark.parametrize("name", ["street.gpkg", "street.geojson", "street_cracks.csv"])
def test_a_folder_is_not_taken_for_a_file_to_write(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(BadInput, match=rf"/{name} is a folder; name a file"):
        Export((tmp_path / "street").with_suffix(Path(name).suffix), layers=["segments", "cracks"])


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond some bytes, as on a disk that is nearly full."""
    usual, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (usual, most))


def fill_the_disk(path: Path, size: int) -> None:
    with room_for(size), Export(path, layers=["segments", "cracks"]) as export:
        export.write("segments", segments())
        export.write("cracks", cracks(1_000))


@pytest.mark.parametrize(
    ("suffix", "size"),
    [("gpkg", size) for size in (1_000, 50_000, 98_304, 110_000, 150_000)]
    + [("geojson", 10), ("geojson", 20_000), ("csv", 10), ("csv", 20_000)],
)
def test_a_full_disk_is_told_of_and_leaves_nothing(tmp_path: Path, suffix: str, size: int) -> None:
    path = tmp_path / f"street.{suffix}"
    with pytest.raises(
        BadInput, match=rf"^{path} could not be written \(.*\); is its disk full\?$"
    ):
        fill_the_disk(path, size)
    assert list(tmp_path.iterdir()) == []


def lose_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Export(path, layers=["cracks"]) as made:
        made.write("cracks", cracks(3))
        monkeypatch.setattr(pyogrio, "write_dataframe", lambda *_, **__: None)
        made.write("cracks", cracks(2))


def test_rows_that_were_lost_on_the_way_are_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BadInput, match=r"written \(rows were lost\)"):
        lose_rows(tmp_path / "street.gpkg", monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_classes_have_round_limits_and_hold_every_density() -> None:
    classes = density_classes([0.0, 0.3, 0.87, math.nan])

    assert [item.upper for item in classes] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert colour_of(0.0, classes) == classes[0].colour
    assert colour_of(0.87, classes) == classes[4].colour
    assert colour_of(None, classes) == NOT_IMAGED_COLOUR
    assert density_classes([math.nan])[-1].upper == 1.0


def rules_of(style: str) -> list[dict[str, str]]:
    return [
        rule.attrib for rule in ElementTree.fromstring(style.partition("'SYSTEM'>")[2]).iter("rule")
    ]


@pytest.mark.parametrize("style", [segment_style(density_classes([1.0])), pci_style()])
def test_what_rests_on_too_little_is_hatched_over_its_class(style: str) -> None:
    """QGIS draws the rules in their order; to it, GDAL's boolean is no number."""
    assert rules_of(style)[-1]["filter"] == ('NOT "confident" AND "density_m_per_m2" IS NOT NULL')
    assert [rule for rule in rules_of(style)[:-1] if "confident" in rule["filter"]] == []


def test_the_style_of_the_pci_rates_as_the_standard_does(tmp_path: Path) -> None:
    indices = np.array([100.0, 85.1, *(limit for limit, _ in RATINGS), 0.0])
    frame = segments().iloc[[0] * len(indices)].assign(pci_cracking=indices)
    with Export(tmp_path / "street.gpkg", layers=["segments"]) as export:
        export.write("segments", frame)
    named: dict[float, list[str]] = {index: [] for index in indices}
    for rule in rules_of(pci_style())[:-1]:
        chosen = gpd.read_file(tmp_path / "street.gpkg", layer="segments", where=rule["filter"])
        for index in chosen["pci_cracking"]:
            named[index].append(rule["label"].partition(" (")[0])
    assert [named[index] for index in indices] == [[name] for name in pci_rating(indices)]


def test_a_style_tells_null_from_zero() -> None:
    style = segment_style(density_classes([0.0]))

    assert "&quot;density_m_per_m2&quot; IS NULL" in style
    assert "&quot;density_m_per_m2&quot; &gt;= 0 AND" in style
