"""Results over HTTP, of a survey that the real worker did with a detector that finds dark pixels."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray
from sqlalchemy import text

from api_world import API, World, faults, serving, tile
from drawn_surveys import WORK_RULES
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import make_engine
from pavemap.platform.settings import Settings
from pavemap.serving.worker import CellWorker
from scenes import ORIGIN_X, ORIGIN_Y, UTM, asphalt, draw_crack, write_tile

GSD_M = 0.01
CRACK_M = 3.0


def dark_is_crack(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A detector without a network: full probability where it is as dark as a drawn crack."""
    return np.where(chip.mean(axis=2) < 90, 255, 0).astype(np.uint8)


def cracked_tile(folder: Path, *, east_m: float, cracks: int) -> bytes:
    """A tile of 6 m x 4 m with cracks of 3 m along the street, all on its pavement."""
    image = asphalt(600, 400)
    for number in range(cracks):
        y = 100 + 40 * number
        draw_crack(image, [(150, y), (450, y)], width_px=4)
    transform = Affine(GSD_M, 0.0, ORIGIN_X + east_m, 0.0, -GSD_M, ORIGIN_Y)
    return write_tile(folder / "cracked.tif", image, crs=UTM, transform=transform).read_bytes()


def survey_all(settings: Settings, *, max_attempts: int = 3) -> None:
    """Do what waits, cell by cell, until the survey is measured."""
    assert settings.database_url is not None
    engine = make_engine(settings.database_url.get_secret_value())
    storage = Storage(settings.storage_location)
    rules = replace(WORK_RULES, max_attempts=max_attempts)
    worker = CellWorker(
        engine, storage=storage, detect_with=lambda _: dark_is_crack, name="test", rules=rules
    )
    while worker.run_once():
        pass
    engine.dispose()


def forget_workers(settings: Settings) -> None:
    """As if the last worker had been silent for long."""
    assert settings.database_url is not None
    engine = make_engine(settings.database_url.get_secret_value())
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM worker"))
    engine.dispose()


