"""Uploading imagery over HTTP: what is good is kept once, what is bad is refused and leaves nothing."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import time
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from pyproj import CRS
from sqlalchemy import Engine, event, text

from api_world import API, World, import_street, serving, tile
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.storage_identity import IDENTITY
from pavemap.geo.store.surveys import BEING_DELETED, lock_survey, set_state
from pavemap.platform.settings import Settings
from pavemap.platform.stored_imagery import check_storage, remove_unused
from pavemap.training.models.model_store import PREFIX as MODELS
from scenes import ORIGIN_X, ORIGIN_Y, UTM, Scene, asphalt, warped, write_tile


def stored(settings: Settings) -> list[Path]:
    """The files in storage, but for models and the storage's id."""
    folder = Path(settings.storage_location)
    files = (path for path in folder.rglob("*") if path.is_file())
    ours = (path for path in files if path != folder / IDENTITY)
    return sorted(path for path in ours if MODELS not in path.relative_to(folder).parts)


def test_a_tile_is_kept_as_cog_with_its_digest(world: World, settings: Settings) -> None:
    content = tile(world.folder)
    answer = world.put("tile.tif", content)
    assert answer.status_code == 201, answer.text
    photo = answer.json()
    sha256 = hashlib.sha256(content).hexdigest()
    assert (photo["name"], photo["sha256"], photo["bytes"]) == ("tile.tif", sha256, len(content))
    assert (photo["width"], photo["height"], photo["bands"]) == (400, 400, 3)
    assert photo["crs"] == "EPSG:32616"
    assert photo["gsd_m"] == pytest.approx(0.01, rel=2e-3)
    assert world.orthophotos() == [photo]
    survey = world.survey()
    assert (survey["orthophotos"], survey["finest_gsd_m"]) == (1, photo["gsd_m"])
    (path,) = stored(settings)
    assert path.name == f"{sha256}.tif"
    assert path.parent.name == world.survey_id
    with rasterio.open(path) as kept, rasterio.open(world.folder / "tile.tif") as sent:
        assert kept.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert np.array_equal(kept.read(), sent.read())


def test_the_same_file_twice_is_one(world: World, settings: Settings) -> None:
    content = tile(world.folder)
    first, again = world.put("tile.tif", content), world.put("tile.tif", content)
    assert (first.status_code, again.status_code) == (201, 200)
    other_name = world.put("tile (copy).tif", content)
    assert other_name.status_code == 200
    assert other_name.json()["names"] == ["tile (copy).tif", "tile.tif"]
    assert world.orthophotos() == [other_name.json()]
    assert len(stored(settings)) == 1


FORGET_SIZES = text("UPDATE orthophoto SET info = info - 'stored_bytes'")


