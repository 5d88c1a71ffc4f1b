"""The Ray that serving starts: it takes jobs for itself, and serving ends with it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from drawn_surveys import wait_until
from pavemap.serving.local import EXIT_FAILED
from ray_cluster import ray_cluster
from serving_process import ServingProcess

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def serving() -> Iterator[ServingProcess]:
    """A Ray that detects and takes jobs, with another one beside it."""
    folder = Path(tempfile.mkdtemp(prefix="own-", dir="/tmp"))  # Ray's sockets need a short path
    with ray_cluster(cpus=1):
        started = ServingProcess.start(
            folder,
            {"surveyor_replicas": 0, "detector_threads": 1},
            database_url="",
            storage="",
            options=["--dashboard"],
        )
        try:
            yield started
        finally:
            started.kill()
            shutil.rmtree(folder, ignore_errors=True)


def test_a_job_joins_the_ray_that_it_was_handed_to(serving: ServingProcess) -> None:
    own = str(serving.ready["ray_address"])
    noted = serving.log.parent / "ray" / "ray_current_cluster"
    assert noted.read_text() == own
    token = Path(serving.ready["ray_token"]).read_text()
    url = f"{serving.ready['dashboard_url']}/api/jobs/"
    headers = {"Authorization": f"Bearer {token}"}
    job = {"entrypoint": "echo joined $RAY_ADDRESS"}
    sent = httpx.post(url, json=job, headers=headers, timeout=120)
    log = f"{url}{sent.json()['submission_id']}/logs"

    def written() -> str:
        return str(httpx.get(log, headers=headers, timeout=60).json().get("logs", ""))

    wait_until(lambda: "joined" in written(), within_s=120, what="the job has run")
    assert f"joined {own}" in written()


def test_serving_ends_with_its_raylet_so_that_it_is_started_again(serving: ServingProcess) -> None:
    """The last of this module: nothing is left of its serving."""
    family = serving.family()
    (raylet,) = [process for process in family if process.name() == "raylet"]
    raylet.kill()
    assert serving.process.wait(timeout=60) == EXIT_FAILED
    assert "Ray has ended" in serving.log.read_text().splitlines()[-1]
    _, left = psutil.wait_procs(family, timeout=30)
    assert not left
