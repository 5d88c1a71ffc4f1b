"""The chart as helm renders it, for the tests of tests/helm."""

from __future__ import annotations

import copy
import functools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "helm" / "pavemap"
HELM = Path(sys.executable).parent / "helm"

CNPG, MONITORING = "postgresql.cnpg.io/v1", "monitoring.coreos.com/v1"

DEFINITIONS = {
    "RayService": "ray.io_rayservices.yaml",
    "RayJob": "ray.io_rayjobs.yaml",
    "Cluster": "clusters.postgresql.cnpg.io.yaml",
    "ScheduledBackup": "scheduledbackups.postgresql.cnpg.io.yaml",
    "ServiceMonitor": "servicemonitors.yaml",
    "PodMonitor": "podmonitors.yaml",
    "PrometheusRule": "prometheusrules.yaml",
}
"""Files of the custom resource definitions by kind."""

API_FIGURES = {
    "pavemap_cells",
    "pavemap_cells_oldest_waiting_seconds",
    "pavemap_http_request_seconds_bucket",
    "pavemap_http_requests_total",
    "pavemap_surveys",
    "pavemap_upload_bytes_total",
}
RAY_FIGURES = {
    "ray_pavemap_batch_size_count",
    "ray_pavemap_batch_size_sum",
    "ray_pavemap_chips_total",
    "ray_pavemap_stage_seconds_count",
    "ray_pavemap_stage_seconds_sum",
}
"""What alerts and dashboard ask for; Ray puts `ray_` before the names of what is counted in it."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Install:
    """What an operator gives to `helm install`: values, profiles, and the kinds that the cluster knows."""

    values: tuple[str, ...] = ()
    profile: str = ""
    apis: tuple[str, ...] = ()
    name: str = "survey"
    more: tuple[str, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """Return it as helm takes it."""
        profile = ["--values", str(CHART / f"values-{self.profile}.yaml")] if self.profile else []
        sets = [part for value in self.values for part in ("--set", value)]
        return [*profile, *sets, *self.more]

    def with_values(self, *values: str) -> Install:
        """Return the same with more values."""
        return replace(self, values=(*self.values, *values))


NORM = Install(
    ("database.existingSecret=pavemap-database", "serving.auth.existingSecret=pavemap-ray")
)
BUCKET = NORM.with_values("storage.url=s3://bucket/surveys", "storage.existingSecret=keys")
TRIAL = Install(profile="trial")
GPU = Install(BUCKET.values, profile="gpu")
OWN_DATABASE = Install(
    (
        "database.mode=cnpg",
        "serving.auth.existingSecret=pavemap-ray",
        "monitoring.enabled=true",
        "monitoring.labels.release=prometheus",
    ),
    apis=(CNPG, MONITORING),
)

DIGITS = ",".join(
    (
        "database.existingSecret=1,database.key=2,storage.existingSecret=3",
        "serving.auth.existingSecret=4,serving.faultTolerance.existingSecret=5",
        "serving.faultTolerance.key=6,training.volume.existingClaim=7,image.pullSecrets={8}",
        "ingress.host=9,ingress.tlsSecret=10,ingress.className=11,api.scratch.className=12",
        "networkPolicy.ingressNamespace=13,networkPolicy.operatorNamespace=14",
    )
)

GRID = {
    "norm": NORM,
    "bucket": BUCKET,
    "trial": TRIAL,
    "gpu": GPU,
    "cloudnative-pg": OWN_DATABASE,
    "plugin backups": OWN_DATABASE.with_values(
        "database.cnpg.backup.method=plugin", "database.cnpg.backup.objectStore=backups"
    ),
    "snapshot backups": OWN_DATABASE.with_values(
        "database.cnpg.backup.method=volumeSnapshot",
        "database.cnpg.backup.snapshotClassName=csi",
        "database.cnpg.className=fast",
    ),
    "ingress": BUCKET.with_values(
        "ingress.enabled=true",
        "ingress.host=pavemap.example.org",
        "ingress.tlsSecret=tls",
        "ingress.annotations.nginx\\.ingress\\.kubernetes\\.io/proxy-body-size=1t",
    ),
    "an S3 look-alike": BUCKET.with_values(
        "storage.endpoint=http://minio:9000", "storage.region=eu-1", "api.scratch.className=fast"
    ),
    "many APIs": BUCKET.with_values(
        "api.autoscaling.enabled=true",
        "image.pullSecrets={registry}",
        "api.nodeSelector.pool=web",
        "api.env[0].name=TZ,api.env[0].value=Europe/Prague",
        "networkPolicy.apiPeers[0].ipBlock.cidr=10.0.0.0/8",
        "serviceAccount.annotations.eks\\.amazonaws\\.com/role-arn=arn:aws:iam::1:role/x",
    ),
    "Redis, no token": NORM.with_values(
        "serving.auth.enabled=false",
        "serving.faultTolerance.redisAddress=redis://redis:6379",
        "serving.faultTolerance.existingSecret=redis",
        "serving.upgradeStrategy=None",
    ),
    "training in the serving cluster": NORM.with_values(
        "training.backend=ray", "storage.volume.existingClaim=mine", "logging.format=text"
    ),
    "no training, digests, no policies": Install(
        (
            *BUCKET.values,
            "training.backend=none",
            "networkPolicy.enabled=false",
            f"image.ray.digest=sha256:{'0' * 64}",
        )
    ),
    "half GPUs": replace(
        GPU.with_values("serving.detectors.max=8"),
        more=("--set-json", "serving.detectors.gpus=0.5"),  # --set makes text of a fraction
    ),
    "a release of a long name": Install(NORM.values, name="a" * 53),
    "names that YAML takes for numbers and truths": Install(
        (
            "nameOverride=on",
            "storage.url=s3://bucket/surveys",
            "ingress.enabled=true",
            "serving.faultTolerance.redisAddress=redis://redis:6379",
        ),
        name="2026",
        more=("--namespace", "31", "--set-string", DIGITS),
    ),
}
"""What is rendered and validated: every branch of every template is in one of these."""


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run helm."""
    return subprocess.run([HELM, *arguments], capture_output=True, text=True, check=False)


