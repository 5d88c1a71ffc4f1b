"""`pavemap up` and the demo with all their processes: they start, mend themselves, and end wholly."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import httpx
import psutil
import pytest

from pavemap.geo.errors import Conflict
from pavemap.platform.settings import Settings
from pavemap.platform.stack import Stack

PAVEMAP = str(Path(sys.executable).parent / "pavemap")
EXAMPLES = Path(__file__).parents[2] / "examples" / "street"

pytestmark = pytest.mark.ray


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings of a stack on free ports, in a home of its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PAVEMAP_")}
    return {
        **own,
        "PAVEMAP_HOME": str(tmp_path / "home"),
        "PAVEMAP_API_PORT": "0",
        "PAVEMAP_SERVE_PORT": "0",
    }


def alive_below(home: Path) -> list[str]:
    """Command lines of processes that name a folder, by name or in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            home_of = process.environ().get("PAVEMAP_HOME", "")
        except psutil.Error:
            continue
        if str(home) in " ".join(command) or home_of == str(home):
            found.append(" ".join(command))
    return found


@pytest.mark.timeout(600)
def test_up_runs_everything_mends_it_and_ends_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with (tmp_path / "up.log").open("w") as errors:
        command = [PAVEMAP, "up", "--json"]
        up = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    with up:
        try:
            assert up.stdout is not None
            said = up.stdout.readline()
            assert said, (tmp_path / "up.log").read_text()
            ready = json.loads(said)
            assert ready["state"] == "ready"
            assert httpx.get(f"{ready['api']}/readyz").is_success
            assert httpx.get(f"{ready['detector']}/healthz", timeout=30).is_success

            # A second one in the same home would fight over the database: it is refused.
            with pytest.raises(Conflict, match="already runs"):
                Stack(Settings(home=home)).__enter__()

            parts = psutil.Process(up.pid).children()
            next(part for part in parts if "uvicorn" in part.cmdline()).kill()
            wait_for(lambda: "starting it again" in (tmp_path / "up.log").read_text())
            wait_for(lambda: answers(f"{ready['api']}/readyz"))

            server = (home / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
            os.kill(int(server), signal.SIGINT)  # a fast shutdown
            wait_for(lambda: "PostGIS ended" in (tmp_path / "up.log").read_text())
            wait_for(lambda: answers(f"{ready['api']}/readyz"))

            up.send_signal(signal.SIGTERM)
            assert up.wait(timeout=90) == 0
        finally:
            up.kill()
    wait_for(lambda: alive_below(home) == [])


@pytest.mark.timeout(600)
def test_the_demo_surveys_for_real(environment: dict[str, str], tmp_path: Path) -> None:
    """Two of the example's tiles, so that it does not take long; `make demo` takes all of them."""
    examples = tmp_path / "examples"
    examples.mkdir()
    for name in ("tile_03.tif", "tile_04.tif", "roads.gpkg"):
        shutil.copy(EXAMPLES / name, examples)

    done = subprocess.run(
        [PAVEMAP, "demo", "--examples", str(examples), "-o", str(tmp_path / "demo"), "--json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    cracks = gpd.read_file(tmp_path / "demo" / "cracks.gpkg", layer="cracks")
    assert len(cracks) == said["summary"]["crack_count"] > 10
    # Two tiles of 4.6 m that overlap by half a metre, on 3.1 m of pavement.
    assert said["summary"]["imaged_m2"] == pytest.approx(26.5, abs=1.5)
    assert (tmp_path / "demo" / "map.png").stat().st_size > 100_000
    wait_for(lambda: alive_below(tmp_path / "home") == [])


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.HTTPError:
        return False


def wait_for(condition: Callable[[], bool], *, limit_s: float = 120.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.5)
