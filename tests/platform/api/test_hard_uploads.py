"""Uploads that go wrong, against a real uvicorn process: nothing half-kept or left, memory bounded."""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
import rasterio
from affine import Affine

from api_world import Server, World, serving, serving_process, tile
from pavemap.platform.raster_readers import Readers
from pavemap.platform.settings import Settings
from scenes import ORIGIN_X, ORIGIN_Y, UTM, write_tile

MEGABYTE = 1_000_000


@pytest.fixture
def world(server: Server, tmp_path: Path) -> Iterator[World]:
    with httpx.Client(base_url=server.url, timeout=300) as client:
        yield World.make(client, tmp_path)


def start_upload(server: Server, world: World, content: bytes, *, announced: int) -> socket.socket:
    """Send the head of an upload and a first part of its body; leave the connection open."""
    connection = socket.create_connection((server.host, server.port), timeout=30)
    head = (
        f"PUT {world.survey_url}/orthophotos/tile.tif HTTP/1.1\r\n"
        f"Host: {server.host}\r\nContent-Length: {announced}\r\n\r\n"
    )
    connection.sendall(head.encode() + content)
    return connection


def wait_for(server: Server, *, empty: bool) -> None:
    """Wait until the incoming folder holds something, or nothing."""
    end = time.monotonic() + 60
    while any(server.incoming.glob("*")) == empty:
        assert time.monotonic() < end, list(server.incoming.rglob("*"))
        time.sleep(0.05)


def nothing_is_kept(server: Server, world: World) -> None:
    assert world.orthophotos() == []
    kept = server.home / "storage" / "orthophotos" / world.survey_id
    assert not list(kept.rglob("*"))
    assert list(server.incoming.iterdir()) == []


def test_an_upload_cut_off_midway_leaves_nothing_and_the_next_try_succeeds(
    server: Server, world: World
) -> None:
    content = tile(world.folder)
    connection = start_upload(server, world, content[: len(content) // 2], announced=len(content))
    wait_for(server, empty=False)
    assert world.orthophotos() == []
    connection.close()
    wait_for(server, empty=True)
    nothing_is_kept(server, world)
    answer = world.put("tile.tif", content)
    assert answer.status_code == 201, answer.text
    assert answer.json()["sha256"] == hashlib.sha256(content).hexdigest()
    assert list(server.incoming.iterdir()) == []


def test_an_upload_in_chunks_cut_off_midway_leaves_nothing(server: Server, world: World) -> None:
    content = tile(world.folder)
    head = (
        f"PUT {world.survey_url}/orthophotos/tile.tif HTTP/1.1\r\n"
        f"Host: {server.host}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection((server.host, server.port), timeout=30) as connection:
        connection.sendall(head.encode() + f"{len(content):x}\r\n".encode() + content + b"\r\n")
        wait_for(server, empty=False)  # whole as it is, it lacks the chunk that ends it
    wait_for(server, empty=True)
    nothing_is_kept(server, world)


def test_what_a_killed_server_left_is_swept_at_the_next_start(
    own_server: Server, settings: Settings, tmp_path: Path
) -> None:
    server = own_server
    with httpx.Client(base_url=server.url, timeout=60) as client:
        world = World.make(client, tmp_path)
    content = tile(world.folder)
    connection = start_upload(server, world, content[:1000], announced=len(content))
    wait_for(server, empty=False)
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    connection.close()
    assert any(server.incoming.iterdir())
    with serving(settings) as client:
        again = World(client, world.folder, world.network_id, world.survey_id)
        nothing_is_kept(server, again)
        assert again.put("tile.tif", content).status_code == 201


def test_a_full_disk_is_507_and_the_next_try_succeeds(server: Server, world: World) -> None:
    # The kernel refuses writes past this size of a file as it does on a full disk (EFBIG, ENOSPC).
    content = np.random.default_rng(0).bytes(5 * MEGABYTE)
    whole = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (MEGABYTE, whole[1]))
    answer = world.put("tile.tif", content)
    assert answer.status_code == 507, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "free some and send it again" in answer.json()["detail"]
    nothing_is_kept(server, world)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, whole)
    assert world.put("tile.tif", tile(world.folder)).status_code == 201


@pytest.fixture
def small_disk(settings: Settings) -> Iterator[Path]:
    """Storage on a file system of 24 MB of its own."""
    folder = settings.home / "storage"
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_is_full_for_the_converted_file_is_507(
    small_disk: Path, settings: Settings, tmp_path: Path
) -> None:
    with (
        serving_process(settings, log=tmp_path / "log") as server,
        httpx.Client(base_url=server.url, timeout=60) as client,
    ):
        fill_and_upload(small_disk, server, World.make(client, tmp_path))


def fill_and_upload(small_disk: Path, server: Server, world: World) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8)
    transform = Affine(0.004, 0.0, ORIGIN_X, 0.0, -0.004, ORIGIN_Y)
    path = write_tile(world.folder / "noise.tif", noise, crs=UTM, transform=transform)
    content = path.read_bytes()
    assert len(content) > 5 * MEGABYTE, "it must not compress"
    (small_disk / "ballast").write_bytes(bytes(24 * 2**20 - len(content) - 4 * MEGABYTE))
    answer = world.put("tile.tif", content)
    assert answer.status_code == 507, answer.text
    nothing_is_kept(server, world)
    assert world.client.get("/readyz").status_code == 200
    (small_disk / "ballast").unlink()
    assert world.put("tile.tif", content).status_code == 201
    too_large = b"x" * (24 * 2**20)
    assert world.put("huge.tif", too_large).status_code == 507
    shutil.rmtree(small_disk / "orthophotos")


