"""A drawn street with its survey behind the API, and tiles of it to upload."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import shapely
import uvicorn
from affine import Affine
from pyproj import CRS

from pavemap.geo.crs import WGS84, reproject
from pavemap.platform.api.main import create_app
from pavemap.platform.settings import Settings
from pavemap.serving.listening import free_port
from scenes import ORIGIN_X, ORIGIN_Y, UTM, asphalt, write_tile

API = "/api/v1"
STREET_M = 120.0
"""The street runs east from 20 m west of the scenes' corner, 2 m below it: under every tile."""


@dataclass(frozen=True)
class Server:
    """A server process and where it keeps things."""

    host: str
    port: int
    process: subprocess.Popen[bytes]
    home: Path
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def incoming(self) -> Path:
        return self.home / "storage" / "incoming"

    def memory_mb(self) -> float:
        """Resident memory of the process itself."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * 4096 / 1e6


@dataclass(frozen=True)
class World:
    """A survey of the drawn street."""

    client: httpx.Client
    folder: Path
    network_id: str
    survey_id: str

    @classmethod
    def make(cls, client: httpx.Client, folder: Path) -> World:
        """Import the street and make a survey of it."""
        network = import_street(client, folder)
        assert network.status_code in {200, 201}, network.text
        survey = client.request(
            "POST", f"{API}/surveys", json={"name": "Spring", "network": "street", "gsd_m": 0.01}
        )
        assert survey.status_code == 201, survey.text
        return cls(client, folder, network.json()["id"], survey.json()["id"])

    @property
    def survey_url(self) -> str:
        return f"{API}/surveys/{self.survey_id}"

    def survey(self) -> dict[str, Any]:
        """The survey as the API shows it."""
        answer = self.client.request("GET", self.survey_url)
        assert answer.status_code == 200, answer.text
        described: dict[str, Any] = answer.json()
        return described

    def orthophotos(self) -> list[dict[str, Any]]:
        """The survey's files as the API lists them."""
        answer = self.client.request("GET", f"{self.survey_url}/orthophotos")
        assert answer.status_code == 200, answer.text
        listed: list[dict[str, Any]] = answer.json()["orthophotos"]
        return listed

    def put(self, name: str, content: bytes, **options: Any) -> httpx.Response:
        """Upload bytes under a name."""
        url = f"{self.survey_url}/orthophotos/{name}"
        return self.client.request("PUT", url, content=content, **options)


@contextmanager
def serving(settings: Settings) -> Iterator[httpx.Client]:
    """Run the API under uvicorn in a thread of this process; yield a client of it."""
    server = uvicorn.Server(uvicorn.Config(create_app(settings), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            port = listener.getsockname()[1]
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def serving_process(settings: Settings, *, log: Path) -> Iterator[Server]:
    """Run the API in a uvicorn process of its own, as an operator would."""
    assert settings.database_url is not None
    environment = {
        **os.environ,
        "PAVEMAP_HOME": str(settings.home),
        "PAVEMAP_DATABASE_URL": settings.database_url.get_secret_value(),
    }
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "pavemap.platform.api.main:create_app"]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=environment, stdout=sink, stderr=sink
        )
    server = Server("127.0.0.1", port, process, settings.home, log)
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        process.kill()
        process.wait()


def _wait(server: Server) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        assert server.process.poll() is None, server.log.read_text()
        with suppress(httpx.HTTPError):
            if httpx.get(f"{server.url}/healthz", timeout=5).is_success:
                return
        time.sleep(0.2)
    raise TimeoutError(server.log.read_text())


def street_lines(*, east_m: float = 0.0) -> shapely.LineString:
    """The street's centre-line in UTM, moved east."""
    x, y = ORIGIN_X - 20.0 + east_m, ORIGIN_Y - 2.0
    return shapely.LineString([(x, y), (x + STREET_M, y)])


def geojson(*lines: shapely.LineString, crs: CRS = UTM) -> bytes:
    """Lines as GeoJSON in degrees, with ids R1, R2, ... and a width."""
    features = [
        {
            "type": "Feature",
            "properties": {"ref": f"R{number}", "label": "High Street", "width": 8},
            "geometry": json.loads(shapely.to_geojson(reproject(line, crs, WGS84))),
        }
        for number, line in enumerate(lines, 1)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features}).encode()


def import_street(client: httpx.Client, folder: Path, **options: Any) -> httpx.Response:
    """Import the street under the name 'street', in segments of 30 m."""
    fields = {"name": "street", "segment_length_m": "30", "road_id_field": "ref", **options}
    return client.request(
        "POST",
        f"{API}/networks",
        data=fields,
        files={"file": ("street.geojson", geojson(street_lines()))},
    )


def tile(
    folder: Path,
    *,
    seed: int = 0,
    size_px: int = 400,
    gsd_m: float = 0.01,
    east_m: float = 0.0,
    name: str = "tile.tif",
) -> bytes:
    """A GeoTIFF of asphalt on the street, `east_m` from the scenes' corner."""
    transform = Affine(gsd_m, 0.0, ORIGIN_X + east_m, 0.0, -gsd_m, ORIGIN_Y)
    path = write_tile(
        folder / name, asphalt(size_px, size_px, seed=seed), crs=UTM, transform=transform
    )
    return path.read_bytes()


def faults(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a value by a schema of the OpenAPI document."""
    whole = {**schema, "components": document["components"]}
    checker = jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(value)]
