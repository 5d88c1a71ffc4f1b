"""Training on a real Ray cluster: submitted once, followed, cancelled, and its loss reported."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from api_world import API, serving
from pavemap.geo.errors import BadInput, Conflict, NotFound
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import database
from pavemap.geo.store.model_versions import get_model
from pavemap.geo.store.training_jobs import TrainingJobRow, record_job
from pavemap.platform.errors import ClusterAway
from pavemap.platform.jobs import OVER, JobReport, RayJobs, TrainingJobs, job_id
from pavemap.platform.jobs.ray_jobs import CALLS_AT_ONCE, _is_ours
from pavemap.platform.jobs.training_jobs import BEING_STOPPED
from pavemap.platform.models import promote_model
from pavemap.platform.settings import Settings
from pavemap.serving.listening import free_port
from pavemap.training.config import TrainConfig, parse_config
from pavemap.training.data_source import DataSource
from pavemap.training.models.model_store import ModelStore
from pavemap.training.models.shipped_models import default_card
from ray_cluster import Cluster, ray_cluster
from training.drawing import write_set

pytestmark = [
    pytest.mark.timeout(600),
    # Ray 2.60 hands aiohttp an argument that aiohttp 3.14 would rather have otherwise.
    pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning"),
]


def config_of(tmp_path: Path, *, name: str = "tiny", iterations: int = 2) -> TrainConfig:
    return TrainConfig(
        name=name,
        output=tmp_path / name,
        data=(DataSource(folder=tmp_path / "set", list="train"),),
        iterations=iterations,
        batch_size=8,
        report_every=1,
    )


def over(jobs: TrainingJobs, name: str, *, within_s: float = 200.0) -> TrainingJobRow:
    end = time.monotonic() + within_s
    while (job := jobs.get(name)).state not in OVER:
        assert time.monotonic() < end, f"{job} after {within_s} s: {jobs.logs(name)}"
        time.sleep(1.0)
    return job


async def followed(jobs: TrainingJobs, name: str) -> str:
    return "".join([text async for text in jobs.follow(name)])


def test_the_same_configuration_has_the_same_id(tmp_path: Path) -> None:
    one, other = config_of(tmp_path), config_of(tmp_path)
    assert job_id(one) == job_id(other)
    assert job_id(one) == job_id(one.model_copy(update={"ray_address": "10.0.0.1:6379"}))
    assert job_id(one) != job_id(one.model_copy(update={"seed": 1}))


def test_what_is_left_at_its_default_has_no_part_in_the_id(tmp_path: Path) -> None:
    """So a version with more options starts no job twice."""
    plain = config_of(tmp_path)
    assert job_id(plain) == job_id(parse_config(plain.model_dump(mode="json")))
    said = parse_config({**plain.model_dump(mode="json", exclude_defaults=True), "notes": ""})
    assert job_id(said) == job_id(plain)


class Deaf(RayJobs):
    """A cluster that takes every job, and whose answers to that are lost."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1")
        self.jobs: dict[str, JobReport] = {}

    def start(self, config: TrainConfig) -> tuple[JobReport, bool]:
        self.jobs[job_id(config)] = JobReport(
            id=job_id(config),
            state="running",
            message="",
            config=config.model_dump(mode="json"),
            submitted_at=None,
            finished_at=None,
        )
        raise ClusterAway("no answer")

    def find(self, job_id: str) -> JobReport | None:
        return self.jobs.get(job_id)

    def stop(self, job_id: str) -> JobReport | None:
        self.jobs[job_id] = replace(self.jobs[job_id], state="stopped")
        return self.jobs[job_id]