@pytest.mark.parametrize("registered_before_sizes", [False, True])
def test_a_file_that_was_cut_short_in_storage_is_whole_when_sent_again(
    world: World, settings: Settings, engine: Engine, registered_before_sizes: bool
) -> None:
    content = tile(world.folder)
    first = world.put("tile.tif", content).json()
    (path,) = stored(settings)
    whole = path.read_bytes()
    if registered_before_sizes:
        with database(engine) as connection:
            connection.execute(FORGET_SIZES)
    for broken in (whole[: len(whole) // 2], None):
        path.unlink() if broken is None else path.write_bytes(broken)
        again = world.put("tile.tif", content)
        assert (again.status_code, again.json()) == (200, first)
        assert path.read_bytes() == whole
    kept_at = path.stat().st_mtime_ns
    world.put("tile.tif", content)
    assert path.stat().st_mtime_ns == kept_at, "what is whole is left alone"


def test_files_are_read_one_by_one_and_page_by_page(world: World) -> None:
    content = tile(world.folder)
    for name in ("c.tif", "a.tif"):
        world.put(name, content)
    world.put("b b.tif", tile(world.folder, seed=1))
    (same, other) = sorted(world.orthophotos(), key=lambda photo: str(photo["name"]))
    url = f"{world.survey_url}/orthophotos"
    assert world.client.get(url).json() == {"orthophotos": [same, other], "next": None}
    first = world.client.get(url, params={"limit": 1}).json()
    assert first["orthophotos"] == [same]
    last = world.client.get(first["next"]).json()
    assert last == {"orthophotos": [other], "next": None}
    for name, photo in (("a.tif", same), ("c.tif", same), ("b b.tif", other)):
        assert world.client.get(f"{url}/{name}").json() == photo
    assert "lists those" in world.client.get(f"{url}/d.tif").json()["detail"]
    for path in (f"{url}/d.tif", f"{API}/surveys/{uuid.uuid4()}/orthophotos"):
        assert world.client.get(path).status_code == 404
    assert world.client.get(url, params={"after": "AAAA"}).status_code == 422
    assert "needs a name" in world.client.get(f"{url}/").json()["detail"]


def test_files_that_change_names_are_all_kept(world: World, settings: Settings) -> None:
    """Two swap them, or a whole series moves by one; surveyed anew is what another file now covers."""
    a, b, c = (tile(world.folder, seed=seed) for seed in range(3))
    run = f"{world.survey_url}/run"

    def kept(**sent: bytes) -> dict[str, str]:
        for name, content in sent.items():
            assert world.put(name, content).is_success
        found = {each["name"]: each["sha256"] for each in world.orthophotos()}
        assert sorted(path.stem for path in stored(settings)) == sorted(found.values())
        return found

    sha_a, sha_b, sha_c = (hashlib.sha256(content).hexdigest() for content in (a, b, c))
    assert kept(a=a, b=b) == {"a": sha_a, "b": sha_b}
    cells = world.client.post(run).json()["total"]
    assert kept(a=b, b=a) == {"a": sha_b, "b": sha_a}
    assert world.client.post(run).json()["redone"] == cells > 0
    assert kept(a=b, b=a) == {"a": sha_b, "b": sha_a}
    assert world.client.post(run).json()["redone"] == 0
    assert kept(a=c, b=b, d=a) == {"a": sha_c, "b": sha_b, "d": sha_a}
    assert kept(d=b, b=c) == {"a": sha_c, "d": sha_b}  # a is c too; nothing is sent as a any more


def test_other_content_takes_the_place_of_a_name(world: World, settings: Settings) -> None:
    """And the bytes that nothing refers to any more are gone, with what a crash left a day ago."""
    first, second = tile(world.folder), tile(world.folder, seed=7)
    world.put("other.tif", tile(world.folder, seed=8))
    world.put("tile.tif", first)
    kept_for = Path(settings.storage_location) / "orthophotos" / world.survey_id
    old, fresh = kept_for / f"{'0' * 64}.tif", kept_for / f"{'1' * 64}.tif"
    for left in (old, fresh):
        left.write_bytes(b"left by a crash")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))
    answer = world.put("tile.tif", second)
    assert answer.status_code == 201
    registered = world.orthophotos()
    assert answer.json() in registered
    assert len(registered) == 2
    assert {path.stem for path in stored(settings)} == {each["sha256"] for each in registered} | {
        fresh.stem  # perhaps of an upload that is still going on
    }
    assert world.put("tile.tif", first).status_code == 201  # and it can come back


def test_names_that_change_all_at_once_lose_no_file(world: World, settings: Settings) -> None:
    """Three names take turns at three files; bytes that are just being removed are asked for again."""
    files = [tile(world.folder, seed=seed) for seed in range(3)]

    def turn(name: int) -> None:
        for step in range(5):
            content = files[(name + step) % 3]
            while (answer := world.put(f"{name}.tif", content)).status_code == 503:
                assert "send it again" in answer.json()["detail"]
            assert answer.is_success, answer.text

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(turn, range(3)))
    found = {each["name"]: each["sha256"] for each in world.orthophotos()}
    assert found == {
        f"{name}.tif": hashlib.sha256(files[(name + 4) % 3]).hexdigest() for name in range(3)
    }
    assert {path.stem for path in stored(settings)} == set(found.values())


def test_an_upload_that_has_arrived_waits_for_a_plan(
    settings: Settings, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for longer than others may wait for a lock."""
    monkeypatch.setattr("pavemap.geo.store.engine.LOCK_TIMEOUT_S", 0.2)
    with serving(settings) as client, ThreadPoolExecutor(1) as pool:
        world = World.make(client, tmp_path)
        with database(engine) as planning:
            lock_survey(planning, uuid.UUID(world.survey_id))
            upload = pool.submit(world.put, "tile.tif", tile(tmp_path))
            while not upload.done() and not planning.scalar(WAITING):
                time.sleep(0.01)
            time.sleep(0.5)
        assert upload.result().status_code == 201, upload.result().text


WAITING = text("""
    SELECT EXISTS (SELECT FROM pg_locks
                   WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))
