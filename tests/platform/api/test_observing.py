"""What an operator sees of the API: metrics, ids in logs and answers, probes that never hang."""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, text

from api_world import World, serving, tile
from pavemap.geo.errors import Unavailable
from pavemap.geo.logs import configure_logs
from pavemap.geo.store import cells, leases
from pavemap.geo.store.engine import database
from pavemap.platform.api.probe import Probe
from pavemap.platform.settings import Settings

Figures = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What pavemap logs, as JSON lines."""
    logger = logging.getLogger("pavemap")
    names = ("pavemap", "uvicorn", "uvicorn.access")
    before = {
        name: (each.handlers[:], each.level, each.propagate)
        for name in names
        for each in [logging.getLogger(name)]
    }
    configure_logs(level="INFO", as_json=True)
    stream = io.StringIO()
    (handler,) = logger.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    yield stream
    for name, (handlers, level, propagate) in before.items():
        each = logging.getLogger(name)
        each.handlers[:], each.level, each.propagate = handlers, level, propagate


def figures(client: httpx.Client) -> Figures:
    """Every sample by its name and its labels' values."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_and_uploads_are_counted_by_route(world: World) -> None:
    content = tile(world.folder)
    before = figures(world.client)
    assert world.put("tile.tif", content).status_code == 201
    world.client.get("/nowhere/1")
    world.client.get("/nowhere/2")
    after = figures(world.client)

    def grown(name: str, *labels: str) -> float:
        return after[name, labels] - before.get((name, labels), 0.0)

    route = "/surveys/{survey_id}/orthophotos/{name:any_text}"
    assert grown("pavemap_http_requests_total", "PUT", route, "201") == 1
    assert grown("pavemap_http_requests_total", "GET", "unmatched", "404") == 2
    assert grown("pavemap_http_request_seconds_count", "PUT", route) == 1
    assert grown("pavemap_upload_bytes_total") == len(content)


def test_the_work_in_the_database_is_counted(world: World, engine: Engine) -> None:
    assert world.put("tile.tif", tile(world.folder)).status_code == 201
    total = world.client.post(f"{world.survey_url}/run").json()["total"]
    assert total > 0
    with database(engine) as connection:
        (claimed,) = leases.claim(connection, worker="one", lease_s=60.0)
        assert cells.fail(connection, claimed=claimed, worker="one", error="dark", max_attempts=1)
    found = figures(world.client)
    states = ("waiting", "leased", "failed")
    counts = {state: found["pavemap_cells", (state,)] for state in states}
    assert counts == {"waiting": total - 1, "leased": 0, "failed": 1}
    assert found["pavemap_surveys", ("running",)] == 1
    assert found["pavemap_surveys", ("done",)] == 0
    assert (found["pavemap_cells_oldest_waiting_seconds", ()] > 0) == (total > 1)


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        ("state IN ('waiting', 'leased')", "ix_cell_open"),
        ("state = 'leased'", "ix_cell_lease"),
        ("state = 'failed'", "ix_cell_failed"),
    ],
)
def test_cells_are_counted_in_an_index(engine: Engine, condition: str, index: str) -> None:
    def plan(connection: Connection) -> str:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        rows = connection.execute(text(f"EXPLAIN SELECT count(*) FROM cell WHERE {condition}"))
        return "\n".join(row[0] for row in rows)

    with database(engine) as connection:
        assert index in plan(connection)


def test_one_id_follows_an_upload_through_the_log(world: World, lines: io.StringIO) -> None:
    answer = world.put("tile.tif", tile(world.folder), headers={"X-Request-ID": "from-client.1"})
    assert answer.headers["x-request-id"] == "from-client.1"
    assert world.client.post(f"{world.survey_url}/run").status_code == 202
    told = [json.loads(line) for line in lines.getvalue().splitlines()]
    upload = [line for line in told if line.get("request_id") == "from-client.1"]
    assert len(upload) >= 2, "one when it is stored, one when it is answered"
    for line in upload:
        assert (line["survey_id"], line["orthophoto"]) == (world.survey_id, "tile.tif")
    runs = [line for line in told if line["survey_id"] == world.survey_id and line not in upload]
    assert any("planned" in line["message"] for line in runs)


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ü", '"}'])
def test_an_id_that_could_forge_a_line_is_replaced(client: httpx.Client, given: str) -> None:
    headers = [(b"x-request-id", given.encode())]
    answer = client.get("/healthz", headers=headers)
    assert len(answer.headers["x-request-id"]) == 32


def test_a_question_that_hangs_is_asked_once_and_left(tmp_path: Path) -> None:
    release, asked = threading.Event(), []

    def hang() -> str:
        asked.append(1)
        release.wait(120)
        return "well"

    probe = Probe(hang, subject="the disk", limit_s=0.05)
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"the disk did not answer within 0\.05 s"):
            probe.answer()
    assert len(asked) == 1
    release.set()
    patient = Probe(lambda: "well", subject="the disk", limit_s=60, keep_s=60)
    assert patient.answer() == "well"


def test_with_a_database_that_never_answers_probes_and_metrics_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://pavemap:hush@127.0.0.1:{silent.getsockname()[1]}/roads"
        settings = Settings(home=tmp_path / "home", database_url=SecretStr(url))
        with serving(settings) as client:
            assert client.get("/healthz").status_code == 200
            refused = client.get("/readyz")
            assert refused.status_code == 503
            assert "hush" not in refused.text
            names = {name for name, _ in figures(client)}
    assert "pavemap_http_requests_total" in names
    assert not any(name.startswith(("pavemap_cells", "pavemap_surveys")) for name in names)
