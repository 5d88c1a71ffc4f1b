"""Training as RayJobs: created once, read, followed, deleted, over HTTP to what plays Kubernetes."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import SecretStr
from sqlalchemy import Engine, text

from api_world import API, serving
from fake_kubernetes import NAMESPACE, FakeKubernetes, fake_kubernetes
from pavemap.geo.errors import BadInput, Conflict, NotFound, Unavailable
from pavemap.geo.store.engine import database
from pavemap.platform.errors import ClusterAway
from pavemap.platform.jobs import TrainingJobs, backend_of, job_id
from pavemap.platform.jobs.job import canonical, joining
from pavemap.platform.jobs.rayjob import report_of
from pavemap.platform.settings import Settings
from pavemap.training import run
from pavemap.training.config import TrainConfig
from pavemap.training.data_source import DataSource
from training.drawing import write_set

TEMPLATE = """
apiVersion: ray.io/v1
kind: RayJob
metadata:
  labels: {app.kubernetes.io/name: pavemap}
spec:
  shutdownAfterJobFinishes: true
  rayClusterSpec:
    rayVersion: 2.60.0
    headGroupSpec:
      rayStartParams: {num-cpus: "0"}
      template:
        spec: {containers: [{name: ray-head, image: "pavemap-ray:0.1.0"}]}
