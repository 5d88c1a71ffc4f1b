"""The chart renders, for each profile and a grid of values, what Kubernetes and its operators accept."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest

from helm_chart import (
    CHART,
    DEFINITIONS,
    GPU,
    GRID,
    NORM,
    OWN_DATABASE,
    TRIAL,
    Install,
    helm,
    ray_service,
    rayjob_template,
    render,
)
from pavemap.platform.jobs.rayjob import make_rayjob
from pavemap.training.config import TrainConfig
from pavemap.training.data_source import DataSource

Validator = Callable[[str], jsonschema.Draft7Validator]


@pytest.fixture(scope="module", autouse=True)
def rendered() -> None:
    """Render the grid beforehand, side by side: helm is a process of its own each time."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(render, GRID.values()))


@pytest.mark.parametrize("install", [NORM, TRIAL, GPU], ids=["norm", "trial", "gpu"])
def test_it_lints(install: Install) -> None:
    done = helm("lint", "--strict", str(CHART), *install.arguments)
    assert done.returncode == 0, done.stdout


def test_it_packs(tmp_path: Path) -> None:
    done = helm("package", str(CHART), "--destination", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (package,) = tmp_path.glob("pavemap-*.tgz")
    unpacked = helm("template", "survey", str(package), *NORM.arguments)
    assert unpacked.returncode == 0, unpacked.stderr
    assert "kind: RayService" in unpacked.stdout


@pytest.mark.parametrize("install", GRID.values(), ids=GRID)
def test_built_in_kinds_are_valid(install: Install) -> None:
    checked = [item for item in render(install) if item["kind"] not in DEFINITIONS]
    assert {"Deployment", "Service", "ServiceAccount", "Pod"} <= {item["kind"] for item in checked}
    for item in checked:
        # Secrets are taken in as stringData; Kubernetes' newest version is the strictest.
        kubernetes_validate.validate(item, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.shared
@pytest.mark.parametrize("install", GRID.values(), ids=GRID)
def test_kinds_of_operators_are_valid(install: Install, validator: Validator) -> None:
    for item in render(install):
        if item["kind"] in DEFINITIONS:
            validator(item["kind"]).validate(item)


@pytest.mark.shared
@pytest.mark.parametrize("install", [NORM, GPU], ids=["norm", "gpu"])
def test_a_training_is_a_valid_rayjob(install: Install, validator: Validator) -> None:
    config = TrainConfig(
        name="mine",
        output=Path("/training/mine"),
        data=(DataSource(folder=Path("/training/data")),),
    )
    job = make_rayjob(rayjob_template(render(install)), config)
    validator("RayJob").validate(job)
    assert job["spec"]["entrypoint"].startswith(
        "python -m pavemap.training.run --register --config-base64 "
    )
    assert len(job["metadata"]["name"]) <= 47


@pytest.mark.shared
def test_a_typing_error_would_be_seen(validator: Validator) -> None:
    service = ray_service(NORM)
    service["spec"]["rayClusterConfig"]["headGroupSpec"]["rayStartParam"] = {}
    with pytest.raises(jsonschema.ValidationError, match="rayStartParam"):
        validator("RayService").validate(service)


def test_every_kind_is_in_the_grid() -> None:
    """Each template is rendered by one installation at least."""
    kinds = {item["kind"] for install in GRID.values() for item in render(install)}
    assert set(DEFINITIONS) - {"RayJob"} <= kinds
    assert {
        "ConfigMap",
        "HorizontalPodAutoscaler",
        "Ingress",
        "NetworkPolicy",
        "PersistentVolumeClaim",
        "PodDisruptionBudget",
        "Role",
        "RoleBinding",
        "Secret",
        "StatefulSet",
    } <= kinds


def test_monitors_and_backups_are_made_where_their_operators_are() -> None:
    kinds = {item["kind"] for item in render(OWN_DATABASE)}
    assert {"Cluster", "ServiceMonitor", "PodMonitor", "PrometheusRule"} <= kinds
    assert "ScheduledBackup" not in kinds, "a backup needs a place, which somebody must name"
    assert {"Cluster", "ServiceMonitor"}.isdisjoint(item["kind"] for item in render(NORM))