def test_memory_stays_bounded_over_a_large_upload(server: Server, world: World) -> None:
    world.put("warm.tif", tile(world.folder))
    before = server.memory_mb()
    most = before
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.02):
            most = max(most, server.memory_mb())

    path = sparse_tile(world.folder / "large.tif", megabytes=300)
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with path.open("rb") as file:
            answer = world.client.put(f"{world.survey_url}/orthophotos/large.tif", content=file)
    finally:
        done.set()
        watcher.join()
    assert answer.status_code == 201, answer.text
    assert answer.json()["bytes"] > 300 * MEGABYTE
    assert most - before < 100, f"{before:.0f} MB before, {most:.0f} MB at most"


def sparse_tile(path: Path, *, megabytes: int) -> Path:
    """A plain GeoTIFF of zeros, all of whose bytes are in the file as far as a reader can tell."""
    side = int((megabytes * MEGABYTE / 3) ** 0.5) + 16
    profile = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 3,
        "dtype": "uint8",
        "crs": UTM.to_wkt(),
        "transform": Affine(0.001, 0.0, ORIGIN_X, 0.0, -0.001, ORIGIN_Y),
    }
    with rasterio.open(path, "w", **profile) as target:
        target.write(np.zeros((3, 1, side), np.uint8), window=((0, 1), (0, side)))
    assert path.stat().st_blocks * 512 < path.stat().st_size
    return path


def test_many_uploads_at_once_are_all_kept(server: Server, world: World) -> None:
    contents = [tile(world.folder, seed=seed, east_m=seed * 3.0) for seed in range(8)]
    statuses: list[int] = []

    def put(number: int) -> None:
        answer = world.put(f"tile {number % 8}.tif", contents[number % 8])
        statuses.append(answer.status_code)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    alive = [world.client.get("/healthz").status_code for _ in range(5)]
    for thread in threads:
        thread.join()
    assert alive == [200] * 5
    assert set(statuses) <= {200, 201}
    names = [photo["name"] for photo in world.orthophotos()]
    assert sorted(names) == [f"tile {number}.tif" for number in range(8)]
    assert list(server.incoming.iterdir()) == []


def test_a_stalled_upload_is_given_up(settings: Settings, tmp_path: Path) -> None:
    with serving(settings.model_copy(update={"upload_idle_s": 0.5})) as client:
        world = World.make(client, tmp_path)
        port = client.base_url.port
        with socket.create_connection(("127.0.0.1", port or 80), timeout=30) as connection:
            head = f"PUT {world.survey_url}/orthophotos/t.tif HTTP/1.1\r\nHost: x\r\n"
            connection.sendall(head.encode() + b"Content-Length: 1000\r\n\r\nII*")
            assert b" 408 " in connection.recv(100)
        assert world.orthophotos() == []


def test_an_upload_over_the_limit_is_refused(settings: Settings, tmp_path: Path) -> None:
    with serving(settings.model_copy(update={"max_upload_bytes": 1000})) as client:
        world = World.make(client, tmp_path)

        def chunks() -> Iterator[bytes]:
            for _ in range(100):
                yield b"x" * 100

        for content in (b"x" * 1001, chunks()):
            url = f"{world.survey_url}/orthophotos/t.tif"
            answer = client.put(url, content=content)
            assert answer.status_code == 413, answer.text
            assert "PAVEMAP_MAX_UPLOAD_BYTES" in answer.json()["detail"]


def test_a_reader_that_dies_costs_its_own_upload_only(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tile(tmp_path)
    with serving(settings) as client:
        world = World.make(client, tmp_path)
        assert world.put("one.tif", content).status_code == 201
        for reader in children_named("pavemap.platform.raster_readers"):
            os.kill(reader, signal.SIGKILL)
        assert world.put("two.tif", tile(tmp_path, seed=2)).status_code == 201
    assert not children_named("pavemap.platform.raster_readers"), "a reader outlived its server"


def test_a_reader_that_is_seen_to_be_dead_too_late_costs_no_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process goes a moment after the signal: the next job may still be given to it."""
    path = tmp_path / "t.tif"
    path.write_bytes(tile(tmp_path))
    with Readers(1, limit_s=60) as readers:
        assert readers.inspect(path, name="t.tif").width > 0
        monkeypatch.setattr(subprocess.Popen, "poll", lambda _: None)
        for reader in children_named("pavemap.platform.raster_readers"):
            os.kill(reader, signal.SIGKILL)
        assert readers.inspect(path, name="t.tif").width > 0


def test_a_file_that_takes_its_reader_too_long_is_refused(
    settings: Settings, tmp_path: Path
) -> None:
    with serving(settings.model_copy(update={"reader_limit_s": 0.05})) as client:
        world = World.make(client, tmp_path)
        answer = world.put("slow.tif", tile(tmp_path))
        assert answer.status_code == 422
        assert "gdal_translate" in answer.json()["detail"]
        assert world.orthophotos() == []


def children_named(module: str) -> list[int]:
    """Processes of this one that run a module."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and module in (folder / "cmdline").read_text():
                found.append(int(folder.name))
    return found