"""


@pytest.fixture
def kubernetes() -> Iterator[FakeKubernetes]:
    with fake_kubernetes() as world:
        yield world


@pytest.fixture
def settings(kubernetes: FakeKubernetes, tmp_path: Path, database_url: str) -> Settings:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("first\n")
    (account / "namespace").write_text(NAMESPACE)
    (tmp_path / "rayjob.yaml").write_text(TEMPLATE)
    return Settings(
        home=tmp_path / "home",
        database_url=SecretStr(database_url),
        job_backend="kubernetes",
        kubernetes_url=kubernetes.url,
        kubernetes_account=account,
        rayjob_template=tmp_path / "rayjob.yaml",
    )


@pytest.fixture
def jobs(settings: Settings, engine: Engine) -> TrainingJobs:
    return TrainingJobs.configured(settings, engine=engine)


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """A configuration with what shells like to change: quotes, a dollar, blanks, an umlaut."""
    source = DataSource(folder=tmp_path / "set", list="train")
    return TrainConfig(name="tiny", output=tmp_path / "it's $HOME ü", data=(source,), iterations=2)


def test_a_configuration_becomes_one_rayjob(
    jobs: TrainingJobs, kubernetes: FakeKubernetes, config: TrainConfig
) -> None:
    job, started = jobs.submit(config)
    again, started_again = jobs.submit(config)

    assert (started, started_again) == (True, False)
    assert job.id == again.id == job_id(config)
    assert (job.state, job.backend, job.submissions) == ("pending", "kubernetes", 1)
    ((name, made),) = kubernetes.rayjobs.items()
    assert name == job.id
    assert re.fullmatch("[a-z]([-a-z0-9]{0,45}[a-z0-9])?", name), "DNS-1035, at most 47"
    assert made["metadata"]["labels"]["app.kubernetes.io/name"] == "pavemap"
    assert made["metadata"]["annotations"]["pavemap.io/config"] == canonical(joining(config))
    assert job.config == json.loads(canonical(joining(config)))


def test_its_entrypoint_is_the_configuration_after_any_number_of_shells(
    jobs: TrainingJobs,
    kubernetes: FakeKubernetes,
    config: TrainConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_set(tmp_path / "set")
    job, _ = jobs.submit(config)
    words = kubernetes.rayjobs[job.id]["spec"]["entrypoint"].split()

    assert shlex.join(words) == " ".join(words), "nothing in it is special to a shell"
    assert words[:4] == ["python", "-m", "pavemap.training.run", "--register"]
    assert run.main([*words[3:], "--check"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] > 0
    assert run.main(["--config-base64", "%%%", "--check"]) == 2


@pytest.mark.shared
def test_the_object_fits_kuberays_schema(
    jobs: TrainingJobs, kubernetes: FakeKubernetes, config: TrainConfig, shared: Path
) -> None:
    file = shared / "crds" / "ray.io_rayjobs.yaml"
    if not file.is_file():
        pytest.skip("KubeRay's schemas (../shared/crds) are not on this machine")
    crd = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = [item for item in crd["spec"]["versions"] if item["name"] == "v1"]
    schema = version["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["additionalProperties"] = False
    checker = jsonschema.Draft7Validator(schema)
    kubernetes.check = checker.validate
    assert jobs.submit(config)[1]
    made = kubernetes.rayjobs[job_id(config)]
    with pytest.raises(jsonschema.ValidationError, match="entryPoint"):
        checker.validate({**made, "spec": {**made["spec"], "entryPoint": "python"}})


def test_two_that_submit_the_same_at_once_start_it_once(
    jobs: TrainingJobs, kubernetes: FakeKubernetes, config: TrainConfig
) -> None:
    barrier = Barrier(4)

    def submit() -> bool:
        barrier.wait()
        return jobs.submit(config)[1]

    with ThreadPoolExecutor(4) as pool:
        started = [each.result() for each in [pool.submit(submit) for _ in range(4)]]
    assert sorted(started) == [False, False, False, True]
    assert kubernetes.count == 1
    assert jobs.get(job_id(config)).submissions == 1


def test_a_failed_one_is_started_again_and_a_finished_one_never(
    jobs: TrainingJobs, kubernetes: FakeKubernetes, config: TrainConfig
) -> None:
    job, _ = jobs.submit(config)
    kubernetes.set_status(
        job.id,
        jobDeploymentStatus="Failed",
        jobStatus="FAILED",
        reason="AppFailed",
        message="no images",
        endTime="2026-05-04T11:05:00Z",
    )
    failed = jobs.get(job.id)
    assert (failed.state, failed.message) == ("failed", "AppFailed: no images")
    assert failed.finished_at is not None

    again, started = jobs.submit(config)
    assert (started, again.state, again.submissions) == (True, "pending", 2)
    assert kubernetes.rayjobs[job.id]["metadata"]["uid"] == "uid-2"
    kubernetes.set_status(job.id, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    assert jobs.get(job.id).state == "succeeded"

    kubernetes.rayjobs.clear()
    assert jobs.submit(config)[1] is False, "the database knows that it has succeeded"
    assert jobs.get(job.id).state == "succeeded"
    with pytest.raises(Conflict, match="nothing to cancel"):
        jobs.cancel(job.id)


def test_a_job_that_vanished_is_lost_not_forgotten_and_may_be_sent_again(
    jobs: TrainingJobs, kubernetes: FakeKubernetes, config: TrainConfig
) -> None:
    job, _ = jobs.submit(config)
    kubernetes.rayjobs.clear()
    (listed,) = jobs.list()
    lost = jobs.get(job.id)
    assert (listed.state, lost.state) == ("lost", "lost")
    assert "last checkpoint" in lost.message
    again, started = jobs.submit(config)
    assert (started, again.state, again.submissions) == (True, "pending", 2)


def test_a_job_of_another_backend_is_left_alone(
    jobs: TrainingJobs, config: TrainConfig, kubernetes: FakeKubernetes
) -> None:
    job, _ = jobs.submit(config)
    with database(jobs.engine) as connection:
        connection.execute(text("UPDATE training_job SET backend = 'ray'"))
    with pytest.raises(Conflict, match="with the backend 'ray'"):
        jobs.cancel(job.id)
    for told in (jobs.logs, jobs.check_followed):
        with pytest.raises(NotFound, match="with the backend 'ray'"):
            told(job.id)
    assert kubernetes.rayjobs
    assert jobs.get(job.id).state == "pending"


def test_a_configuration_trained_already_is_said_to_be(
    jobs: TrainingJobs, kubernetes: FakeKubernetes, config: TrainConfig
) -> None:
    job, _ = jobs.submit(config)
    kubernetes.set_status(job.id, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    assert jobs.get(job.id).state == "succeeded"
    again, started = jobs.submit(config)
    assert (started, again.state) == (False, "succeeded")
    assert 'another "name"' in again.message
    kubernetes.rayjobs.clear()
    with pytest.raises(NotFound, match="went with its cluster"):
        jobs.check_followed(job.id)


def test_a_cancelled_job_is_deleted_and_remembered(
    jobs: TrainingJobs, kubernetes: FakeKubernetes, config: TrainConfig
) -> None:
    job, _ = jobs.submit(config)
    assert jobs.cancel(job.id).state == "stopped"
    assert not kubernetes.rayjobs
    assert [(each.id, each.state) for each in jobs.list()] == [(job.id, "stopped")]


def test_while_kubernetes_is_away_a_job_is_as_it_was_last_seen(
    jobs: TrainingJobs, kubernetes: FakeKubernetes, config: TrainConfig, settings: Settings
) -> None:
    job, _ = jobs.submit(config)
    kubernetes.set_status(job.id, jobDeploymentStatus="Running", jobStatus="RUNNING")
    assert jobs.get(job.id).state == "running"
    away = TrainingJobs.configured(
        settings.model_copy(update={"kubernetes_url": "http://127.0.0.1:9"}), engine=jobs.engine
    )
    for seen in (away.get(job.id), *away.list()):
        assert seen.state == "running"
        assert "last seen running at" in seen.message
        assert "does not answer" in seen.message
    with pytest.raises(ClusterAway, match="does not answer"):
        away.cancel(job.id)
    with pytest.raises(ClusterAway, match="does not answer"):
        away.submit(config.model_copy(update={"seed": 7}))


def test_a_token_that_rotates_is_read_anew_and_a_wrong_one_is_told(
    jobs: TrainingJobs, kubernetes: FakeKubernetes, config: TrainConfig, settings: Settings
) -> None:
    jobs.submit(config)
    kubernetes.token = "second"
    with pytest.raises(ClusterAway, match=r"create, get, list, delete on rayjobs"):
        jobs.backend.find(job_id(config))
    (settings.kubernetes_account / "token").write_text("second")
    assert jobs.backend.find(job_id(config)) is not None


def test_a_template_that_is_none_is_told(
    jobs: TrainingJobs, config: TrainConfig, settings: Settings, kubernetes: FakeKubernetes
) -> None:
    assert settings.rayjob_template is not None
    settings.rayjob_template.write_text(TEMPLATE.replace("RayJob", "Job"))
    with pytest.raises(Unavailable, match=r"is no RayJob of ray\.io/v1"):
        jobs.submit(config)
    with pytest.raises(BadInput, match="PAVEMAP_RAYJOB_TEMPLATE"):
        backend_of(settings.model_copy(update={"rayjob_template": None}))
    settings.rayjob_template.write_text(TEMPLATE)

    def refuse(_: dict[str, Any]) -> None:
        raise ValueError("spec.rayClusterSpec is wrong")

    kubernetes.check = refuse
    with pytest.raises(ClusterAway, match=r"rayClusterSpec is wrong.*mend the template"):
        jobs.submit(config)


@pytest.mark.parametrize(
    ("deployment", "job", "state"),
    [
        ("", "", "pending"),
        ("Initializing", "", "pending"),
        ("Waiting", "", "pending"),
        ("Running", "PENDING", "pending"),
        ("Running", "RUNNING", "running"),
        ("Retrying", "FAILED", "pending"),
        ("Suspended", "STOPPED", "pending"),
        ("Complete", "SUCCEEDED", "succeeded"),
        ("Complete", "STOPPED", "stopped"),
        ("Failed", "FAILED", "failed"),
        ("Failed", "", "failed"),
        ("ValidationFailed", "", "failed"),
    ],
)
def test_what_kuberay_says_in_two_words_is_one_state(deployment: str, job: str, state: str) -> None:
    status = {"jobDeploymentStatus": deployment, "jobStatus": job}
    assert report_of({"metadata": {"name": "train-0"}, "status": status}).state == state


def test_a_log_is_followed_over_a_cut_connection_and_its_metrics_read(
    jobs: TrainingJobs,
    kubernetes: FakeKubernetes,
    config: TrainConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pavemap.platform.jobs.kubernetes_jobs.LOG_PAUSE_S", 0.01)
    job, _ = jobs.submit(config)
    assert jobs.logs(job.id) == "", "no pod yet"
    kubernetes.set_status(job.id, jobDeploymentStatus="Running", jobStatus="RUNNING")
    text = 'größe {"no": "figures"}\n{"iteration": 1, "loss": 0.5}\n{"iteration": 2, "loss": 0.4}\n'
    kubernetes.logs[job.id] = text.encode()
    kubernetes.cut_after = 3  # in the middle of a letter
    reads: list[str] = []

    def end_at_the_second(name: str) -> None:
        reads.append(name)
        if len(reads) == 2:
            kubernetes.set_status(name, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")

    kubernetes.on_log_read = end_at_the_second

    async def heard() -> str:
        return "".join([part async for part in jobs.follow(job.id)])

    async def figures() -> list[dict[str, Any]]:
        return [each async for each in jobs.follow_metrics(job.id)]

    assert asyncio.run(heard()) == text
    expected = [{"iteration": 1, "loss": 0.5}, {"iteration": 2, "loss": 0.4}]
    assert jobs.metrics(job.id) == asyncio.run(figures()) == expected
    kubernetes.logs.clear()
    kubernetes.rayjobs.clear()
    with pytest.raises(NotFound, match=r"progress\.jsonl"):
        jobs.logs(job.id)


def test_the_same_operations_over_http(
    settings: Settings, kubernetes: FakeKubernetes, config: TrainConfig
) -> None:
    with serving(settings) as client:
        url = f"{API}/training-jobs"
        body = config.model_dump(mode="json")
        sent, again = client.post(url, json=body), client.post(url, json=body)
        assert (sent.status_code, again.status_code) == (201, 200), sent.text
        assert (sent.json()["backend"], sent.json()["state"]) == ("kubernetes", "pending")
        bad = client.post(url, json={**body, "iterations": 0})
        assert bad.status_code == 422
        assert kubernetes.count == 1, "a bad configuration never gets to the cluster"
        name = sent.json()["id"]
        kubernetes.logs[name] = b'{"iteration": 1}\n'
        kubernetes.set_status(name, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
        assert (
            client.get(f"{url}/{name}/logs", params={"follow": True}).text == '{"iteration": 1}\n'
        )
        assert client.get(f"{url}/{name}/metrics").json() == [{"iteration": 1}]
        lines = client.get(f"{url}/{name}/metrics", params={"follow": True}).text.splitlines()
        assert [json.loads(line) for line in lines] == [{"iteration": 1}]
        assert [job["state"] for job in client.get(url).json()] == ["succeeded"]
        assert client.get(f"{url}/train-0000000000000000").status_code == 404
        assert client.delete(f"{url}/{name}").status_code == 409
