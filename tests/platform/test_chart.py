"""The chart renders what Kubernetes and KubeRay accept, and refuses wrong values with advice."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pavemap.serving.args import ServingArgs

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "pavemap"
BIN = Path(sys.executable).parent
DATABASE = "database.existingSecret=pavemap-database"

GRID = [
    [DATABASE],
    [DATABASE, "storage.url=s3://bucket/surveys"],
    [DATABASE, "storage.url=s3://bucket/surveys", "storage.existingSecret=keys"],
    [DATABASE, "serving.workers.gpus=1", "serving.workers.nodeSelector.gpu=h100"],
    [DATABASE, "image.pullSecrets={registry}", "storage.volume.className=nfs", "api.replicas=1"],
]


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "helm", *arguments], capture_output=True, text=True, check=False)


def render(values: list[str]) -> str:
    sets = [argument for value in values for argument in ("--set", value)]
    done = helm("template", "survey", str(CHART), *sets)
    assert done.returncode == 0, done.stderr
    return done.stdout


def ray_service(values: list[str]) -> dict[str, Any]:
    documents = yaml.safe_load_all(render(values))
    found: dict[str, Any] = next(
        item for item in documents if item and item["kind"] == "RayService"
    )
    return found


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Forbid fields that the schema doesn't name, so that a typo can't pass."""
    schema = copy.deepcopy(schema)
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            free = (
                node.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in node
            )
            if isinstance(node.get("properties"), dict) and not free:
                node["additionalProperties"] = False
                defaulted = {
                    name for name, field in node["properties"].items() if "default" in field
                }
                node["required"] = [
                    name for name in node.get("required", []) if name not in defaulted
                ]
            pending.extend(node.values())
    return schema


def test_it_lints() -> None:
    done = helm("lint", "--strict", str(CHART), "--set", DATABASE)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("values", GRID)
def test_built_in_kinds_are_valid(values: list[str], tmp_path: Path) -> None:
    built_in = tmp_path / "built-in.yaml"
    documents = [item for item in yaml.safe_load_all(render(values)) if item]
    built_in.write_text(yaml.safe_dump_all(d for d in documents if d["kind"] != "RayService"))
    done = subprocess.run(
        [BIN / "kubernetes-validate", "--strict", built_in],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def ray_service_schema(shared: Path) -> dict[str, Any]:
    """KubeRay's own schema of a RayService, closed."""
    text = (shared / "crds" / "ray.io_rayservices.yaml").read_text()
    crd = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = [item for item in crd["spec"]["versions"] if item["name"] == "v1"]
    return closed(version["schema"]["openAPIV3Schema"])


@pytest.mark.shared
@pytest.mark.parametrize("values", GRID)
def test_the_ray_service_fits_its_schema(
    values: list[str], ray_service_schema: dict[str, Any]
) -> None:
    jsonschema.Draft7Validator(ray_service_schema).validate(ray_service(values))


@pytest.mark.shared
def test_a_typo_in_the_ray_service_would_be_seen(ray_service_schema: dict[str, Any]) -> None:
    service = ray_service(GRID[0])
    service["spec"]["rayClusterConfig"]["headGroupSpec"]["rayStartParam"] = {}
    with pytest.raises(jsonschema.ValidationError, match="rayStartParam"):
        jsonschema.Draft7Validator(ray_service_schema).validate(service)


def test_the_serve_configuration_names_the_application() -> None:
    config = yaml.safe_load(ray_service(GRID[0])["spec"]["serveConfigV2"])
    (application,) = config["applications"]
    assert application["import_path"] == "pavemap.serving.app:build"
    ServingArgs.model_validate(application["args"])


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ([], "kubectl create secret"),
        ([DATABASE, "serving.workers.minReplicas=9"], "raise maxReplicas"),
        ([DATABASE, "storage.existingSecret=keys"], "name the bucket"),
        ([DATABASE, "storage.url=ftp://x"], "storage.url"),
        ([DATABASE, "api.replica=1"], "replica"),
    ],
)
def test_wrong_values_are_refused_with_advice(values: list[str], advice: str) -> None:
    sets = [argument for value in values for argument in ("--set", value)]
    done = helm("template", "survey", str(CHART), *sets)
    assert done.returncode != 0
    assert advice in done.stderr
