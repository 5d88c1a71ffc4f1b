"""Importing road networks over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import shapely

from api_world import API, STREET_M, geojson, import_street, serving, street_lines
from pavemap.geo.crs import WGS84, reproject
from pavemap.platform.settings import Settings
from scenes import UTM


def test_a_network_is_imported_from_a_form(client: httpx.Client, tmp_path: Path) -> None:
    answer = import_street(client, tmp_path, name_field="label", width_field="width")
    assert answer.status_code == 201, answer.text
    network = answer.json()
    assert network["name"] == "street"
    assert (network["roads"], network["segments"]) == (1, 4)
    assert network["length_m"] == pytest.approx(STREET_M, rel=2e-3)
    assert network["source_crs"] == "EPSG:4326"
    west, south, east, north = network["bbox"]
    assert -180 < west < east < 180
    assert 0 < south < north < 90


def test_a_network_is_imported_from_a_raw_body(client: httpx.Client) -> None:
    query = {"name": "raw", "filename": "roads.geojson", "road_id_field": "ref"}
    answer = client.post(f"{API}/networks", params=query, content=geojson(street_lines()))
    assert answer.status_code == 201, answer.text
    assert answer.json()["segment_length_m"] == 100.0


def test_the_same_network_twice_is_one(client: httpx.Client, tmp_path: Path) -> None:
    first = import_street(client, tmp_path)
    again = import_street(client, tmp_path)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert len(client.get(f"{API}/networks").json()) == 1


def test_another_network_under_the_name_is_refused(client: httpx.Client, tmp_path: Path) -> None:
    import_street(client, tmp_path)
    query = {"name": "street", "filename": "roads.geojson", "segment_length_m": "30"}
    other = geojson(street_lines(east_m=500.0))
    answer = client.post(f"{API}/networks", params=query, content=other)
    assert answer.status_code == 409
    assert "give this one another name" in answer.json()["detail"]


def test_a_network_is_found_by_id_and_by_name(client: httpx.Client, tmp_path: Path) -> None:
    made = import_street(client, tmp_path).json()
    assert client.get(f"{API}/networks/{made['id']}").json() == made
    assert client.get(f"{API}/networks/street").json() == made
    (listed,) = client.get(f"{API}/networks").json()
    assert listed == {name: value for name, value in made.items() if name != "report"}


def test_the_report_tells_what_was_repaired(client: httpx.Client) -> None:
    nowhere = shapely.LineString([(700_000, 3_290_000), (700_000, 3_290_000)])
    query = {"name": "n", "filename": "roads.geojson", "road_id_field": "ref"}
    body = geojson(street_lines(), nowhere)
    report = client.post(f"{API}/networks", params=query, content=body).json()["report"]
    assert report["counts"] == {"zero length: left out": 1}
    assert report["notes"] == [
        {"feature": "#2 (R2)", "problem": "zero length", "action": "left out", "count": 1}
    ]


REFUSED: list[tuple[dict[str, str], bytes | None, str]] = [
    ({"filename": "r.geojson"}, b"{}", "needs a name"),
    ({"name": "n"}, b"{}", "add ?filename="),
    ({"name": "n", "filename": "r.vrt"}, b"<OGRVRTDataSource/>", "GeoPackage"),
    ({"name": "n", "filename": "r.gpkg"}, b"<OGRVRTDataSource/>", "not what its suffix says"),
    ({"name": "n", "filename": "Süd 1.gpkg"}, b"<x/>", "'Süd 1.gpkg' is not what its suffix says"),
    ({"name": "n", "filename": "../../etc/passwd"}, b"root:x:0", "GeoPackage"),
    ({"name": "n", "filename": "r.geojson"}, b"{not json", "can't be read"),
    ({"name": "n", "filename": "r.geojson", "road_id_field": "id"}, None, "there is no field"),
    ({"name": "n", "filename": "r.geojson", "segment_length_m": "-3"}, b"{}", "greater than 0"),
    ({"name": "n", "filename": "r.geojson", "segment_length_m": "0.1"}, None, "kept apart"),
    ({"name": "n", "filename": "r.geojson", "segments": "3"}, b"{}", "segments: not known here"),
    ({"name": "n\x00", "filename": "r.geojson"}, b"{}", "control characters"),
]


def test_what_can_t_be_imported_is_refused_with_advice(client: httpx.Client) -> None:
    for query, body, said in REFUSED:
        content = geojson(street_lines()) if body is None else body
        answer = client.post(f"{API}/networks", params=query, content=content)
        assert answer.status_code == 422, (query, answer.text)
        assert said in answer.json()["detail"], (query, answer.text)
    assert client.get(f"{API}/networks").json() == []


def test_wrong_fields_of_a_form_are_named(client: httpx.Client, tmp_path: Path) -> None:
    answer = import_street(client, tmp_path, segment_length_m="long", colour="red")
    assert answer.status_code == 422
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers == {"#/segment_length_m", "#/colour"}


def test_a_form_without_a_file_is_refused(client: httpx.Client) -> None:
    form = {"name": (None, "n"), "file": (None, "not a file")}
    answer = client.post(f"{API}/networks", files=form)
    assert answer.status_code == 422
    assert "no file in its field 'file'" in answer.json()["detail"]


def test_a_broken_form_is_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post(f"{API}/networks", content=b"no boundary here", headers=headers)
    assert answer.status_code == 400
    assert "form can't be read" in answer.json()["detail"]


@pytest.mark.parametrize("last", ["pavement", "segment_length_m"])
def test_a_form_that_ends_early_is_not_taken_for_whole(client: httpx.Client, last: str) -> None:
    """Cut in a later part, the network would come without its pavement, or be cut otherwise."""
    roads = httpx.Request(
        "POST",
        "http://pavemap.test",
        data={"name": "cut off"},
        files={
            "file": ("street.geojson", geojson(street_lines())),
            last: ("p.geojson" if last == "pavement" else None, b"25"),
        },
    )
    whole = roads.read()
    assert last.encode() in whole
    for left_out in (1, 4, 20, 60):
        cut = whole.rstrip()[:-left_out]
        headers = {"Content-Type": roads.headers["content-type"]}
        answer = client.post(f"{API}/networks", content=cut, headers=headers)
        assert answer.status_code == 400, answer.text
        assert "ended before its last boundary; send it again" in answer.json()["detail"]
    assert client.get(f"{API}/networks").json() == []


def test_a_network_file_over_the_limit_is_refused(settings: Settings, tmp_path: Path) -> None:
    small = settings.model_copy(update={"max_network_bytes": 100_000})
    query = {"name": "n", "filename": "roads.geojson"}
    body = b" " * 400_000

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 50_000):
            yield body[start : start + 50_000]

    with serving(small) as client:
        url = f"{API}/networks"
        for content in (body, chunks()):
            answer = client.post(url, params=query, content=content)
            assert answer.status_code == 413, answer.text
            assert "PAVEMAP_MAX_NETWORK_BYTES" in answer.json()["detail"]
        form = client.post(url, data=query, files={"file": ("roads.geojson", body)})
        assert form.status_code == 413, form.text
        assert list((settings.home / "storage" / "incoming").iterdir()) == []
        assert import_street(client, tmp_path).status_code == 201


def test_an_unknown_network_is_not_found(client: httpx.Client) -> None:
    for unknown in ("nowhere", "00000000-0000-0000-0000-000000000000"):
        answer = client.get(f"{API}/networks/{unknown}")
        assert answer.status_code == 404
        assert "import it first" in answer.json()["detail"]


def test_a_network_is_cut_at_its_intersections(client: httpx.Client, tmp_path: Path) -> None:
    made = import_street(client, tmp_path, segments_by="intersections").json()
    again = import_street(client, tmp_path)

    assert (made["segments"], made["segments_by"], made["segment_length_m"]) == (
        *(1, "intersections"),
        None,
    )
    assert again.status_code == 409
    assert "another way to cut this network" in again.json()["detail"]


def test_lanes_and_one_way_are_found_and_said(client: httpx.Client) -> None:
    document = json.loads(geojson(street_lines()))
    document["features"][0]["properties"] |= {"lanes": "2;3", "oneway": "-1"}
    query = {"name": "n", "filename": "roads.geojson", "road_id_field": "ref"}
    answer = client.post(f"{API}/networks", params=query, content=json.dumps(document).encode())
    counts = answer.json()["report"]["counts"]

    assert counts["a field 'lanes': read as lanes; name another field if it is not"] == 1
    assert counts["several values of lane count: mean taken"] == 1
    assert counts["one-way against its line: the line turned round"] == 1


def test_the_agencys_pavement_comes_in_the_same_form(
    client: httpx.Client, settings: Settings, tmp_path: Path
) -> None:
    surface = street_lines().buffer(5.0, cap_style="flat")
    outline = json.loads(shapely.to_geojson(reproject(surface, UTM, WGS84)))
    features = [{"type": "Feature", "properties": {}, "geometry": outline}]
    polygons = json.dumps({"type": "FeatureCollection", "features": features}).encode()
    files = {
        "file": ("street.geojson", geojson(street_lines())),
        "pavement": ("surface.geojson", polygons),
    }
    form = {"name": "paved", "segment_length_m": "30", "road_id_field": "ref"}
    answer = client.post(f"{API}/networks", data=form, files=files)
    assert answer.status_code == 201, answer.text
    assert client.post(f"{API}/networks", data=form, files=files).status_code == 200
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        (area,) = connection.execute("SELECT sum(pavement_m2) FROM segment").fetchone() or (0,)
    assert area == pytest.approx(STREET_M * 10.0, rel=5e-3)
    outlines = {"file": ("surface.geojson", polygons)}
    refused = client.post(f"{API}/networks", data={"name": "w"}, files=outlines)
    assert "'surface.geojson' holds polygons: the centre-lines" in refused.json()["detail"]
    wrong = {**files, "pavement": ("surface.gpkg", polygons)}
    refused = client.post(f"{API}/networks", data={**form, "name": "w"}, files=wrong)
    assert refused.status_code == 422
    assert "not what its suffix says" in refused.json()["detail"]


def test_a_network_follows_an_older_one(client: httpx.Client, tmp_path: Path) -> None:
    old = import_street(client, tmp_path).json()
    longer = shapely.LineString(
        [street_lines().coords[0], (street_lines().coords[-1][0] + 40, street_lines().coords[0][1])]
    )
    form = {"name": "street 2", "segment_length_m": "30", "replaces": "street"}
    files = {"file": ("street.geojson", geojson(longer))}
    answer = client.post(f"{API}/networks", data=form, files=files)
    new = answer.json()

    assert answer.status_code == 201, answer.text
    assert new["replaces"] == old["id"]
    assert (old["segments"], new["segments"]) == (4, 5)
    assert new["report"]["counts"] == {
        "segments of 'street' found again: their history goes on": 4,
        "segments not in 'street': their history begins": 1,
    }
    assert client.post(f"{API}/networks", data=form, files=files).status_code == 200
    for replaces, status in (("street 2", 422), ("nowhere", 404)):
        refused = client.post(f"{API}/networks", data={**form, "replaces": replaces}, files=files)
        assert refused.status_code == status, refused.text
