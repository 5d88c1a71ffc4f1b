"""What the chart would have run, run here: migrations, API, Serve, the test survey and a training.

Commands, environment and configurations are those of the rendered chart; only folders, ports and the
interpreter are this machine's. One Ray cluster serves all of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import psycopg
import pytest
import yaml

from helm_chart import (
    API_FIGURES,
    NORM,
    RAY_FIGURES,
    TRIAL,
    Object,
    only,
    pod_specs,
    rayjob_template,
    render,
    serve_config,
)
from pavemap.geo.store.engine import make_engine
from pavemap.geo.store.schema import is_current
from pavemap.platform.jobs.rayjob import make_rayjob
from pavemap.serving.args import ServingArgs
from pavemap.serving.listening import free_port
from pavemap.training.config import TrainConfig
from pavemap.training.data_source import DataSource
from ray_cluster import Cluster, ray_cluster
from training.drawing import write_set

pytestmark = [pytest.mark.timeout(900)]

WITHIN_S = 300.0
"""Generous: nothing here is a matter of speed."""

INSTALL = TRIAL.with_values(
    # A Detector that starts with the first chip, as in a GPU group of no nodes.
    "serving.detectors.min=0",
    "serving.args.poll_s=1",
    "training.backend=kubernetes",
)


@dataclass(frozen=True)
class Place:
    """Where on this machine the folders of the pods are, and what their Secrets hold."""

    folder: Path
    database_url: str

    def environment(self, container: Object) -> dict[str, str]:
        """Return a container's environment; of ours only what finds programs is left."""
        found = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        found["PATH"] = f"{Path(sys.executable).parent}:{found['PATH']}"
        found["HOME"] = "/proc/nowhere"  # as on a root file system that nobody may write
        for variable in container.get("env", []):
            if variable["name"] == "NUMBA_CACHE_DIR":
                continue  # what this machine has compiled is compiled
            if "valueFrom" in variable:
                assert variable["name"] == "PAVEMAP_DATABASE_URL"
                found[variable["name"]] = self.database_url
            else:
                found[variable["name"]] = self.path(variable["value"])
        return found

    def path(self, text: str) -> str:
        """Return a path of a pod as one of this machine."""
        roots = ("/tmp", "/storage", "/training", "/run/pavemap", "/etc/pavemap")
        mounted = any(text == root or text.startswith(f"{root}/") for root in roots)
        return f"{self.folder}{text}" if mounted else text

    def command(self, container: Object, **replaced: str) -> list[str]:
        """Return a container's command with this machine's interpreter, and options replaced."""
        words = [*container["command"], *container.get("args", [])]
        known = {
            "python": sys.executable,
            "pavemap": str(Path(sys.executable).with_name("pavemap")),
        }
        words[0] = known[words[0]]
        for option, value in replaced.items():
            (index,) = [i for i, word in enumerate(words) if word.startswith(f"--{option}=")]
            words[index] = f"--{option}={value}"
        return words


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return render(INSTALL)


@pytest.fixture(scope="module")
def api_pod(objects: list[Object]) -> Object:
    pod: Object = only(objects, "Deployment")["spec"]["template"]["spec"]
    return pod


