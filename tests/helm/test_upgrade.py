"""A new version of the chart builds no second Ray cluster by itself, and needs no other order of things."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from helm_chart import (
    CHART,
    GPU,
    NORM,
    TRIAL,
    Install,
    only,
    ray_service,
    rayjob_template,
    render,
)

PINNED = ("image.ray.tag=v1", "image.rayGpu.tag=v1")


@pytest.fixture(scope="module")
def next_chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart as its next release would be: another version, of the chart and of the program."""
    chart = tmp_path_factory.mktemp("next") / "pavemap"
    shutil.copytree(CHART, chart)
    described = yaml.safe_load((chart / "Chart.yaml").read_text())
    described |= {"version": "0.2.0", "appVersion": "0.2.0"}
    (chart / "Chart.yaml").write_text(yaml.safe_dump(described))
    return chart


@pytest.mark.parametrize("install", [NORM, GPU, TRIAL], ids=["norm", "gpu", "trial"])
def test_a_new_version_of_the_chart_leaves_the_ray_cluster_alone(
    install: Install, next_chart: Path
) -> None:
    """KubeRay compares rayClusterConfig: a chart label or a checksum in it would be a new cluster."""
    install = install.with_values(*PINNED)
    old, new = ray_service(install), ray_service(install, chart=next_chart)
    assert old["metadata"]["labels"] != new["metadata"]["labels"], "it is another version"
    assert old["spec"] == new["spec"]


def test_a_new_program_is_a_new_cluster(next_chart: Path) -> None:
    old, new = ray_service(NORM)["spec"], ray_service(NORM, chart=next_chart)["spec"]
    assert old["rayClusterConfig"] != new["rayClusterConfig"]
    assert new["upgradeStrategy"] == {"type": "NewCluster"}


def test_what_is_selected_never_changes(next_chart: Path) -> None:
    """A Deployment's selector can't be changed, and a Service must find old pods and new."""
    for kind in ("Deployment", "Service"):
        old, new = only(render(NORM), kind), only(render(NORM, chart=next_chart), kind)
        assert old["spec"]["selector"] == new["spec"]["selector"]


def test_migrations_run_before_the_api_and_in_no_hook() -> None:
    """A hook would wait for what waits for it; an init container waits for the database, and retries."""
    objects = render(NORM)
    pod = only(objects, "Deployment")["spec"]["template"]["spec"]
    (first,) = pod["initContainers"]
    assert first["command"] == ["pavemap", "migrate"]
    hooks = [
        item["kind"]
        for item in objects
        if "helm.sh/hook" in item["metadata"].get("annotations", {})
    ]
    assert hooks == ["Pod"], "the test alone"


def test_what_holds_data_is_kept() -> None:
    for install in (NORM, TRIAL):
        for item in render(install):
            if item["kind"] in {"PersistentVolumeClaim", "Secret"}:
                assert item["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_changed_training_template_reaches_the_api() -> None:
    """Mounted ConfigMaps follow by themselves, in their own time; a new pod follows at once."""

    def checksum(install: Install) -> str:
        template = only(render(install), "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["checksum/training"])

    assert checksum(NORM) != checksum(NORM.with_values("training.retries=5"))
    assert rayjob_template(render(NORM))["spec"]["backoffLimit"] == 2