@pytest.fixture(scope="module")
def done(module_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three segments with 1, 3 and 0 cracks, and a fourth whose only imagery holds no data."""
    with serving(module_settings) as client:
        world = World.make(client, tmp_path_factory.mktemp("world"))
        for number, cracks in enumerate((1, 3, 0)):
            content = cracked_tile(world.folder, east_m=30.0 * number, cracks=cracks)
            answer = world.put(f"tile {number}.tif", content)
            assert answer.status_code == 201, answer.text
        transform = Affine(GSD_M, 0.0, ORIGIN_X + 90.0, 0.0, -GSD_M, ORIGIN_Y)
        blank = np.zeros((400, 600, 3), np.uint8)
        path = write_tile(world.folder / "blank.tif", blank, crs=UTM, transform=transform, nodata=0)
        assert world.put("blank.tif", path.read_bytes()).status_code == 201
        assert client.post(f"{world.survey_url}/run").status_code == 202
        survey_all(module_settings)
        assert world.survey()["state"] == "done", world.survey()
        yield world


def features(world: World, path: str, **query: Any) -> list[dict[str, Any]]:
    answer = world.client.get(f"{world.survey_url}/{path}", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/geo+json"
    page = answer.json()
    assert page["type"] == "FeatureCollection"
    assert page["numberReturned"] == len(page["features"])
    found: list[dict[str, Any]] = page["features"]
    return found


def all_pages(client: httpx.Client, url: str) -> Iterator[list[dict[str, Any]]]:
    following: str | None = url
    while following is not None:
        page = client.get(following).json()
        yield page["features"]
        following = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)


def test_segments_come_by_density_with_what_they_rest_on(done: World) -> None:
    found = features(done, "segments")
    figures = [segment["properties"] for segment in found]
    lengths = [each["crack_length_m"] for each in figures]
    assert lengths[:3] == pytest.approx([3 * CRACK_M, CRACK_M, 0.0], rel=0.02)
    assert [each["crack_count"] for each in figures] == [3, 1, 0, None]
    assert (lengths[3], figures[3]["cracked_area_m2"]) == (None, None)
    for each in figures[:3]:
        assert each["imaged_m2"] == pytest.approx(24.0, rel=0.04)  # less a rim
        density = each["crack_length_m"] / each["imaged_m2"]
        assert each["density_m_per_m2"] == pytest.approx(density)
        assert each["coverage"] == pytest.approx(each["imaged_m2"] / each["pavement_m2"])
    assert figures[2]["density_m_per_m2"] == 0.0
    blank = figures[3]
    assert (blank["coverage"], blank["density_m_per_m2"], blank["imaged_m2"]) == (0.0, None, 0.0)
    assert blank["reason"] != ""


def test_geometries_are_in_degrees_and_flat(done: World) -> None:
    (crack, *_) = features(done, "cracks")
    line = shapely.geometry.shape(crack["geometry"])
    assert not line.has_z
    ground = reproject(line, WGS84, UTM)
    assert ground.distance(shapely.Point(ORIGIN_X + 3.0, ORIGIN_Y - 1.0)) < 35.0
    pavement = shapely.geometry.shape(features(done, "segments")[0]["geometry"])
    centre = shapely.geometry.shape(features(done, "segments", geometry="line")[0]["geometry"])
    assert (pavement.geom_type, centre.geom_type) == ("MultiPolygon", "LineString")
    assert pavement.intersects(centre)


def test_cracks_have_their_measures_and_their_model(done: World) -> None:
    found = features(done, "cracks")
    assert len(found) == 4
    for crack in found:
        measures = crack["properties"]
        assert measures["length_m"] == pytest.approx(CRACK_M, rel=0.02)
        assert measures["width_mean_mm"] == pytest.approx(40.0, abs=15.0)
        assert 0.5 < measures["confidence"] <= 1.0
        assert measures["model"] == done.survey()["model"]


@pytest.mark.parametrize("path", ["segments", "cracks"])
def test_pages_neither_skip_nor_repeat(done: World, path: str) -> None:
    whole = [feature["id"] for feature in features(done, path)]
    for limit in (1, 2, 3):
        pages = list(all_pages(done.client, f"{done.survey_url}/{path}?limit={limit}"))
        assert [feature["id"] for page in pages for feature in page] == whole
        assert all(len(page) == limit for page in pages[:-1])


def test_segments_are_chosen_by_place_density_and_order(done: World) -> None:
    worst = features(done, "segments")[0]
    west, south, east, north = shapely.geometry.shape(worst["geometry"]).buffer(-1e-5).bounds
    box = f"{west},{south},{east},{north}"
    assert [each["id"] for each in features(done, "segments", bbox=box)] == [worst["id"]]
    assert len(features(done, "cracks", bbox=box)) == 3
    with_heights = f"{west},{south},-10,{east},{north},900"
    assert [each["id"] for each in features(done, "segments", bbox=with_heights)] == [worst["id"]]
    assert features(done, "segments", bbox="0,0,1,1") == []
    assert len(features(done, "segments", min_density=0.0)) == 3
    least = worst["properties"]["density_m_per_m2"]
    assert [each["id"] for each in features(done, "segments", min_density=least)] == [worst["id"]]
    keys = [
        each["properties"]["segment_key"]
        for each in features(done, "segments", sort="segment_key", order="asc")
    ]
    assert keys == sorted(keys)


def test_questions_that_make_no_sense_are_refused(done: World) -> None:
    for path, query, said in [
        ("segments", {"bbox": "1,2,3"}, "four numbers"),
        ("segments", {"bbox": "a,b,c,d"}, "four numbers"),
        ("segments", {"bbox": "0,0,nan,1"}, "four numbers"),
        ("cracks", {"bbox": "0,95,1,99"}, "not on the Earth"),
        ("segments", {"sort": "colour"}, "density"),
        ("segments", {"min_density": "-1"}, "greater than or equal to 0"),
        ("segments", {"min_density": "nan"}, "finite"),
        ("segments", {"limit": "0"}, "greater than or equal to 1"),
        ("segments", {"limit": "1000000"}, "less than or equal to"),
        ("segments", {"after": "not a cursor"}, "cursor"),
        ("cracks", {"after": "AAAA"}, "cursor"),
    ]:
        answer = done.client.get(f"{done.survey_url}/{path}", params=query)
        assert answer.status_code == 422, (query, answer.text)
        assert said in answer.json()["detail"], (query, answer.text)
        if path == "segments" and "after" not in query:
            (wrong,) = answer.json()["errors"]
            assert (wrong["in"], wrong["pointer"]) == ("query", f"#/{next(iter(query))}")


def test_a_cursor_of_another_order_is_refused(done: World) -> None:
    first = done.client.get(f"{done.survey_url}/segments", params={"limit": 1}).json()
    following = httpx.URL(first["links"][1]["href"])
    answer = done.client.get(following.copy_merge_params({"sort": "length_m"}))
    assert answer.status_code == 422
    assert "cursor" in answer.json()["detail"]


def test_a_segment_has_a_history(done: World, module_settings: Settings) -> None:
    worst = features(done, "segments")[0]
    later = done.client.post(
        f"{API}/surveys",
        json={"name": "Autumn", "network": "street", "gsd_m": 0.01, "captured_on": "2199-10-01"},
    ).json()
    other = World(done.client, done.folder, done.network_id, later["id"])
    other.put("tile.tif", cracked_tile(done.folder, east_m=30.0, cracks=2))
    done.client.post(f"{other.survey_url}/run")
    survey_all(module_settings)
    history = done.client.get(f"{API}/segments/{worst['id']}/conditions").json()
    assert [each["survey_name"] for each in history] == ["Autumn", "Spring"]
    assert [each["crack_count"] for each in history] == [2, 3]
    assert history[0]["captured_on"] == "2199-10-01"
    made = datetime.datetime.fromisoformat(history[0]["created_at"])
    assert made.tzinfo is not None


@pytest.mark.parametrize(
    ("segment", "status"), [("999999999", 404), ("0", 422), (str(2**63), 422), ("A1:0", 422)]
)
def test_an_unknown_segment_is_not_found(client: httpx.Client, segment: str, status: int) -> None:
    answer = client.get(f"{API}/segments/{segment}/conditions")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_survey_sums_up(done: World) -> None:
    sums = done.client.get(f"{done.survey_url}/summary").json()
    assert (sums["segments"], sums["segments_imaged"], sums["crack_count"]) == (4, 3, 4)
    assert sums["crack_length_m"] == pytest.approx(4 * CRACK_M, rel=0.02)
    assert sums["imaged_m2"] == pytest.approx(72.0, rel=0.04)
    survey = done.survey()
    assert survey["coverage"] == pytest.approx(sums["imaged_m2"] / sums["pavement_m2"], rel=1e-6)
    assert survey["imaged_m2"] == pytest.approx(sums["imaged_m2"], rel=0.02)
    cells = survey["cells"]
    assert cells["done"] == cells["total"] > 0


def test_a_run_of_a_finished_survey_changes_nothing(done: World, module_settings: Settings) -> None:
    before = (done.survey(), features(done, "segments"), features(done, "cracks"))
    again = done.client.post(f"{done.survey_url}/run").json()
    assert (again["state"], again["added"], again["redone"], again["retried"]) == ("done", 0, 0, 0)
    survey_all(module_settings)
    assert (done.survey(), features(done, "segments"), features(done, "cracks")) == before


def test_before_it_is_measured_a_survey_has_no_figures(world: World) -> None:
    world.put("tile.tif", tile(world.folder))
    assert features(world, "segments") == []
    assert features(world, "cracks") == []
    sums = world.client.get(f"{world.survey_url}/summary").json()
    assert (sums["segments"], sums["density_m_per_m2"]) == (0, None)
    # Nothing was seen, so nothing is known: null, not 0.
    assert (sums["crack_count"], sums["crack_length_m"], sums["cracked_area_m2"]) == (None,) * 3
    assert world.survey()["coverage"] is None


def test_failed_cells_say_why_and_a_run_tries_them_again(world: World, settings: Settings) -> None:
    world.put("tile.tif", tile(world.folder))
    world.client.post(f"{world.survey_url}/run")
    (path,) = Path(settings.storage_location).rglob("*.tif")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])
    survey_all(settings, max_attempts=1)
    survey = world.survey()
    assert survey["cells"]["failed"] == survey["cells"]["total"]
    (said,) = survey["cells"]["errors"]
    assert said
    path.write_bytes(content)
    again = world.client.post(f"{world.survey_url}/run").json()
    assert again["retried"] == survey["cells"]["total"]
    survey_all(settings)
    healed = world.survey()
    assert (healed["state"], healed["cells"]["failed"]) == ("done", 0)
    assert healed["coverage"] > 0


def test_figures_are_many_and_only_the_confident_can_be_asked_for(done: World) -> None:
    """A tile of 6 m on segments of 30 m: a fifth of the pavement, and less, is no ground to trust."""
    found = features(done, "segments", confident="false")
    assert len(found) == 4
    assert features(done, "segments", confident="true") == []
    worst = found[0]["properties"]
    assert worst["confident"] is False
    assert worst["length_longitudinal_m"] == pytest.approx(3 * CRACK_M, rel=0.02)
    assert worst["length_medium_m"] == pytest.approx(3 * CRACK_M, rel=0.05)  # 40 mm wide
    assert worst["zeb_share"] > 0.0
    assert 0.0 <= worst["pci_cracking"] < 100.0
    assert set(worst["r85"]) == {"longitudinal", "transverse", "pattern"}
    blank = found[-1]["properties"]
    assert {blank[name] for name in ("zeb_share", "pci_cracking", "r85", "length_low_m")} == {None}
    by_pci = features(done, "segments", sort="pci_cracking", order="asc")
    index = [each["properties"]["pci_cracking"] for each in by_pci]
    assert index[:3] == sorted(index[:3])
    assert index[3] is None


def test_a_survey_says_how_narrow_a_crack_it_can_show(done: World) -> None:
    survey = done.survey()
    assert survey["smallest_width_mm"] == pytest.approx(10.0)
    assert survey["measures"]["min_coverage"] == 0.8
    assert survey["attention"] == ""


def test_a_survey_says_that_its_imagery_changed_since_it_was_run(
    done: World, module_settings: Settings
) -> None:
    values = {"name": "Files come and go", "network": "street", "gsd_m": 0.01}
    survey = done.client.post(f"{API}/surveys", json=values).json()
    other = World(done.client, done.folder, done.network_id, survey["id"])

    def run() -> None:
        assert done.client.post(f"{other.survey_url}/run").status_code == 202
        survey_all(module_settings)
        assert (other.survey()["state"], other.survey()["attention"]) == ("done", "")

    other.put("one.tif", cracked_tile(done.folder, east_m=0.0, cracks=1))
    assert other.survey()["attention"] == ""
    run()
    other.put("two.tif", cracked_tile(done.folder, east_m=30.0, cracks=1))
    assert "run it again" in other.survey()["attention"]
    run()
    assert done.client.delete(f"{other.survey_url}/orthophotos/two.tif").status_code == 204
    assert "run it again" in other.survey()["attention"]
    run()
    other.put("one.tif", cracked_tile(done.folder, east_m=0.0, cracks=1))
    assert other.survey()["attention"] == ""


def test_what_changed_since_an_earlier_survey(done: World, module_settings: Settings) -> None:
    """The third segment's sound tile gets two cracks; the first one is not shown again."""
    later = done.client.post(
        f"{API}/surveys",
        json={"name": "Later", "network": "street", "gsd_m": 0.01, "position_rmse_m": 0.02},
    ).json()
    other = World(done.client, done.folder, done.network_id, later["id"])
    url = f"{other.survey_url}/change"
    since = {"since": done.survey_id}
    assert done.client.get(url, params=since).status_code == 409
    other.put("two.tif", cracked_tile(done.folder, east_m=60.0, cracks=2))
    other.put("same.tif", cracked_tile(done.folder, east_m=30.0, cracks=3))
    waiting = done.client.post(f"{other.survey_url}/run").json()["total"]
    forget_workers(module_settings)
    assert f"no Surveyor is at work, so {waiting} cells wait" in other.survey()["attention"]
    survey_all(module_settings)
    assert other.survey()["attention"] == ""

    answer = done.client.get(url, params=since)
    assert answer.status_code == 200, answer.text
    rows = [feature["properties"] for feature in answer.json()["features"]]
    assert rows[0]["new_m"] == pytest.approx(2 * CRACK_M, rel=0.02)
    assert rows[0]["gone_m"] == rows[0]["unchanged_m"] == 0.0
    same = next(row for row in rows if row["unchanged_m"] > 0.0)
    assert same["unchanged_m"] == pytest.approx(3 * CRACK_M, rel=0.02)
    assert same["widened_mm"] == pytest.approx(0.0, abs=1e-6)
    assert same["density_change_m_per_m2"] == pytest.approx(0.0, abs=1e-9)
    walked = [
        feature["id"]
        for page in all_pages(done.client, f"{url}?since={done.survey_id}&limit=1")
        for feature in page
    ]
    assert walked == [feature["id"] for feature in answer.json()["features"]]

    cracks = done.client.get(f"{url}/cracks", params=since).json()["features"]
    kinds = [crack["properties"]["kind"] for crack in cracks]
    assert sorted(kinds) == ["new"] * 2 + ["unchanged"] * 3
    keys = {row["segment_id"]: row["segment_key"] for row in rows}
    for crack in cracks:
        assert crack["properties"]["segment_key"] == keys[crack["properties"]["segment_id"]]
    paged = all_pages(done.client, f"{url}/cracks?since={done.survey_id}&limit=1")
    ids = [feature["id"] for page in paged for feature in page]
    assert ids == [crack["id"] for crack in cracks]
    assert len(set(ids)) == 5
    sums = done.client.get(f"{url}/summary", params={**since, "tolerance_m": 0.2}).json()
    assert sums["tolerance_m"] == 0.2
    assert sums["accuracy_stated"] is True
    queries: list[tuple[dict[str, Any], int]] = [
        ({"since": other.survey_id}, 422),
        ({"since": "nonsense"}, 404),
        ({**since, "tolerance_m": -1}, 422),
    ]
    for query, status in queries:
        assert done.client.get(url, params=query).status_code == status


def test_every_page_of_features_is_what_the_description_says(
    done: World, module_settings: Settings
) -> None:
    values = {"name": "Described", "network": "street", "gsd_m": 0.01}
    survey = done.client.post(f"{API}/surveys", json=values).json()
    other = World(done.client, done.folder, done.network_id, survey["id"])
    other.put("tile.tif", cracked_tile(done.folder, east_m=30.0, cracks=2))
    done.client.post(f"{other.survey_url}/run")
    survey_all(module_settings)
    crack, segment = features(other, "cracks")[0], features(other, "segments")[0]
    for path, geometry, said in [
        ("reviews", None, {"crack_id": crack["id"], "verdict": "confirmed"}),
        ("reviewed-areas", segment["geometry"], {}),
    ]:
        feature = {"type": "Feature", "geometry": geometry, "properties": said}
        sent = {"type": "FeatureCollection", "features": [feature]}
        added = done.client.post(f"{other.survey_url}/{path}", json=sent)
        assert added.status_code == 201, added.text

    document = done.client.get("/openapi.json").json()
    described = {
        path: answer["content"]["application/geo+json"]["schema"]
        for path, operations in document["paths"].items()
        for answer in [operations.get("get", {}).get("responses", {}).get("200", {})]
        if "application/geo+json" in answer.get("content", {})
    }
    assert len(described) == 6
    for path, schema in described.items():
        query = {"since": done.survey_id} if "/change" in path else {}
        url = path.format(survey_id=other.survey_id)
        page = done.client.get(url, params={**query, "limit": 1}).json()
        assert page["features"], path
        assert faults(document, schema, page) == [], path


def test_failed_cells_are_listed(world: World, settings: Settings) -> None:
    world.put("tile.tif", tile(world.folder))
    world.client.post(f"{world.survey_url}/run")
    (path,) = Path(settings.storage_location).rglob("*.tif")
    path.write_bytes(path.read_bytes()[:1000])
    survey_all(settings, max_attempts=1)
    cells: list[dict[str, Any]] = []
    url: str | None = f"{world.survey_url}/cells?state=failed&limit=1"
    while url is not None:
        page = world.client.get(url).json()
        cells += page["cells"]
        url = page["next"]
    assert len(cells) == world.survey()["cells"]["failed"] > 0
    assert {cell["state"] for cell in cells} == {"failed"}
    assert all(cell["error"] and cell["attempts"] == 1 for cell in cells)
    assert world.client.get(f"{world.survey_url}/cells?state=lost").status_code == 422


def test_parameters_of_measures_are_checked_when_the_survey_is_made(world: World) -> None:
    def create(measures: dict[str, Any]) -> httpx.Response:
        body = {"name": "Own", "network": "street", "measures": measures}
        return world.client.post(f"{API}/surveys", json=body)

    made = create({"min_coverage": 0.95, "severity_mm": [3, 19]})
    assert made.status_code == 201, made.text
    assert made.json()["measures"]["severity_mm"] == [3, 19]
    for wrong, said in (({"colour": 1}, "colour"), ({"severity_mm": [9, 3]}, "severity_mm")):
        refused = create(wrong)
        assert refused.status_code == 422, refused.text
        assert said in refused.json()["detail"]