def test_a_job_that_was_sent_again_is_asked_for_though_the_answer_was_lost(
    engine: Engine, tmp_path: Path
) -> None:
    jobs, config = TrainingJobs(engine, Deaf()), config_of(tmp_path)
    name = job_id(config)
    with database(engine) as connection:
        record_job(
            connection,
            id=name,
            backend="ray",
            config=config.model_dump(mode="json"),
            state="failed",
            message="",
            submitted_at=None,
            finished_at=None,
        )
    with pytest.raises(ClusterAway):
        jobs.submit(config)
    assert jobs.get(name).state == "running"
    other = config.model_copy(update={"notes": "mended"})
    with pytest.raises(Conflict, match=f"{name} is at work in .*; cancel it"):
        jobs.submit(other)
    assert jobs.cancel(name).state == "stopped"
    with pytest.raises(ClusterAway):
        jobs.submit(other)


class Willing(Deaf):
    """A cluster that answers; somebody looks at the list of jobs while it does."""

    def __init__(self, engine: Engine, *, message: str = "") -> None:
        super().__init__()
        self.message = message
        self.others = TrainingJobs(engine, self)

    def start(self, config: TrainConfig) -> tuple[JobReport, bool]:
        with pytest.raises(ClusterAway):
            super().start(config)
        report = replace(self.jobs[job_id(config)], message=self.message)
        self.jobs[report.id] = report
        assert report.id in [job.id for job in self.others.list()]
        return report, True

    def all(self) -> list[JobReport]:
        return list(self.jobs.values())


def test_a_job_is_counted_once_though_somebody_lists_it_while_it_is_handed_over(
    engine: Engine, tmp_path: Path
) -> None:
    cluster, config = Willing(engine), config_of(tmp_path)
    jobs = TrainingJobs(engine, cluster)
    assert jobs.submit(config)[0].submissions == 1
    cluster.stop(job_id(config))
    job, started = jobs.submit(config)
    assert (started, job.submissions, jobs.get(job.id).submissions) == (True, 2, 2)


class Slow(Willing):
    """A cluster where a job that is told to stop runs on for a while, as Ray's do."""

    def stop(self, job_id: str) -> JobReport | None:
        return self.jobs[job_id]

    def end(self, job_id: str) -> None:
        super().stop(job_id)


def test_a_job_that_is_being_stopped_is_not_taken_for_one_that_runs(
    engine: Engine, tmp_path: Path
) -> None:
    cluster, config = Slow(engine), config_of(tmp_path)
    jobs, name = TrainingJobs(engine, cluster), job_id(config)
    jobs.submit(config)
    cancelled = jobs.cancel(name)
    assert (cancelled.state, cancelled.message) == ("running", BEING_STOPPED)
    assert [job.message for job in jobs.list()] == [jobs.get(name).message] == [BEING_STOPPED]
    with pytest.raises(Conflict, match="is being stopped; send it again in a moment"):
        jobs.submit(config)
    cluster.end(name)
    job, started = jobs.submit(config)
    assert (started, job.state, job.submissions, job.message) == (True, "running", 2, "")
    assert jobs.get(name).message == ""


def test_a_configuration_that_fits_no_command_line_is_refused(
    engine: Engine, tmp_path: Path
) -> None:
    jobs, config = TrainingJobs(engine, Willing(engine)), config_of(tmp_path)
    for notes in ("n" * 100_000, "'" * 25_000):  # a quote in quotes takes five characters
        with pytest.raises(BadInput, match="shorten its texts"):
            jobs.submit(config.model_copy(update={"notes": notes}))
    assert list(jobs.list()) == []
    assert jobs.submit(config.model_copy(update={"notes": "n" * 90_000}))[1]


def test_what_a_cluster_says_is_kept_though_no_database_takes_such_text(
    engine: Engine, tmp_path: Path
) -> None:
    jobs = TrainingJobs(engine, Willing(engine, message="torn\x00 log \ud800"))
    jobs.submit(config_of(tmp_path))
    assert [job.message for job in jobs.list()] == ["torn log ?"]