@pytest.fixture(scope="module")
def place(postgres_url: str, objects: list[Object]) -> Iterator[Place]:
    """The volumes of the pods, and an empty PostGIS."""
    folder = Path(tempfile.mkdtemp(prefix="pod-", dir="/tmp"))  # sockets need a short path
    name = f"chart_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    url = f"{postgres_url.rsplit('/', 1)[0]}/{name}"
    for mounted in ("tmp", "storage", "training", "run/pavemap/database", "etc/pavemap"):
        (folder / mounted).mkdir(parents=True)
    (folder / "run/pavemap/database/url").write_text(f"{url}\n")
    (folder / "etc/pavemap/rayjob.yaml").write_text(yaml.safe_dump(rayjob_template(objects)))
    yield Place(folder, url)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def migrated(place: Place, api_pod: Object) -> Place:
    """The database after two replicas started at once."""
    (init,) = api_pod["initContainers"]
    both = [
        subprocess.Popen(
            place.command(init),
            env=place.environment(init),
            cwd=place.folder,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in both:
        _, errors = process.communicate(timeout=WITHIN_S)
        assert process.returncode == 0, errors
    return place


@pytest.fixture(scope="module")
def api(migrated: Place, api_pod: Object) -> Iterator[str]:
    """The API as its container starts it."""
    (container,) = api_pod["containers"]
    port = free_port()
    log = migrated.folder / "api.log"
    with log.open("wb") as sink:
        process = subprocess.Popen(
            migrated.command(container, host="127.0.0.1", port=str(port)),
            env=migrated.environment(container),
            cwd=migrated.folder,
            stdout=sink,
            stderr=sink,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        probe = container["readinessProbe"]["httpGet"]["path"]
        wait(lambda: answers(url + probe), unless=lambda: ended(process, log))
        yield url
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=60)
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def cluster(migrated: Place) -> Iterator[Cluster]:
    """Ray, with the environment of the chart's workers."""
    workers = {where: pod for where, pod in pod_specs(render(INSTALL)) if where.endswith(" cpu")}
    ((worker,),) = [pod["containers"] for pod in workers.values()]
    with only_environment(migrated.environment(worker)), ray_cluster(cpus=4) as started:
        yield started
        started.kill()  # an orderly end would take its time, and is tested elsewhere


@pytest.fixture(scope="module")
def training(objects: list[Object], cluster: Cluster, migrated: Place) -> str:
    """The URL of a training whose entrypoint went through a shell, as the submitter's does, and to Ray."""
    folder = migrated.folder / "training"
    write_set(folder / "set")
    config = TrainConfig(
        name="chart",
        output=folder / "chart",
        data=(DataSource(folder=folder / "set", list="train"),),
        iterations=2,
        batch_size=8,
        report_every=1,
    )
    job = make_rayjob(rayjob_template(objects), config)
    words = subprocess.run(
        ["bash", "-c", f"printf '%s ' {job['spec']['entrypoint']}"],
        capture_output=True,
        text=True,
        check=True,
    )
    url, name = f"{cluster.url}/api/jobs/", str(job["metadata"]["name"])
    sent = httpx.post(
        url,
        json={"entrypoint": words.stdout.strip(), "submission_id": name},
        headers=token(cluster),
        timeout=60,
    )
    assert sent.is_success, sent.text
    return url + name


@pytest.fixture(scope="module")
def serve_url(cluster: Cluster, training: str) -> str:
    """Serve, told what KubeRay would tell it, in the way that KubeRay does; a training runs beside it."""
    config = serve_config(INSTALL)
    port = free_port()
    assert config["http_options"] == {"host": "0.0.0.0", "port": 8000}
    config["http_options"] = {"host": "127.0.0.1", "port": port}
    url = f"{cluster.url}/api/serve/applications/"
    answer = httpx.put(url, json=config, headers=token(cluster), timeout=60)
    assert answer.is_success, answer.text

    def status() -> dict[str, Any]:
        found = httpx.get(url, headers=token(cluster), timeout=60).json()["applications"]
        state: dict[str, Any] = found.get("pavemap", {})
        assert state.get("status") != "DEPLOY_FAILED", state
        return state

    wait(lambda: status().get("status") == "RUNNING")
    assert status()["deployments"]["Detector"]["replicas"] == [], "no chip, no Detector"
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def surveyed(
    objects: list[Object], migrated: Place, api: str, serve_url: str
) -> subprocess.CompletedProcess[str]:
    """What the pod of `helm test` did, with this API in place of the Service."""
    (container,) = only(objects, "Pod")["spec"]["containers"]
    service = only(objects, "Service", "-api")["metadata"]["name"]
    command = migrated.command(container)
    assert command[-2:] == ["--server", f"http://{service}"]
    return subprocess.run(
        [*command[:-1], api, f"--patience-s={WITHIN_S}"],
        env=migrated.environment(container),
        cwd=migrated.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_two_migrations_at_once_end_well(migrated: Place) -> None:
    engine = make_engine(migrated.database_url)
    assert is_current(engine)
    engine.dispose()


def test_the_arguments_are_those_of_the_application() -> None:
    for install in (NORM, INSTALL):
        (application,) = serve_config(install)["applications"]
        ServingArgs.model_validate(application["args"])


@pytest.mark.ray
def test_the_first_chip_starts_a_detector_which_finds_the_crack(serve_url: str) -> None:
    rng = np.random.default_rng(0)
    chip = np.repeat(rng.normal(140, 18, (320, 320, 1)).clip(0, 255).astype(np.uint8), 3, axis=2)
    path = np.column_stack([np.arange(20, 300, 20), 160 + np.cumsum(rng.normal(0, 9, 14))])
    line = np.round(path).astype(np.int32)[:, None, :]
    cv2.polylines(chip, [line], isClosed=False, color=(60, 60, 60), thickness=3)
    done, body = cv2.imencode(".png", chip)
    assert done
    answer = httpx.post(f"{serve_url}/detect", content=body.tobytes(), timeout=WITHIN_S)
    assert answer.status_code == 200, answer.text
    found = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert found is not None
    on_line = np.zeros((320, 320), np.uint8)
    cv2.polylines(on_line, [line], isClosed=False, color=(1,), thickness=1)
    assert (found[on_line > 0] > 127).mean() > 0.5
    assert (found > 127).mean() < 0.1


@pytest.mark.ray
def test_helm_test_surveys_a_drawn_crack(surveyed: subprocess.CompletedProcess[str]) -> None:
    assert surveyed.returncode == 0, surveyed.stderr
    said = json.loads(surveyed.stdout)
    assert said["density_m_per_m2"] == pytest.approx(said["drawn_m_per_m2"], rel=0.4)


def test_the_api_gives_the_figures_that_the_dashboard_asks_for(api: str) -> None:
    figures = httpx.get(f"{api}/metrics", timeout=60).text
    missing = {name for name in API_FIGURES if not re.search(rf"^{name}\b", figures, re.MULTILINE)}
    assert not missing, figures


@pytest.mark.ray
def test_serve_gives_the_figures_that_the_dashboard_asks_for(
    cluster: Cluster, surveyed: subprocess.CompletedProcess[str]
) -> None:
    """They are on each node's metrics port, some seconds after the fact."""
    assert surveyed.returncode == 0, surveyed.stderr
    found = cluster.token_file.parent / "prom_metrics_service_discovery.json"
    places = [place for job in json.loads(found.read_text()) for place in job["targets"]]

    def missing() -> set[str]:
        figures = ""
        for place in places:
            with contextlib.suppress(httpx.HTTPError):  # some of Ray's parts are not running here
                figures += httpx.get(f"http://{place}/metrics", timeout=60).text
        return {name for name in RAY_FIGURES if f"\n{name}{{" not in figures}

    wait(lambda: not missing())


@pytest.mark.ray
def test_a_training_runs_as_its_rayjob_has_it(cluster: Cluster, training: str) -> None:
    def state() -> str:
        return str(httpx.get(training, headers=token(cluster), timeout=60).json()["status"])

    wait(lambda: state() not in {"PENDING", "RUNNING"})
    log = httpx.get(f"{training}/logs", headers=token(cluster), timeout=60).json()["logs"]
    assert state() == "SUCCEEDED", log
    said = json.loads(log.strip().splitlines()[-1])
    assert Path(said["model"], "weights.safetensors").is_file()


def token(cluster: Cluster) -> dict[str, str]:
    return {"Authorization": f"Bearer {cluster.token_file.read_text()}"}


@contextlib.contextmanager
def only_environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """Let this process have an environment, and no other, for what it starts."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=10).is_success
    except httpx.HTTPError:
        return False


def ended(process: subprocess.Popen[bytes], log: Path) -> str:
    return log.read_text() if process.poll() is not None else ""


def wait(done: Callable[[], bool], *, unless: Callable[[], str] = str) -> None:
    """Wait until something is so; fail when it can't be any more, with what it said."""
    end = time.monotonic() + WITHIN_S
    while not done():
        said = unless()
        assert not said, said
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.5)