""")


def test_an_upload_costs_the_same_however_many_files_a_survey_has(
    world: World, settings: Settings
) -> None:
    """A new file, one again and a replacement: none reads the rows of others."""
    assert settings.database_url is not None
    first, second = tile(world.folder), tile(world.folder, seed=7)
    world.put("tile.tif", first)
    engine = make_engine(settings.database_url.get_secret_value())
    with engine.begin() as connection:
        connection.execute(OTHERS)
    engine.dispose()
    read: list[int] = []

    def count(_connection: object, cursor: Any, statement: str, *_: object) -> None:
        if "FROM orthophoto" in statement:
            read.append(cursor.rowcount)

    event.listen(Engine, "after_cursor_execute", count)
    try:
        answers = [world.put("tile.tif", content) for content in (first, second)]
        answers.append(world.put("new.tif", first))
    finally:
        event.remove(Engine, "after_cursor_execute", count)
    assert [answer.status_code for answer in answers] == [200, 201, 201]
    assert read
    assert max(read) <= 1


@pytest.mark.parametrize("crs", [None, "EPSG:3857"])
def test_imagery_in_which_no_crack_could_be_seen_is_refused(
    world: World, settings: Settings, crs: str | None
) -> None:
    """By ground metres: the street lies where web mercator has 1.15 for each."""
    survey = world.client.post(
        f"{API}/surveys", json={"name": "Fine", "network": "street", "gsd_m": 0.002, "crs": crs}
    ).json()
    url = f"{API}/surveys/{survey['id']}/orthophotos"
    refused = world.client.put(f"{url}/a.tif", content=tile(world.folder, gsd_m=0.034, size_px=100))
    assert refused.status_code == 422
    assert "34 mm, 17 times" in refused.json()["detail"]
    assert stored(settings) == []
    taken = world.client.put(f"{url}/a.tif", content=tile(world.folder, gsd_m=0.03, size_px=100))
    assert taken.status_code == 201
    shown = world.client.get(f"{API}/surveys/{survey['id']}").json()
    assert shown["smallest_width_mm"] == pytest.approx(30.0, rel=0.01)


def test_the_last_file_of_a_survey_that_has_run_stays(world: World) -> None:
    url = f"{world.survey_url}/orthophotos/tile.tif"
    world.put("tile.tif", tile(world.folder))
    assert world.client.delete(url).status_code == 204
    assert world.client.delete(url).status_code == 404
    world.put("tile.tif", tile(world.folder))
    assert world.client.post(f"{world.survey_url}/run").status_code == 202
    answer = world.client.delete(url)
    assert (answer.status_code, "delete the survey" in answer.json()["detail"]) == (409, True)
    assert [each["name"] for each in world.orthophotos()] == ["tile.tif"]


def test_a_survey_that_is_being_deleted_is_no_lost_disk(
    world: World, settings: Settings, engine: Engine
) -> None:
    """Its files may all be gone: the storage is told by its id, not by them."""
    world.put("tile.tif", tile(world.folder))
    with database(engine) as connection:
        set_state(connection, uuid.UUID(world.survey_id), "failed", error=BEING_DELETED)
    (path,) = stored(settings)
    path.unlink()
    check_storage(engine, Storage(settings.storage_location))
    assert world.client.delete(world.survey_url).status_code == 204


OTHERS = text("""
    INSERT INTO orthophoto (survey_id, name, sha256, bytes, key, info, gsd_m, warnings, footprint)
    SELECT survey_id, n || '.tif', n::text, bytes, n::text, info, gsd_m, warnings, footprint
    FROM orthophoto, generate_series(1, 200) AS n
