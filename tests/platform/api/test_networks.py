"""Importing road networks over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import shapely

from api_world import API, STREET_M, geojson, import_street, serving, street_lines
from pavemap.platform.settings import Settings


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
    ({"name": "n", "filename": "../../etc/passwd"}, b"root:x:0", "GeoPackage"),
    ({"name": "n", "filename": "r.geojson"}, b"{not json", "can't be read"),
    ({"name": "n", "filename": "r.geojson", "road_id_field": "id"}, None, "there is no field"),
    ({"name": "n", "filename": "r.geojson", "segment_length_m": "-3"}, b"{}", "greater than 0"),
    ({"name": "n", "filename": "r.geojson", "segment_length_m": "0.1"}, None, "kept apart"),
    ({"name": "n", "filename": "r.geojson", "segments": "3"}, b"{}", "Extra inputs"),
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