def template(install: Install, *, chart: Path = CHART) -> subprocess.CompletedProcess[str]:
    """Render the chart, or be told why not."""
    apis = [part for api in install.apis for part in ("--api-versions", api)]
    return helm(
        "template", install.name, str(chart), "--namespace", "roads", *install.arguments, *apis
    )


@functools.cache
def _rendered(install: Install, chart: Path) -> tuple[Object, ...]:
    done = template(install, chart=chart)
    assert done.returncode == 0, done.stderr
    return tuple(item for item in yaml.safe_load_all(done.stdout) if item)


def render(install: Install, *, chart: Path = CHART) -> list[Object]:
    """Return the objects of an installation; yours to change."""
    return copy.deepcopy(list(_rendered(install, chart)))


def only(objects: Sequence[Object], kind: str, name: str = "") -> Object:
    """Return the one object of a kind whose name ends so."""
    (found,) = [
        item for item in objects if item["kind"] == kind and item["metadata"]["name"].endswith(name)
    ]
    return found


def ray_service(install: Install, *, chart: Path = CHART) -> Object:
    """Return the RayService of an installation."""
    return only(render(install, chart=chart), "RayService")


def rayjob_template(objects: Sequence[Object]) -> Object:
    """Return the RayJob that trainings are made from."""
    held: Object = yaml.safe_load(only(objects, "ConfigMap", "-training")["data"]["rayjob.yaml"])
    return held


def serve_config(install: Install) -> Object:
    """Return what Serve is told to run."""
    config: Object = yaml.safe_load(ray_service(install)["spec"]["serveConfigV2"])
    return config


def pod_specs(objects: Sequence[Object]) -> Iterator[tuple[str, Object]]:
    """Yield the specification of every pod that comes of an installation, with where it stands."""
    for item in objects:
        where = f"{item['kind']} {item['metadata'].get('name', '')}"
        if item["kind"] == "Pod":
            yield where, item["spec"]
        if item["kind"] in {"Deployment", "StatefulSet"}:
            yield where, item["spec"]["template"]["spec"]
        clusters = {"RayService": "rayClusterConfig", "RayJob": "rayClusterSpec"}
        if item["kind"] in clusters:
            cluster = item["spec"][clusters[item["kind"]]]
            for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
                yield f"{where} {group.get('groupName', 'head')}", group["template"]["spec"]
        if item["kind"] == "RayJob":
            yield f"{where} submitter", item["spec"]["submitterPodTemplate"]["spec"]
        if item["kind"] == "ConfigMap" and "rayjob.yaml" in item["data"]:
            yield from pod_specs([yaml.safe_load(item["data"]["rayjob.yaml"])])


def containers(pod: Object) -> list[Object]:
    """Return the containers of a pod, those that run first included."""
    return [*pod.get("initContainers", []), *pod["containers"]]
