"""Reviews over HTTP, and the training data they make: of a drawn tile whose pixels are known."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import shapely
from affine import Affine
from numpy.typing import NDArray

from api_world import API, World, serving
from drawn_surveys import WORK_RULES
from laid_out import laid_out
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import make_engine
from pavemap.platform.api.reviews import MAX_BODY_BYTES
from pavemap.platform.settings import Settings
from pavemap.platform.zip_stream import unzipped
from pavemap.serving.worker import CellWorker
from pavemap.training.data.datasets import check_sources
from pavemap.training.data.manifest import Manifest
from pavemap.training.data.pair_folder import write_folder
from pavemap.training.data_source import DataSource
from scenes import ORIGIN_X, ORIGIN_Y, UTM, asphalt, draw_crack, write_tile

GSD_M = 0.01
WIDTH, HEIGHT = 600, 400
CRACK_ROWS = (100, 180, 260)
"""Cracks of 300 x 4 pixels along these rows; a fourth, at 340, is too pale for the detector."""

AREA = (120, 60, 500, 380)
"""Left, top, right and bottom pixel of what was looked at whole."""


def dark_is_crack(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.where(chip.mean(axis=2) < 90, 255, 0).astype(np.uint8)


def picture() -> NDArray[np.uint8]:
    image = asphalt(WIDTH, HEIGHT)
    for row in CRACK_ROWS:
        draw_crack(image, [(150, row), (450, row)], width_px=4)
    return image


def in_degrees(shape: shapely.Geometry) -> dict[str, Any]:
    """A shape in the tile's (column, row) as GeoJSON in degrees."""
    ground = shapely.transform(
        shape, lambda p: np.array([ORIGIN_X, ORIGIN_Y]) + p * [GSD_M, -GSD_M]
    )
    found: dict[str, Any] = json.loads(shapely.to_geojson(reproject(ground, UTM, WGS84)))
    return found


