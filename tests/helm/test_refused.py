"""Values that are wrong, alone or together, are refused with a sentence that says what to do."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from helm_chart import BUCKET, CHART, CNPG, GPU, MONITORING, NORM, TRIAL, Install, template
from pavemap.serving.args import ServingArgs

WRONG: dict[str, tuple[Install, str]] = {
    "no database": (Install(), "kubectl create secret generic pavemap-database"),
    "no token": (Install(NORM.values[:1]), "openssl rand -hex 32"),
    "trial without Secrets": (
        TRIAL.with_values("generateSecrets=false"),
        "set generateSecrets=true",
    ),
    "a URL in the password's place": (
        TRIAL.with_values("database.key=password"),
        "leave it at url",
    ),
    "no CloudNativePG": (
        Install(("database.mode=cnpg", NORM.values[1])),
        f"add --api-versions {CNPG}",
    ),
    "two databases": (
        Install((*NORM.values, "database.mode=cnpg"), apis=(CNPG,)),
        "leave the Secret out",
    ),
    "a backup of nothing": (
        NORM.with_values("database.cnpg.backup.method=volumeSnapshot"),
        "leave it at none",
    ),
    "a backup to nowhere": (
        Install(
            ("database.mode=cnpg", NORM.values[1], "database.cnpg.backup.method=plugin"),
            apis=(CNPG,),
        ),
        "make an ObjectStore",
    ),
    "keys without a bucket": (NORM.with_values("storage.existingSecret=keys"), "name the bucket"),
    "an endpoint without a bucket": (
        NORM.with_values("storage.endpoint=http://minio:9000"),
        "name the bucket",
    ),
    "one node's volume for many": (
        NORM.with_values("storage.volume.accessMode=ReadWriteOnce"),
        "keeps every pod on one node",
    ),
    "checkpoints on one node": (
        BUCKET.with_values(
            "training.volume.accessMode=ReadWriteOnce", "training.workers.replicas=2"
        ),
        "take one worker",
    ),
    "a training on one node that may have no GPU": (
        GPU.with_values("training.volume.accessMode=ReadWriteOnce"),
        "name your GPU nodes in training.head.nodeSelector",
    ),
    "trainings beside one node's imagery": (
        TRIAL.with_values("training.backend=kubernetes", "training.workers.replicas=2"),
        "training.workers.replicas=1",
    ),
    "trainings on GPUs beside one node's imagery": (
        TRIAL.with_values("training.backend=kubernetes", "training.workers.gpus=1"),
        "no GPUs",
    ),
    "scratch for less than one upload": (
        BUCKET.with_values("api.scratch.size=95Gi"),
        "raise it to twice api.maxUploadBytes (51539607552 bytes)",
    ),
    "an endpoint with a path": (
        BUCKET.with_values("storage.endpoint=http://minio:9000/s3"),
        "endpoint",
    ),
    "an identity that the head has not": (
        BUCKET.with_values(
            "training.backend=ray",
            "serviceAccount.annotations.role=pavemap",
            "storage.existingSecret=",
        ),
        "or set training.backend=kubernetes",
    ),
    "more workers than the most": (
        NORM.with_values("serving.cpu.minReplicas=9"),
        "raise maxReplicas",
    ),
    "more Detectors than the most": (NORM.with_values("serving.detectors.min=2"), "raise max"),
    "Surveyors without room": (
        NORM.with_values("serving.args.surveyor_replicas=40"),
        "lower serving.args.surveyor_replicas",
    ),
    "Detectors without GPUs": (
        GPU.with_values("serving.detectors.max=9"),
        "raise serving.gpu.maxReplicas",
    ),
    "Detectors of more GPUs than a node has": (
        GPU.with_values("serving.detectors.gpus=2"),
        "lower serving.detectors.gpus",
    ),
    "Detectors that share no GPU evenly": (
        replace(
            GPU.with_values("serving.detectors.max=3", "serving.gpu.maxReplicas=2"),
            more=("--set-json", "serving.detectors.gpus=0.6"),
        ),
        "lower serving.detectors.max",
    ),
    "Detectors that want CPUs beside GPUs": (
        GPU.with_values("serving.args.detector_cpus=1"),
        "leave it out",
    ),
    "Detectors of many CPUs": (
        NORM.with_values("serving.cpu.maxReplicas=1", "serving.args.detector_cpus=4"),
        "serving books 5 CPUs",
    ),
    "a Detector that fits no node": (
        NORM.with_values("serving.args.detector_cpus=5"),
        "lower detector_cpus",
    ),
    "a Surveyor that fits no node": (
        NORM.with_values("serving.cpu.rayCpus=1", "serving.args.surveyor_cpus=2"),
        "lower surveyor_cpus",
    ),
    "trainings of the serving cluster on one node": (
        NORM.with_values("training.backend=ray", "training.volume.accessMode=ReadWriteOnce"),
        "on every node of the serving cluster",
    ),
    "a password without Redis": (
        NORM.with_values("serving.faultTolerance.existingSecret=redis"),
        "name your Redis",
    ),
    "an ingress without a host": (NORM.with_values("ingress.enabled=true"), "name the host"),
    "fewer APIs than the least": (
        NORM.with_values("api.autoscaling.enabled=true", "api.autoscaling.maxReplicas=1"),
        "raise maxReplicas",
    ),
    "no Prometheus operator": (
        NORM.with_values("monitoring.enabled=true"),
        f"add --api-versions {MONITORING}",
    ),
    "the placeholder": (
        NORM.with_values("kuberay-operator.enabled=true"),
        "run scripts/vendor_kuberay.sh",
    ),
    "an unknown value": (NORM.with_values("api.replica=1"), "replica"),
    "an unknown argument": (
        NORM.with_values("serving.args.surveyor_replica=1"),
        "surveyor_replica",
    ),
    "a secret as an argument": (
        NORM.with_values("serving.args.database_url=postgresql://a:b@c/d"),
        "database_url",
    ),
    "another storage": (NORM.with_values("storage.url=ftp://x"), "storage.url"),
    "another Ray": (NORM.with_values("serving.rayVersion=2.9.0"), "rayVersion"),
    "another strategy": (NORM.with_values("serving.upgradeStrategy=Sudden"), "upgradeStrategy"),
    "a size without a unit": (NORM.with_values("api.scratch.size=100"), "size"),
    "a limit that is none": (NORM.with_values("api.resources.limits.memori=1Gi"), "memori"),
}


@pytest.mark.parametrize(("install", "advice"), WRONG.values(), ids=WRONG)
def test_it_is_refused_with_advice(install: Install, advice: str) -> None:
    done = template(install)
    assert done.returncode != 0
    assert advice in done.stderr


def test_a_service_without_surveyors_needs_no_room_for_them() -> None:
    values = ("serving.args.surveyor_replicas=0", "serving.cpu.maxReplicas=1")
    done = template(NORM.with_values(*values, "serving.cpu.rayCpus=1"))
    assert done.returncode == 0, done.stderr


def test_an_endpoint_may_end_in_a_slash_and_scratch_hold_no_more_than_one_upload_twice() -> None:
    done = template(
        BUCKET.with_values("storage.endpoint=http://minio:9000/", "api.scratch.size=96Gi")
    )
    assert done.returncode == 0, done.stderr


def test_every_value_is_described_and_none_other_is_taken() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    pending: list[tuple[str, Any]] = [("values", schema)]
    seen = 0
    while pending:
        path, node = pending.pop()
        for name, value in node.get("properties", {}).items():
            seen += 1
            described = value.get("description", "")
            assert len(described) > 10, f"{path}.{name} has no description"
            assert described.rstrip().endswith((".", ")")), f"{path}.{name}: {described}"
            pending.append((f"{path}.{name}", value))
        if "properties" in node and path != "values.kuberay-operator":
            assert node.get("additionalProperties") is False, f"{path} takes any value"
        for name, value in node.get("definitions", {}).items():
            pending.append((name, value))
        if "items" in node:
            pending.append((f"{path}[]", node["items"]))
    assert seen > 100


def test_the_arguments_of_serving_are_those_that_serving_takes() -> None:
    """A new argument of ServingArgs has to be put into values.schema.json; these the chart sets itself."""
    made = {"database_url", "storage_url", "detector_replicas", "detector_gpus"}
    made |= {"log_json", "log_level"}
    schema = json.loads((CHART / "values.schema.json").read_text())
    taken = schema["properties"]["serving"]["properties"]["args"]["properties"]
    assert set(taken) == set(ServingArgs.model_fields) - made
