"""Training jobs from the command line: listed, shown, followed, cancelled."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from cli_world import Cli
from pavemap.platform.cli import jobs
from pavemap.platform.client.api_client import Client

JOB: dict[str, Any] = {
    "id": "train-0123456789abcdef",
    "config": {"name": "old-town"},
    "state": "running",
    "message": "well",
    "submitted_at": "2026-05-04T11:00:00Z",
    "seen_at": "2026-05-04T11:20:00Z",
}
FIGURES = [{"iteration": 5, "loss": 2.5}, {"iteration": 10, "loss": 1.5}]


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a server that knows one job was asked."""
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1/training-jobs")
        seen.append(f"{request.method} {path} {request.url.query.decode()}".strip())
        if path and not path.startswith(f"/{JOB['id']}"):
            return httpx.Response(404, json={"title": "Not Found", "detail": "no such job"})
        if path.endswith("/logs"):
            return httpx.Response(200, text="loss 2.5\nloss 1.5\n")
        if path.endswith("/metrics") and "true" in request.url.query.decode():
            return httpx.Response(200, text="".join(json.dumps(line) + "\n" for line in FIGURES))
        if path.endswith("/metrics"):
            return httpx.Response(200, json=FIGURES)
        state = "stopped" if request.method == "DELETE" else "running"
        job = {**JOB, "state": state}
        return httpx.Response(200, json=job if path else [job])

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(jobs, "connect", lambda server: Client(server, transport=transport))
    return seen


def test_jobs_are_listed_and_shown() -> None:
    listed = Cli()("job", "list").out
    assert all(word in listed for word in (JOB["id"], "old-town", "running"))
    assert Cli()("job", "show", JOB["id"], "--json").json["message"] == "well"
    assert "seen_at" in Cli()("job", "show", JOB["id"]).out


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_log_and_metrics_are_printed(follow: list[str], asked: list[str]) -> None:
    assert Cli()("job", "log", JOB["id"], *follow).out == "loss 2.5\nloss 1.5\n"
    told = Cli()("job", "metrics", JOB["id"], *follow).out
    assert [json.loads(line) for line in told.splitlines()] == FIGURES
    assert ("follow=true" in asked[-1]) is bool(follow)


def test_a_job_is_cancelled(asked: list[str]) -> None:
    assert "stopped" in Cli()("job", "cancel", JOB["id"]).out
    assert asked == [f"DELETE /{JOB['id']}"]


def test_a_job_that_is_not_there_is_told() -> None:
    assert "no such job" in Cli().fails("job", "show", "train-0").err
    assert "no such job" in Cli().fails("job", "log", "train-0").err