def test_an_answer_from_before_a_job_was_sent_again_is_dropped(
    engine: Engine, tmp_path: Path
) -> None:
    cluster, config = Willing(engine), config_of(tmp_path)
    jobs = TrainingJobs(engine, cluster)
    jobs.submit(config)
    before = jobs.get(job_id(config))
    cluster.stop(before.id)
    assert jobs.get(before.id).state == "stopped"
    jobs.submit(config)
    with database(engine) as connection:
        late = record_job(
            connection,
            id=before.id,
            backend="ray",
            config=before.config,
            state="stopped",
            message="",
            submitted_at=None,
            finished_at=None,
            after=before,
        )
    assert (late.state, late.submissions) == ("running", 2)


def test_when_a_lost_job_was_last_seen_does_not_change_by_asking(
    engine: Engine, tmp_path: Path
) -> None:
    cluster, config = Willing(engine), config_of(tmp_path)
    jobs = TrainingJobs(engine, cluster)
    name = jobs.submit(config)[0].id
    cluster.jobs.clear()
    lost = jobs.get(name)
    assert lost.state == "lost"
    assert (jobs.get(name), jobs.list()) == (lost, [lost])


def test_other_jobs_of_the_same_cluster_are_none_of_ours() -> None:
    def details(name: str, **metadata: str) -> SimpleNamespace:
        return SimpleNamespace(submission_id=name, metadata=metadata or None)

    own = details("train-0123456789abcdef", pavemap="training", config="{}")
    others = [
        details("train-resnet", config="conf/a.yaml"),
        details("train-0123456789abcdef"),
        details("train-resnet", pavemap="training", config="{}"),
        SimpleNamespace(submission_id=None, metadata=None),
    ]
    assert [_is_ours(each) for each in [own, *others]] == [True, False, False, False, False]