""")


def test_replaced_bytes_that_another_name_took_up_stay(world: World, settings: Settings) -> None:
    """While they wait for removal the same content may be registered again."""
    assert settings.database_url is not None
    row = world.put("tile.tif", tile(world.folder)).json()
    (path,) = stored(settings)
    engine = make_engine(settings.database_url.get_secret_value())
    key = str(path.relative_to(settings.storage_location))
    survey, storage = uuid.UUID(world.survey_id), Storage(settings.storage_location)
    remove_unused(engine, storage, survey, keys=frozenset({key}))
    assert remove_unused(engine, storage, survey, left_s=0.0) == 0
    engine.dispose()
    assert [path.stem for path in stored(settings)] == [row["sha256"]]


def test_a_cog_is_kept_as_it_is(world: World, settings: Settings) -> None:
    world.put("tile.tif", tile(world.folder))
    (path,) = stored(settings)
    cog = path.read_bytes()
    assert world.put("cog.tif", cog).status_code == 201
    assert cog in [path.read_bytes() for path in stored(settings)[-2:]]
    assert hashlib.sha256(cog).hexdigest() in {path.stem for path in stored(settings)}


def test_a_digest_that_agrees_is_taken_and_another_refused(
    world: World, settings: Settings
) -> None:
    content = tile(world.folder)
    digest = hashlib.sha256(content)
    other = hashlib.sha256(b"other")
    for headers in (
        {"Content-SHA256": other.hexdigest()},
        {"Repr-Digest": f"sha-256=:{base64.b64encode(other.digest()).decode()}:"},
    ):
        answer = world.put("tile.tif", content, headers=headers)
        assert answer.status_code == 422
        assert "send it again" in answer.json()["detail"]
    for headers in ({"Content-SHA256": "abc"}, {"Repr-Digest": "sha-256=:%%%:"}):
        assert world.put("tile.tif", content, headers=headers).status_code == 400
    assert stored(settings) == []
    agreeing = f"sha-512=:AAAA:, sha-256=:{base64.b64encode(digest.digest()).decode()}:"
    assert world.put("tile.tif", content, headers={"Repr-Digest": agreeing}).status_code == 201
    headers = {"Content-SHA256": digest.hexdigest().upper()}
    assert world.put("tile.tif", content, headers=headers).status_code == 200


def test_a_name_that_looks_like_a_path_is_refused(world: World, settings: Settings) -> None:
    content = tile(world.folder)
    for name in (
        "../../etc/passwd",
        "..%2F..%2Fetc%2Fpasswd",
        "%2Fetc%2Fpasswd",
        "a/b.tif",
        "..%5C..%5Cwindows.tif",
        "..",
        "%2E",
        "a%00.tif",
        "a%0Ab.tif",
        "b.tif%0A",
        "%E2%80%A8.tif",
        "%20",
        "",
        "x" * 201,
    ):
        status, document = put_raw(world, name, content)
        assert status == 422, (name, document)
        assert "name" in document["detail"]
    assert stored(settings) == []


def put_raw(world: World, name: str, content: bytes) -> tuple[int, dict[str, Any]]:
    """PUT to a path as it is written: other clients tidy '..' away."""
    base = world.client.base_url
    connection = http.client.HTTPConnection(base.host, base.port or 80, timeout=60)
    try:
        connection.request("PUT", f"{world.survey_url}/orthophotos/{name}", body=content)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_a_name_is_only_a_label(world: World, settings: Settings) -> None:
    answer = world.put("Straße 3 (süd) 50%.TIFF", tile(world.folder))
    assert answer.status_code == 201, answer.text
    assert answer.json()["name"] == "Straße 3 (süd) 50%.TIFF"
    assert "süd" not in str(stored(settings))


def test_what_is_no_usable_geotiff_is_refused_with_the_reason(
    world: World, settings: Settings
) -> None:
    whole = tile(world.folder)
    secret = settings.home / "storage" / "secret.tif"
    secret.write_bytes(whole)
    no_crs = write_plain(world.folder / "no_crs.tif", crs=None)
    no_place = write_plain(world.folder / "no_place.tif", crs=UTM, transform=Affine.identity())
    vrt = f"""<VRTDataset rasterXSize="400" rasterYSize="400"><VRTRasterBand dataType="Byte" band="1">
        <SimpleSource><SourceFilename>{secret}</SourceFilename></SimpleSource>
        </VRTRasterBand></VRTDataset>""".encode()
    cases = {
        "is empty": b"",
        "is cut off": whole[: len(whole) // 2],
        "not a TIFF file": b"BM this is a bitmap",
        "a PNG image": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "virtual raster": vrt,
        "not a TIFF": str(secret).encode(),
        "no coordinate reference system": no_crs,
        "no transform": no_place,
    }
    for said, content in cases.items():
        answer = world.put("tile.tif", content)
        assert answer.status_code == 422, (said, answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
        detail = answer.json()["detail"]
        assert "tile.tif" in detail, detail
        assert str(settings.home) not in detail, detail
    assert world.orthophotos() == []
    assert stored(settings) == [secret]


def write_plain(path: Path, *, crs: CRS | None, transform: Affine | None = None) -> bytes:
    profile = {
        "driver": "GTiff", "width": 64, "height": 64, "count": 3, "dtype": "uint8",
        "crs": None if crs is None else crs.to_wkt(),
        "transform": transform or Affine(0.01, 0.0, ORIGIN_X, 0.0, -0.01, ORIGIN_Y),
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", **profile) as target:
            target.write(np.full((3, 64, 64), 128, np.uint8))
    return path.read_bytes()


def test_degrees_work(world: World) -> None:
    scene = Scene(asphalt(400, 400), 0.01)
    path = world.folder / "degrees.tif"
    corners = shapely.box(ORIGIN_X, ORIGIN_Y - 4.0, ORIGIN_X + 4.0, ORIGIN_Y)
    west, south, east, north = reproject(corners, UTM, WGS84).bounds
    width, height = 400, 400
    step_x, step_y = (east - west) / width, (north - south) / height
    transform = Affine(step_x, 0.0, west, 0.0, -step_y, north)
    warped(scene, path, crs=WGS84, transform=transform, width=width, height=height)
    answer = world.put("degrees.tif", path.read_bytes())
    assert answer.status_code == 201, answer.text
    assert answer.json()["gsd_m"] == pytest.approx(0.01, rel=0.02)
    assert answer.json()["crs"] == "EPSG:4326"
    assert world.client.post(f"{world.survey_url}/run").status_code == 202


def test_imagery_off_the_network_is_refused_with_distance_and_bounds(
    world: World, settings: Settings
) -> None:
    answer = world.put("far.tif", tile(world.folder, east_m=5_000.0))
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert "far.tif lies 4.9 km off the nearest road of network 'street'" in detail
    assert "check the CRS of both" in detail
    assert detail.count("29.7") == 4  # south and north of both
    near = world.put("near.tif", tile(world.folder, east_m=110.0))
    assert " m off the nearest road" in near.json()["detail"]
    assert stored(settings) == []


def test_a_pixel_far_from_the_model_s_is_warned_of(client: httpx.Client, tmp_path: Path) -> None:
    import_street(client, tmp_path)
    survey = client.post(f"{API}/surveys", json={"name": "s", "network": "street"}).json()
    world = World(client, tmp_path, "", survey["id"])
    (warning,) = world.put("coarse.tif", tile(tmp_path, gsd_m=0.03)).json()["warnings"]
    assert "can't be seen" in warning
    assert "mm" in warning


def test_an_empty_border_is_warned_of_and_remembered(world: World, tmp_path: Path) -> None:
    tile(tmp_path)
    with rasterio.open(tmp_path / "tile.tif", "r+") as dataset:
        image = dataset.read()
        image[:, :150] = 0
        dataset.write(image)
    said = world.put("dark.tif", (tmp_path / "tile.tif").read_bytes()).json()["warnings"]
    assert "the empty border counts as imaged" in said[-1]
    (listed,) = world.orthophotos()
    assert listed["warnings"] == said


def test_a_compressed_body_or_a_form_is_not_taken(world: World) -> None:
    answer = world.put("tile.tif", b"x", headers={"Content-Encoding": "gzip"})
    assert answer.status_code == 415
    url = f"{world.survey_url}/orthophotos/tile.tif"
    assert world.client.put(url, files={"file": b"x"}).status_code == 415


def test_all_no_data_is_taken(world: World) -> None:
    blank = np.zeros((400, 400, 3), np.uint8)
    transform = Affine(0.01, 0.0, ORIGIN_X, 0.0, -0.01, ORIGIN_Y)
    path = write_tile(world.folder / "blank.tif", blank, crs=UTM, transform=transform, nodata=0)
    assert world.put("blank.tif", path.read_bytes()).status_code == 201
