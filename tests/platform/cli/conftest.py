"""The command line against a real API under uvicorn, a real PostGIS, and a worker in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from pydantic import SecretStr
from sqlalchemy import Engine

from api_world import serving
from cli_world import Cli, dark
from drawn_surveys import WORK_RULES
from pavemap.geo.storage import Storage
from pavemap.platform.settings import Settings
from pavemap.serving.worker import CellWorker
from scenes import ORIGIN_X, ORIGIN_Y, UTM, cracked_strip, cut


@pytest.fixture(scope="session")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three overlapping tiles of 2.4 m x 1.2 m of cracked ground, at 2 mm a pixel."""
    folder = tmp_path_factory.mktemp("tiles")
    cut(cracked_strip(1200, 600), folder, columns=3, rows=1, overlap_px=40)
    return folder


@pytest.fixture(scope="session")
def roads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A road of 1 m width through the middle of the tiles, and on for 2.6 m beyond them."""
    y = ORIGIN_Y - 0.6
    line = shapely.LineString([(ORIGIN_X, y), (ORIGIN_X + 5, y)])
    path = tmp_path_factory.mktemp("roads") / "roads.gpkg"
    frame = gpd.GeoDataFrame(
        {"ref": ["R1"], "label": ["High Street"], "wide": [1.0]}, geometry=[line]
    )
    frame.set_crs(UTM).to_file(path, driver="GPKG")
    return path


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """An API with a home and a database of this one test."""
    return Settings(home=tmp_path / "home", database_url=SecretStr(database_url))


@pytest.fixture
def cli(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cli]:
    """The command line, pointed at a running API by its environment."""
    with serving(settings) as client:
        monkeypatch.setenv("PAVEMAP_SERVER", str(client.base_url))
        yield Cli()


@pytest.fixture
def worker(settings: Settings, engine: Engine) -> Iterator[None]:
    """A worker that surveys whatever is run, its detector being that dark is crack."""
    stop = threading.Event()
    work = CellWorker(
        engine,
        storage=Storage(settings.storage_location),
        detect_with=lambda _: dark,
        name="test",
        rules=WORK_RULES,
        stop=stop,
    )

    def run() -> None:
        while not stop.is_set():
            if not work.run_once():
                stop.wait(0.1)

    thread = threading.Thread(target=run, name="worker")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
