"""Road files that are broken, huge or meant to harm: refused with a sentence, nothing fetched or run."""

from __future__ import annotations

import json
import sqlite3
import struct
import threading
import zipfile
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import geopandas
import pyarrow as pa
import pyarrow.parquet
import pytest
import shapely

from drawn_roads import feature, line, write_geojson
from pavemap.geo.errors import BadInput
from pavemap.geo.roads.field_map import FieldMap
from pavemap.geo.roads.road_network import read_network
from pavemap.geo.vector_files import Shapes, geojson, raw, read_raw_lines
from road_files import zip_shapefile

VRT = b"""<OGRVRTDataSource><OGRVRTLayer name="roads">
<SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"""
EAST = [(5.60, 50.60), (5.61, 50.60)]


@pytest.fixture
def roads() -> geopandas.GeoDataFrame:
    """One road."""
    return geopandas.GeoDataFrame({"id": ["A"]}, geometry=[shapely.LineString(EAST)], crs=4326)


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """A web server on this machine and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"EPSG:2056")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", asked
        http.shutdown()
        thread.join()


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".zip", ".parquet", ".json"])
@pytest.mark.parametrize(
    "content", [b"", b"\x00", VRT, b"SQLite format 3\x00", b"PK\x03\x04", b"PAR1"]
)
def test_other_bytes_under_a_good_suffix(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"roads{suffix}"
    path.write_bytes(content)

    with pytest.raises(BadInput):
        read_network(path)


@pytest.mark.parametrize("name", ["roads.vrt", "roads.shp", "roads.kml", "roads.csv", "roads"])
def test_formats_that_are_not_offered(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(VRT)

    with pytest.raises(BadInput, match=r"GeoPackage \(\.gpkg\), GeoJSON"):
        read_network(tmp_path / name)


def test_a_file_that_is_cut_short(tmp_path: Path, roads: geopandas.GeoDataFrame) -> None:
    many = geopandas.GeoDataFrame(
        {"id": range(3000)}, geometry=[shapely.LineString(EAST)] * 3000, crs=4326
    )
    for name in ("roads.gpkg", "roads.parquet", "roads.geojson", "roads.zip"):
        path = tmp_path / name
        if path.suffix == ".parquet":
            many.to_parquet(path)
        elif path.suffix == ".zip":
            zip_shapefile(many, path)
        else:
            many.to_file(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(BadInput):
            read_network(path)


def test_geojson_fetches_nothing(tmp_path: Path, server: tuple[str, list[str]]) -> None:
    url, asked = server
    link = {"type": "link", "properties": {"href": f"{url}/crs", "type": "proj4"}}
    path = write_geojson(tmp_path / "roads.geojson", [feature(line(EAST))], crs=link)

    with pytest.raises(BadInput, match="names no EPSG code"):
        read_network(path)
    assert asked == []


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "+init=/etc/passwd:root", "EPSG:0", "EPSG:99999999"]
)
def test_geojson_names_a_crs_by_code_only(tmp_path: Path, name: str) -> None:
    crs = {"type": "name", "properties": {"name": name}}
    path = write_geojson(tmp_path / "roads.geojson", [feature(line(EAST))], crs=crs)

    with pytest.raises(BadInput):
        read_network(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "{}",
        "[]",
        "null",
        '{"features": {}}',
        '{"features": []}',
        '{"features": [null, 1, "x", [], {"geometry": 5}]}',
        '{"features": [{"geometry": {"type": "LineString", "coordinates": [[NaN, 1], [2, Infinity]]}}]}',
        '{"features": [{"geometry": {"type": "LineString", "coordinates": [[1e999, 1], [2, 3]]}}]}',
        '{"features": [{"geometry": {"type": ["LineString"], "coordinates": [[1, 1], [2, 3]]}}]}',
        '{"features": [{"geometry": {"type": "GeometryCollection", "geometries": '
        + "[" * 500
        + "]" * 500
        + "}}]}",
        '{"features": [], "crs": ' + "9" * 5000 + "}",
        "\ud800".encode("utf-16", "surrogatepass").decode("latin-1"),
    ],
)
def test_geojson_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "roads.geojson"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(BadInput):
        read_network(path)


def test_a_geopackage_that_runs_its_own_sql(tmp_path: Path, roads: geopandas.GeoDataFrame) -> None:
    for sql in (
        "CREATE VIEW extra AS SELECT * FROM roads",
        "CREATE VIRTUAL TABLE extra USING fts4(body)",
    ):
        path = tmp_path / "roads.gpkg"
        path.unlink(missing_ok=True)
        roads.to_file(path)
        with closing(sqlite3.connect(path)) as db:
            db.execute(sql)
            db.commit()
        with pytest.raises(BadInput, match="view or virtual table \\('extra'\\)"):
            read_network(path)


def test_a_sqlite_file_that_is_no_geopackage(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "roads.gpkg")) as db:
        db.execute("CREATE TABLE roads (id)")
        db.commit()

    with pytest.raises(BadInput, match="no GeoPackage"):
        read_network(tmp_path / "roads.gpkg")


def test_a_geopackage_with_arcs_is_read_by_their_chords(
    tmp_path: Path, roads: geopandas.GeoDataFrame
) -> None:
    path = tmp_path / "roads.gpkg"
    utm = roads.to_crs(32631)
    utm.to_file(path)
    # CIRCULARSTRING: half a circle of 100 m radius.
    arc = struct.pack("<BII6d", 1, 8, 3, 5e5, 5.6e6, 5e5 + 100, 5.6e6 + 100, 5e5 + 200, 5.6e6)
    with closing(sqlite3.connect(path)) as db:
        for (trigger,) in db.execute(
            "SELECT name FROM sqlite_master WHERE type='trigger'"
        ).fetchall():
            db.execute(f'DROP TRIGGER "{trigger}"')
        db.execute("UPDATE roads SET geom = ?", (b"GP\x00\x01" + struct.pack("<i", 32631) + arc,))
        db.execute("UPDATE gpkg_geometry_columns SET geometry_type_name = 'CURVE'")
        db.commit()
    network = read_network(path)

    assert network.roads["length_m"].tolist() == pytest.approx([314.16 / 0.9996], rel=1e-3)


def test_a_layer_is_chosen_by_its_lines_or_by_name(
    tmp_path: Path, roads: geopandas.GeoDataFrame
) -> None:
    path = tmp_path / "town.gpkg"
    roads.set_geometry(roads.geometry.representative_point()).to_file(path, layer="trees")
    roads.to_file(path, layer="streets")
    assert len(read_network(path).roads) == 1

    roads.to_file(path, layer="canals")
    with pytest.raises(BadInput, match=r"name the layer .* canals"):
        read_network(path)
    assert len(read_network(path, layer="canals").roads) == 1
    with pytest.raises(BadInput, match="no layer 'x'; the file has: trees, streets, canals"):
        read_network(path, layer="x")


@pytest.mark.filterwarnings("ignore:'crs' was not provided:UserWarning")  # pyogrio, on writing
def test_a_missing_crs_is_explained(tmp_path: Path, roads: geopandas.GeoDataFrame) -> None:
    bare = roads.set_crs(None, allow_override=True)
    zip_shapefile(roads, tmp_path / "roads.zip", without=(".prj",))
    bare.to_parquet(tmp_path / "roads.parquet")
    bare.to_file(tmp_path / "roads.gpkg")

    for suffix in (".zip", ".parquet", ".gpkg"):
        with pytest.raises(BadInput, match=r"coordinate reference system; add it \(a \.prj"):
            read_network(tmp_path / f"roads{suffix}")


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".zip"])
@pytest.mark.parametrize("shapes", ["line", "polygon", "line or polygon"])
def test_a_crs_of_a_site_alone_is_explained(tmp_path: Path, suffix: str, shapes: Shapes) -> None:
    drawn = shapely.box(0, 0, 100, 7) if shapes == "polygon" else shapely.LineString(EAST)
    site = geopandas.GeoDataFrame(geometry=[drawn], crs='LOCAL_CS["site",UNIT["metre",1]]')
    path = tmp_path / f"site{suffix}"
    if suffix == ".zip":
        zip_shapefile(site, path)
    elif suffix == ".parquet":
        site.to_parquet(path)
    else:
        site.to_file(path)

    with pytest.raises(BadInput, match=r"does not lead to a place on the Earth .* EPSG code"):
        read_raw_lines(path, shapes=shapes)


@pytest.mark.parametrize("code", ["5783", "4978"])  # vertical, geocentric
def test_a_code_that_is_no_place_is_explained(tmp_path: Path, code: str) -> None:
    crs = {"type": "name", "properties": {"name": f"EPSG:{code}"}}
    path = write_geojson(tmp_path / "roads.geojson", [feature(line(EAST))], crs=crs)

    with pytest.raises(BadInput, match="does not lead to a place on the Earth"):
        read_network(path)


def test_a_zip_is_unpacked_under_names_of_ours(
    tmp_path: Path, roads: geopandas.GeoDataFrame
) -> None:
    path = zip_shapefile(
        roads,
        tmp_path / "roads.zip",
        stem="../../../../tmp/evil/roads",
        others={"/etc/roads.vrt": VRT, "../roads.dbf": b"x", "__MACOSX/._roads.shp": b"x"},
    )

    assert len(read_network(path).roads) == 1
    assert not Path("/tmp/evil").exists()


def test_a_zip_of_two_shapefiles_needs_a_name(
    tmp_path: Path, roads: geopandas.GeoDataFrame
) -> None:
    path = zip_shapefile(roads, tmp_path / "two.zip", stem="in/streets")
    zip_shapefile(roads, path, stem="in/canals")

    with pytest.raises(BadInput, match="found: canals, streets"):
        read_network(path)
    assert len(read_network(path, layer="streets").roads) == 1


def test_a_zip_without_a_whole_shapefile(tmp_path: Path, roads: geopandas.GeoDataFrame) -> None:
    lacking = zip_shapefile(roads, tmp_path / "lacking.zip", without=(".shx",))
    with pytest.raises(BadInput, match=r"lacks the Shapefile's \.shx"):
        read_network(lacking)
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("roads.shp", VRT)
        archive.writestr("roads.shx", VRT)
    with pytest.raises(BadInput, match="not what its suffix says"):
        read_network(other)


@pytest.mark.parametrize(
    ("text", "encoding", "language", "cpg"),
    [
        ("Rue de l'Église", "ISO-8859-1", 0, None),
        ("Straße zur Mühle – 5 €", "cp1252", 0, None),
        ("Straße", "ISO-8859-1", 0x99, None),  # a language that nobody knows
        ("Straße", "UTF-8", 0, None),
        ("Řehořova", "cp1250", 0xC8, None),
        ("Straße", "cp437", 0x01, None),
        ("Řehořova", "ISO-8859-2", 0, b"ISO-8859-2"),
    ],
)
def test_texts_of_a_shapefile_are_read_in_their_encoding(
    tmp_path: Path,
    roads: geopandas.GeoDataFrame,
    text: str,
    encoding: str,
    language: int,
    cpg: bytes | None,
) -> None:
    path = zip_shapefile(
        roads.assign(name=text),
        tmp_path / "roads.zip",
        without=(".cpg",),
        others={} if cpg is None else {"roads.cpg": cpg},
        encoding=encoding,
        language=language,
    )

    network = read_network(path)

    assert network.roads["name"].tolist() == [text]
    untold = language not in (0xC8, 0x01) and cpg is None and encoding != "UTF-8"
    assert any(note.action == "read as CP1252" for note in network.report) == untold


def test_names_of_fields_are_read_in_the_encoding_of_the_texts(
    tmp_path: Path, roads: geopandas.GeoDataFrame
) -> None:
    path = tmp_path / "roads.zip"
    zip_shapefile(roads.assign(straße="Süd"), path, without=(".cpg",), encoding="ISO-8859-1")

    assert read_network(path, fields=FieldMap(name="straße")).roads["name"].tolist() == ["Süd"]


@pytest.mark.parametrize("field", ["name", "straße"])
def test_texts_in_another_encoding_than_their_file_tells(
    tmp_path: Path, roads: geopandas.GeoDataFrame, field: str
) -> None:
    path = zip_shapefile(
        roads.assign(**{field: "Straße"}),
        tmp_path / "town.zip",
        without=(".cpg",),
        others={"roads.cpg": b"UTF-8"},
        encoding="ISO-8859-1",
    )

    with pytest.raises(
        BadInput, match=r"texts of 'town\.zip' are in another encoding than its \.cpg"
    ):
        read_network(path, fields=FieldMap(name=field))


def test_a_message_calls_the_file_what_its_sender_does(
    tmp_path: Path, roads: geopandas.GeoDataFrame
) -> None:
    zip_shapefile(roads, tmp_path / "upload.zip", without=(".prj",))
    (tmp_path / "upload.parquet").write_bytes(b"PK")
    for suffix in ("zip", "parquet"):
        with pytest.raises(BadInput, match=r"^'Straßen 2026\.x' "):
            read_network(tmp_path / f"upload.{suffix}", name="Straßen 2026.x")


@pytest.mark.parametrize(
    ("suffix", "layer"),
    [
        *((suffix, None) for suffix in (".gpkg", ".geojson", ".parquet", ".zip")),
        *((suffix, "town") for suffix in (".gpkg", ".zip")),
    ],
)
def test_polygons_instead_of_lines_are_said_to_be_that(
    tmp_path: Path, roads: geopandas.GeoDataFrame, suffix: str, layer: str | None
) -> None:
    path = tmp_path / f"town{suffix}"
    pavement = roads.assign(name="A").set_geometry(shapely.buffer(roads.geometry, 0.001))
    if suffix == ".zip":
        zip_shapefile(pavement, path, stem="town")
    elif suffix == ".parquet":
        pavement.to_parquet(path)
    else:
        pavement.to_file(path)

    with pytest.raises(
        BadInput, match=r"holds polygons: the centre-lines .* \(`pavemap network import"
    ):
        read_network(path, layer=layer)


def test_only_what_was_left_out_is_a_reason_why_no_road_is_left(
    tmp_path: Path, roads: geopandas.GeoDataFrame
) -> None:
    trees = roads.assign(name="A").set_geometry(shapely.force_3d(roads.representative_point(), 5.0))
    trees.to_file(tmp_path / "trees.gpkg")

    with pytest.raises(BadInput, match=r"no road line is left to use: a point, not a line$"):
        read_network(tmp_path / "trees.gpkg")


def test_a_zip_bomb_stops_at_a_bound(
    tmp_path: Path, roads: geopandas.GeoDataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "MAX_UNPACKED_BYTES", 8 << 20)
    path = zip_shapefile(roads, tmp_path / "bomb.zip", without=(".dbf",))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("roads.dbf", b"\x00" * (64 << 20))
    assert path.stat().st_size < 1 << 20

    with pytest.raises(BadInput, match="unfolds to over 8 MiB"):
        read_network(path)


def test_a_parquet_bomb_stops_at_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw, "MAX_UNPACKED_BYTES", 8 << 20)
    long = shapely.to_wkb(shapely.LineString([(5.6 + i * 1e-7, 50.6) for i in range(10_000)]))
    geo = {"version": "1.0.0", "primary_column": "geometry"}
    geo["columns"] = {"geometry": {"encoding": "WKB", "geometry_types": []}}  # type: ignore[assignment]
    table = pa.table({"geometry": pa.array([long] * 2_000)})
    path = tmp_path / "bomb.parquet"
    pa.parquet.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path)
    assert path.stat().st_size < 1 << 20

    with pytest.raises(BadInput, match="unfolds to over 8 MiB"):
        read_network(path)


def test_a_parquet_without_geometry(tmp_path: Path) -> None:
    pa.parquet.write_table(pa.table({"id": [1]}), tmp_path / "table.parquet")

    with pytest.raises(BadInput, match="no GeoParquet metadata"):
        read_network(tmp_path / "table.parquet")


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".parquet", ".zip"])
def test_too_many_features(tmp_path: Path, suffix: str) -> None:
    roads = geopandas.GeoDataFrame(
        {"id": range(20)}, geometry=[shapely.LineString(EAST)] * 20, crs=4326
    )
    path = tmp_path / f"roads{suffix}"
    if suffix == ".zip":
        zip_shapefile(roads, path)
    elif suffix == ".parquet":
        roads.to_parquet(path)
    else:
        roads.to_file(path)

    with pytest.raises(BadInput, match="over 10 features"):
        read_network(path, max_features=10)


def test_geojson_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geojson, "MAX_BYTES", 100)
    path = write_geojson(tmp_path / "roads.geojson", [feature(line(EAST))] * 10)

    with pytest.raises(BadInput, match="as GeoPackage or GeoParquet"):
        read_network(path)


def test_formats_without_layers_say_so(tmp_path: Path) -> None:
    path = write_geojson(tmp_path / "roads.geojson", [feature(line(EAST))])

    with pytest.raises(BadInput, match="no layers"):
        read_network(path, layer="roads")
    with pytest.raises(BadInput, match="no field 'oid'"):
        read_network(path, fields=FieldMap(road_id="oid"))
