"""A whole survey on a Ray that was there before, its imagery in a bucket; what it logs and counts."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine

import fake_s3
from drawn_surveys import figures, lay_survey, progress, state, wait_until
from pavemap.geo.storage import Storage
from ray_cluster import Cluster, ray_cluster
from scenes import cracked_strip
from serving_process import ServingProcess

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a bucket; every process that is started from here finds it by its environment."""
    command = [sys.executable, fake_s3.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
        yield "s3://surveys/2026"
        server.terminate()


@pytest.fixture
def cluster(bucket: str) -> Iterator[Cluster]:
    with ray_cluster(cpus=3) as cluster:
        yield cluster


def test_a_survey_on_somebody_elses_ray_with_imagery_in_a_bucket(
    cluster: Cluster, bucket: str, engine: Engine, database_url: str, tmp_path: Path
) -> None:
    survey = lay_survey(
        engine,
        storage=Storage(bucket),
        scene=cracked_strip(900, 450),
        folder=tmp_path / "tiles",
        cell_px=512,
    )
    serving = ServingProcess.start(
        tmp_path / "serving",
        {"detector_threads": 2, "surveyor_threads": 2, "log_json": True},
        database_url=database_url,
        storage=bucket,
        variables={"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(cluster.token_file)},
        options=["--ray-address", cluster.address],
    )
    try:
        wait_until(
            lambda: state(engine, survey) in {"done", "failed"},
            within_s=200,
            what=f"the survey is done; it is at {progress(engine, survey)}",
        )
        assert state(engine, survey) == "done"
        assert figures(engine, survey).cracks
        done = progress(engine, survey).cells_total
        # Each replica hands its counts on now and then, so they come bit by bit.
        metric(cluster, "cells_total", lambda found: sum(found.values()) == done)
        for name in ("chips_total", "batch_size_count"):
            metric(cluster, name, lambda found: sum(found.values()) > 0)
        stages = [f'stage="{stage}"' for stage in ("read", "detect", "vectorize", "store")]
        metric(
            cluster,
            "stage_seconds_count",
            lambda found: all(stage in " ".join(found) for stage in stages),
        )
    finally:
        assert serving.stop() == 0
    lines = surveyors_lines(cluster)
    ours = [line for line in lines if line.get("survey_id") == str(survey.id)]
    cells = {line["cell"] for line in ours if "cell" in line}
    assert len(cells) == done
    assert any("measured" in line["message"] for line in ours)
    assert all(line["orthophotos"] for line in ours if line["message"].startswith("cell done"))


def metric(cluster: Cluster, name: str, wanted: Callable[[dict[str, float]], bool]) -> None:
    """Wait until the samples of a metric, by their labels, are as wanted."""
    start = f"ray_pavemap_{name}{{"

    def samples() -> dict[str, float]:
        text = httpx.get(cluster.metrics, timeout=30).text
        lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith(start)]
        return {labels: float(value) for labels, _, value in lines}

    wait_until(lambda: wanted(samples()), within_s=180, what=f"{name} is as it should be")


def surveyors_lines(cluster: Cluster) -> list[dict[str, str]]:
    """The JSON lines that the workers of a cluster have written."""
    files = cluster.folder.glob("session_2*/logs/**/*")
    texts = [path.read_text(errors="replace") for path in files if path.suffix in {".err", ".log"}]
    assert "hush-hush" not in "".join(texts)
    found = [line for text in texts for line in text.splitlines() if line.startswith('{"')]
    return [json.loads(line) for line in found if '"logger"' in line]