def test_a_cluster_that_is_away_is_told_with_advice(engine: Engine, tmp_path: Path) -> None:
    jobs = TrainingJobs(engine, RayJobs(f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(ClusterAway, match=r"start one \(pavemap up"):
        jobs.submit(config_of(tmp_path))
    with pytest.raises(ClusterAway, match="no Ray cluster answers"):
        jobs.get("train-0123456789abcdef")
    assert list(jobs.list()) == []


class Hanging(ThreadingHTTPServer):
    """A dashboard that says its version, and nothing more until it is let go."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), HangingHandler)
        self.asked, self.let_go = threading.Semaphore(0), threading.Event()


class HangingHandler(BaseHTTPRequestHandler):
    server: Hanging

    def do_GET(self) -> None:
        body = b'{"ray_version": "2.60.0"}'
        if self.path != "/api/version":
            body = b""
            self.server.asked.release()
            self.server.let_go.wait(30.0)
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    with Hanging() as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield server
        server.let_go.set()
        server.shutdown()
        serving.join()


def test_a_dashboard_that_hangs_counts_as_away(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pavemap.platform.jobs.ray_client.REPLY_S", 0.5)
    with pytest.raises(ClusterAway, match="no Ray cluster answers"):
        RayJobs(f"http://127.0.0.1:{hanging.server_port}").find("train-0123456789abcdef")


def test_a_dashboard_that_hangs_holds_a_few_callers_only(hanging: Hanging) -> None:
    jobs, name = RayJobs(f"http://127.0.0.1:{hanging.server_port}"), "train-0123456789abcdef"
    with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
        held = [pool.submit(jobs.find, name) for _ in range(CALLS_AT_ONCE)]
        for _ in held:
            assert hanging.asked.acquire(timeout=60.0)
        with pytest.raises(ClusterAway, match="requests wait for it already"):
            jobs.find(name)
        hanging.let_go.set()
        assert [one.result() for one in held] == [None] * CALLS_AT_ONCE
    assert jobs.find(name) is None, "whoever has its answer makes room"


def test_the_token_is_looked_for_where_it_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    settings = Settings(home=tmp_path)
    assert RayJobs.configured(settings).token_file == tmp_path / "ray" / "ray_token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/run/ray/token")
    assert RayJobs.configured(settings).token_file == Path("/run/ray/token")
    named = Settings(home=tmp_path, ray_token_file=tmp_path / "other")
    assert RayJobs.configured(named).token_file == tmp_path / "other"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the cluster's jobs know of the platform: its storage, and its database's URL."""
    return tmp_path_factory.mktemp("platform")


@pytest.fixture(scope="module")
def cluster(platform: Path) -> Iterator[Cluster]:
    variables = {
        "PAVEMAP_DATABASE_URL_FILE": str(platform / "database"),
        "PAVEMAP_STORAGE_URL": str(platform / "storage"),
        "PAVEMAP_MODEL_CACHE": str(platform / "cache"),
    }
    with ray_cluster(variables=variables) as cluster:
        yield cluster


@pytest.fixture
def jobs(cluster: Cluster, platform: Path, database_url: str, engine: Engine) -> TrainingJobs:
    (platform / "database").write_text(database_url)
    return TrainingJobs(engine, RayJobs(cluster.url, token_file=cluster.token_file))


@pytest.mark.ray
def test_another_token_is_refused_with_advice(cluster: Cluster) -> None:
    with pytest.raises(ClusterAway, match="PAVEMAP_RAY_TOKEN_FILE"):
        RayJobs(cluster.url).find("train-0123456789abcdef")


@pytest.mark.ray
def test_an_unknown_job_is_not_found(jobs: TrainingJobs) -> None:
    for name in ("train-0123456789abcdef", "raysubmit_x", "../jobs"):
        with pytest.raises(NotFound, match="no training job"):
            jobs.get(name)


@pytest.mark.ray
def test_a_job_that_the_cluster_forgot_is_lost_and_listed(jobs: TrainingJobs) -> None:
    name = "train-0123456789abcdef"
    with database(jobs.engine) as connection:
        record_job(
            connection,
            id=name,
            backend="ray",
            config={"name": "tiny"},
            state="running",
            message="",
            submitted_at=None,
            finished_at=None,
        )
    assert jobs.get(name).state == "lost"
    assert [(job.id, job.state) for job in jobs.list()] == [(name, "lost")]
    with pytest.raises(Conflict, match="nothing to cancel"):
        jobs.cancel(name)


@pytest.mark.ray
def test_a_configuration_trains_once_and_ends_as_a_model_version_beside_the_one_in_use(
    jobs: TrainingJobs, platform: Path, tmp_path: Path
) -> None:
    write_set(tmp_path / "set")
    test = DataSource(folder=tmp_path / "set", list="test")
    config = config_of(tmp_path).model_copy(update={"tests": (test,)})
    job, started = jobs.submit(config)
    assert started
    assert job.id == job_id(config)
    again, started = jobs.submit(config)
    assert (again.id, started) == (job.id, False)

    log = asyncio.run(followed(jobs, job.id))
    ended = over(jobs, job.id)
    assert ended.state == "succeeded", log
    assert ended.config["name"] == "tiny"
    result = json.loads(log.strip().splitlines()[-1])
    assert Path(result["model"]).joinpath("weights.safetensors").is_file()
    with database(jobs.engine) as connection:
        version = get_model(connection, result["model_id"])
        with pytest.raises(Conflict, match="less in F1"):
            promote_model(connection, version.id, ModelStore(Storage(str(platform / "storage"))))
    scores = version.card["metrics"]
    assert [score["data"] for score in scores["tests"]] == ["set/test"]
    assert scores["in_use"]["model"] == default_card().model_id
    assert scores["in_use"]["tests"][0]["mean"]["f1"] > scores["tests"][0]["mean"]["f1"]
    assert jobs.logs(job.id).strip().endswith(log.strip().splitlines()[-1])
    assert [each.id for each in jobs.list()] == [job.id]

    assert jobs.submit(config)[1] is False, "what has succeeded is not trained again"
    with pytest.raises(Conflict, match="nothing to cancel"):
        jobs.cancel(job.id)


@pytest.mark.ray
def test_a_failed_job_says_why_and_can_be_sent_again(jobs: TrainingJobs, tmp_path: Path) -> None:
    config = config_of(tmp_path, name="without-data")
    job, _ = jobs.submit(config)
    assert over(jobs, job.id).state == "failed"
    assert "images" in jobs.logs(job.id)
    again, started = jobs.submit(config)
    assert (again.id, started) == (job.id, True)
    assert over(jobs, job.id).state == "failed"


@pytest.mark.ray
def test_a_cancelled_job_stops(jobs: TrainingJobs, tmp_path: Path) -> None:
    write_set(tmp_path / "set")
    job, _ = jobs.submit(config_of(tmp_path, name="endless", iterations=10_000_000))
    jobs.cancel(job.id)
    assert over(jobs, job.id).state == "stopped"


@pytest.mark.ray
def test_a_job_is_sent_followed_and_cancelled_over_http(
    cluster: Cluster, jobs: TrainingJobs, database_url: str, tmp_path: Path
) -> None:
    write_set(tmp_path / "set")
    settings = Settings(
        home=tmp_path / "home",
        database_url=SecretStr(database_url),
        ray_jobs_url=cluster.url,
        ray_token_file=cluster.token_file,
    )
    config = config_of(tmp_path, name="over-http", iterations=10_000_000)
    with serving(settings) as client:
        url = f"{API}/training-jobs"
        sent = client.post(url, json=config.model_dump(mode="json"))
        again = client.post(url, json=config.model_dump(mode="json"))
        assert (sent.status_code, again.status_code) == (201, 200), sent.text + again.text
        job = sent.json()
        assert job["id"] == again.json()["id"] == job_id(config)
        assert job["config"]["name"] == "over-http"
        assert job["id"] in [each["id"] for each in client.get(url).json()]

        with client.stream("GET", f"{url}/{job['id']}/metrics", params={"follow": True}) as figures:
            assert figures.headers["content-type"].startswith("application/x-ndjson")
            lines = figures.iter_lines()
            told = [json.loads(next(lines)) for _ in range(3)]  # while it runs: it has no end
        assert [each["iteration"] for each in told] == [1, 2, 3]
        heard = ""
        with client.stream("GET", f"{url}/{job['id']}/logs", params={"follow": True}) as log:
            assert log.status_code == 200
            assert log.headers["content-type"].startswith("text/plain")
            for text in log.iter_text():  # what is heard before the cancelling came while it ran
                if "loss" in text and not heard:
                    heard = text
                    assert client.get(f"{url}/{job['id']}").json()["state"] == "running"
                    cancelled = client.delete(f"{url}/{job['id']}")
                    assert cancelled.status_code == 200
        assert heard
        assert heard.strip().splitlines()[0] in client.get(f"{url}/{job['id']}/logs").text
        metrics = client.get(f"{url}/{job['id']}/metrics").json()
        assert metrics[0]["iteration"] == 1
        assert metrics[0]["loss"] > 0
        assert over(jobs, job["id"]).state == "stopped"
        assert client.delete(f"{url}/{job['id']}").status_code == 409
        for path in ("train-0000000000000000", "train-0000000000000000/logs", "raysubmit_1"):
            assert client.get(f"{url}/{path}").status_code == 404


@pytest.mark.ray
def test_a_cluster_lost_in_the_middle_is_reported(
    cluster: Cluster, jobs: TrainingJobs, tmp_path: Path
) -> None:
    write_set(tmp_path / "set")
    job, _ = jobs.submit(config_of(tmp_path, name="cut-short", iterations=10_000_000))

    async def follow_and_kill() -> str:
        heard = ""
        async for text in jobs.follow(job.id):
            if not heard:
                cluster.kill()
            heard += text
        return heard

    assert "no Ray cluster answers" in asyncio.run(asyncio.wait_for(follow_and_kill(), 120))
    seen = jobs.get(job.id)
    assert seen.state in {"pending", "running"}
    assert "last seen" in seen.message
    assert "never started twice" in seen.message
    with pytest.raises(ClusterAway):
        jobs.cancel(job.id)