def feature(geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def survey_all(settings: Settings) -> None:
    assert settings.database_url is not None
    engine = make_engine(settings.database_url.get_secret_value())
    storage = Storage(settings.storage_location)
    worker = CellWorker(
        engine, storage=storage, detect_with=lambda _: dark_is_crack, name="test", rules=WORK_RULES
    )
    while worker.run_once():
        pass
    engine.dispose()


@pytest.fixture(scope="module")
def client(module_settings: Settings) -> Iterator[httpx.Client]:
    with serving(module_settings) as client:
        yield client


@pytest.fixture(scope="module")
def done(
    client: httpx.Client, module_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> World:
    """The tile, surveyed: three cracks."""
    world = World.make(client, tmp_path_factory.mktemp("world"))
    transform = Affine(GSD_M, 0.0, ORIGIN_X, 0.0, -GSD_M, ORIGIN_Y)
    path = write_tile(world.folder / "tile.tif", picture(), crs=UTM, transform=transform)
    assert world.put("tile.tif", path.read_bytes()).status_code == 201
    assert client.post(f"{world.survey_url}/run").status_code == 202
    survey_all(module_settings)
    assert world.survey()["state"] == "done"
    return world


@pytest.fixture
def surveyed(done: World) -> Iterator[World]:
    """The same, and nothing said of it before or afterwards."""
    yield done
    for path in ("reviews", "reviewed-areas"):
        for each in done.client.get(f"{done.survey_url}/{path}").json()["features"]:
            done.client.delete(f"{done.survey_url}/{path}/{each['id']}")


def cracks(world: World) -> list[dict[str, Any]]:
    """The survey's cracks from the top of the tile downwards."""
    found: list[dict[str, Any]] = world.client.get(f"{world.survey_url}/cracks").json()["features"]
    return sorted(found, key=lambda each: -float(each["geometry"]["coordinates"][0][1]))


def judge(world: World) -> dict[str, Any]:
    """Confirm the first crack, reject the second, leave the third, and draw one that was missed."""
    first, second, _ = (each["id"] for each in cracks(world))
    missed = in_degrees(shapely.LineString([(150, 340), (450, 340)]))
    sent = collection(
        feature(None, crack_id=first, verdict="confirmed", reviewer="Ada", more="left out"),
        feature(None, crack_id=second, verdict="rejected", note="a joint\nof two lanes"),
        feature(missed, verdict="drawn", width_mm=60.0),
    )
    answer = world.client.post(f"{world.survey_url}/reviews", json=sent)
    assert answer.status_code == 201, answer.text
    added: dict[str, Any] = answer.json()
    return added


def look_at_area(world: World) -> httpx.Response:
    area = feature(in_degrees(shapely.box(*AREA)), reviewer="Ada")
    return world.client.post(f"{world.survey_url}/reviewed-areas", json=collection(area))


def archive(world: World, **query: Any) -> bytes:
    answer = world.client.get(f"{world.survey_url}/training-data", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    return answer.content


def unpacked(content: bytes, folder: Path) -> Manifest:
    folder.with_suffix(".zip").write_bytes(content)
    return write_folder(unzipped(folder.with_suffix(".zip")), folder)


def test_verdicts_come_back_with_lines_and_widths(surveyed: World) -> None:
    added = judge(surveyed)
    assert (added["added"], added["replaced"], added["unchanged"]) == (3, 0, 0)
    answer = surveyed.client.get(f"{surveyed.survey_url}/reviews")
    assert answer.headers["content-type"] == "application/geo+json"
    page = answer.json()
    by_id = {each["id"]: each for each in page["features"]}
    first, second, third = (by_id.pop(number) for number in added["ids"])
    assert not by_id
    crack = cracks(surveyed)[0]
    assert first["geometry"] == crack["geometry"]
    said = first["properties"]
    assert (said["verdict"], said["crack_id"], said["reviewer"]) == (
        "confirmed",
        crack["id"],
        "Ada",
    )
    assert said["width_mm"] == pytest.approx(crack["properties"]["width_mean_mm"], rel=1e-6)
    assert said["reviewed_at"]
    assert second["properties"]["note"] == "a joint\nof two lanes"
    assert (third["properties"]["crack_id"], third["properties"]["width_mm"]) == (None, 60.0)
    assert judge(surveyed) == {**added, "added": 0, "unchanged": 3}


def test_reviews_are_paged_filtered_and_deleted(surveyed: World) -> None:
    ids = judge(surveyed)["ids"]
    url = f"{surveyed.survey_url}/reviews"
    page = surveyed.client.get(url, params={"limit": 2}).json()
    (following,) = (link["href"] for link in page["links"] if link["rel"] == "next")
    rest = surveyed.client.get(following).json()["features"]
    assert sorted(each["id"] for each in page["features"] + rest) == ids
    drawn = surveyed.client.get(url, params={"verdict": "drawn"}).json()["features"]
    assert [each["id"] for each in drawn] == ids[2:]
    box = shapely.geometry.shape(drawn[0]["geometry"]).buffer(1e-6).bounds
    near = surveyed.client.get(url, params={"bbox": ",".join(map(str, box))}).json()["features"]
    assert [each["id"] for each in near] == ids[2:]
    assert surveyed.client.delete(f"{url}/{ids[0]}").status_code == 204
    assert surveyed.client.delete(f"{url}/{ids[0]}").status_code == 404
    assert len(surveyed.client.get(url).json()["features"]) == 2


def test_areas_come_back_and_are_deleted(surveyed: World) -> None:
    added = look_at_area(surveyed).json()
    url = f"{surveyed.survey_url}/reviewed-areas"
    (area,) = surveyed.client.get(url).json()["features"]
    assert [area["id"]] == added["ids"]
    assert area["geometry"]["type"] == "MultiPolygon"
    assert area["properties"]["reviewer"] == "Ada"
    assert look_at_area(surveyed).json() == {**added, "added": 0, "unchanged": 1}
    assert surveyed.client.delete(f"{url}/{area['id']}").status_code == 204
    assert surveyed.client.get(url).json()["features"] == []


def test_a_survey_is_measured_as_reviewed_and_its_history_says_so(
    surveyed: World, module_settings: Settings
) -> None:
    def measured(*, heed: bool) -> list[dict[str, Any]]:
        answer = surveyed.client.post(url, json={"heed_reviews": heed})
        assert (answer.status_code, answer.json()["state"]) == (202, "running")
        survey_all(module_settings)
        return cracks(surveyed)

    url = f"{surveyed.survey_url}/measure"
    assert surveyed.client.post(url, json={"heed_reviews": True}).status_code == 409
    assert surveyed.client.post(url, json={}).status_code == 422
    assert surveyed.client.post(url, json={"heed_reviews": False}).json()["state"] == "done"
    found = cracks(surveyed)
    judge(surveyed)
    look_at_area(surveyed)
    taught = archive(surveyed)
    first, third, drawn = measured(heed=True)
    assert [first["geometry"], third["geometry"]] == [found[0]["geometry"], found[2]["geometry"]]
    assert drawn["properties"]["model"] is None
    assert drawn["properties"]["width_mean_mm"] == pytest.approx(60.0)
    segments = surveyed.client.get(f"{surveyed.survey_url}/segments").json()["features"]
    (record,) = surveyed.client.get(f"{API}/segments/{segments[0]['id']}/conditions").json()
    assert record["heeded_reviews"] == surveyed.survey()["heeded_reviews"] == 3
    assert archive(surveyed) == taught
    reviews = surveyed.client.get(f"{surveyed.survey_url}/reviews").json()["features"]
    surveyed.client.delete(f"{surveyed.survey_url}/reviews/{reviews[0]['id']}")
    outdated = surveyed.client.get(f"{surveyed.survey_url}/training-data")
    assert (outdated.status_code, "apply them again" in outdated.text) == (409, True)
    assert measured(heed=False)[1]["geometry"] == found[1]["geometry"]
    assert surveyed.survey()["heeded_reviews"] is None


def test_training_data_has_the_pixels_and_labels_of_what_was_reviewed(
    surveyed: World, tmp_path: Path
) -> None:
    judge(surveyed)
    look_at_area(surveyed)
    content = archive(surveyed, chip_px=128)
    manifest = unpacked(content, tmp_path / "set")
    assert check_sources([DataSource(folder=tmp_path / "set")]) == len(manifest.images)
    pixels, labels = laid_out(
        tmp_path / "set",
        transform=Affine(GSD_M, 0, ORIGIN_X, 0, -GSD_M, ORIGIN_Y),
        height=HEIGHT,
        width=WIDTH,
    )

    left, top, right, bottom = AREA
    inside = np.zeros((HEIGHT, WIDTH), np.bool_)
    inside[top:bottom, left:right] = True
    assert np.array_equal(pixels[inside], picture()[inside])
    assert (labels[~inside] == IGNORE).all()
    column = labels[top:bottom, 300]  # through the middle of all four
    cracked = np.flatnonzero(column == CRACK) + top
    dark = np.flatnonzero(picture()[:, 300, 0] < 90)
    confirmed, missed = cracked[cracked < 300], cracked[cracked > 300]
    assert confirmed.tolist() == dark[:5].tolist() == [98, 99, 100, 101, 102]
    assert missed.tolist() == list(range(337, 343))  # 60 mm: six pixels about row 340
    assert (column[180 - top - 10 : 180 - top + 10] == SOUND).all()  # rejected
    unknown = np.flatnonzero(column == IGNORE) + top
    assert 260 in unknown  # nobody judged it
    assert 252 < unknown.min() < 258 < 262 < unknown.max() < 268  # with a rim
    assert (labels[top:bottom, left : left + 20] == SOUND).all()  # no crack is there
    along = np.flatnonzero(labels[340] == CRACK)
    assert (along.min(), along.max()) == (150 - 3, 450 + 2)  # round ends of 3 pixels

    source = manifest.source
    assert source["survey"]["id"] == surveyed.survey_id
    assert source["survey"]["model"] == surveyed.survey()["model"]
    (photo,) = source["orthophotos"]
    assert photo["name"] == "tile.tif"
    assert photo["sha256"] == surveyed.orthophotos()[0]["sha256"]
    kinds = ("confirmed", "rejected", "drawn", "outside_areas")
    assert [source["reviews"][kind] for kind in kinds] == [1, 1, 1, 0]
    assert source["unjudged"]["count"] == 1
    assert manifest.gsd_m == pytest.approx(GSD_M, rel=1e-3)
    assert manifest.pixels()["crack"] == (labels == CRACK).sum()


def test_the_same_reviews_give_the_same_bytes_after_measuring_again_too(
    surveyed: World, module_settings: Settings
) -> None:
    judge(surveyed)
    look_at_area(surveyed)
    before, numbers = archive(surveyed), [each["id"] for each in cracks(surveyed)]
    assert archive(surveyed) == before

    assert module_settings.database_url is not None
    engine = make_engine(module_settings.database_url.get_secret_value())
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE cell SET state = 'waiting', attempts = 0")
        connection.exec_driver_sql("UPDATE survey SET state = 'running' WHERE state = 'done'")
    engine.dispose()
    survey_all(module_settings)
    assert not {each["id"] for each in cracks(surveyed)} & set(numbers)

    assert archive(surveyed) == before
    with zipfile.ZipFile(io.BytesIO(before)) as file:
        assert file.namelist()[-1] == "manifest.json"


def test_without_a_reviewed_area_there_is_no_training_data(surveyed: World) -> None:
    judge(surveyed)
    answer = surveyed.client.get(f"{surveyed.survey_url}/training-data")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert "reviewed whole" in answer.json()["detail"]
    assert surveyed.client.get(f"{API}/surveys/nowhere/training-data").status_code == 404


@pytest.fixture(scope="module")
def empty(client: httpx.Client, tmp_path_factory: pytest.TempPathFactory) -> World:
    """A survey without imagery."""
    return World.make(client, tmp_path_factory.mktemp("world"))


BOW = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
LINE = {"type": "LineString", "coordinates": [[14.0, 50.0], [14.1, 50.1]]}


@pytest.mark.parametrize(
    ("path", "sent", "status", "said"),
    [
        ("reviews", "{", 400, "no JSON (EOF while parsing"),
        ("reviews", "", 400, "no JSON (EOF while parsing"),
        ("reviews", "[" * 1000, 400, "no JSON (recursion limit"),
        ("reviews", "[]", 422, ""),
        ("reviews", collection(), 422, "features"),
        ("reviews", collection(feature(None, verdict="maybe")), 422, "verdict"),
        ("reviews", collection(feature(None)), 422, "verdict"),
        ("reviews", collection(feature(None, verdict="drawn")), 422, "neither a line"),
        ("reviews", collection(feature(LINE, verdict="drawn")), 422, "has no width"),
        ("reviews", collection(feature(LINE, verdict="drawn", width_mm=-1)), 422, "width_mm"),
        ("reviews", collection(feature(LINE, verdict="drawn", width_mm=5)), 422, "beside all"),
        ("reviews", collection(feature(None, verdict="rejected", crack_id=9)), 422, "no crack 9"),
        ("reviews", collection(feature(None, verdict="rejected", crack_id=2**70)), 422, "crack_id"),
        (
            "reviews",
            collection(feature({"type": "Point", "coordinates": [1, 2]}, verdict="drawn")),
            422,
            "geometry",
        ),
        (
            "reviews",
            '{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":'
            '"LineString","coordinates":[[1e999,1],[2,2]]},"properties":{"verdict":"drawn"}}]}',
            422,
            "coordinates",
        ),
        (
            "reviews",
            collection(feature(None, verdict="rejected", crack_id=1, note="a\x00b")),
            422,
            "note",
        ),
        ("reviewed-areas", collection(feature(LINE)), 422, "geometry"),
        (
            "reviewed-areas",
            collection(feature({"type": "Polygon", "coordinates": [[[1, 2]], "x", {"a": 1}]})),
            422,
            "no Polygon",
        ),
        (
            "reviewed-areas",
            collection(feature(BOW)),
            422,
            "crosses itself",
        ),
    ],
)  # fmt: skip
def test_what_can_t_be_used_is_said_as_a_problem(
    empty: World, path: str, sent: Any, status: int, said: str
) -> None:
    body = sent if isinstance(sent, str) else json.dumps(sent)
    answer = empty.client.post(f"{empty.survey_url}/{path}", content=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert empty.client.get(f"{empty.survey_url}/{path}").json()["features"] == []


def test_a_body_is_bounded(empty: World) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range((MAX_BODY_BYTES >> 20) + 2):
            yield b" " * (1 << 20)

    url = f"{empty.survey_url}/reviews"
    answer = empty.client.post(url, content=endless())
    assert answer.status_code == 413
    assert "fewer features" in answer.json()["detail"]


def test_unknown_surveys_are_404(empty: World) -> None:
    good = collection(feature(None, verdict="rejected", crack_id=1))
    for name in ("nowhere", "6c5f1a8e-4b7c-4b55-9d4e-2f1f0c6a7b10"):
        url = f"{API}/surveys/{name}"
        assert empty.client.post(f"{url}/reviews", json=good).status_code == 404
        for path in ("reviews", "reviewed-areas", "training-data"):
            assert empty.client.get(f"{url}/{path}").status_code == 404
        for path in ("reviews/1", "reviewed-areas/1"):
            assert empty.client.delete(f"{url}/{path}").status_code == 404


def test_the_description_has_examples_of_them(empty: World) -> None:
    document = empty.client.get("/openapi.json").json()
    for name in ("ReviewCollection", "ReviewPage", "AreaCollection", "AreaPage", "AddedOut"):
        assert document["components"]["schemas"][name]["examples"], name
    post = document["paths"][f"{API}/surveys/{{survey_id}}/reviews"]["post"]
    assert "application/geo+json" in post["requestBody"]["content"]
