"""A value that is taken out (`null`, which has Helm drop the default) is refused, or does no harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from helm_chart import CHART, CNPG, GPU, MONITORING, TRIAL, Install, template

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

SCHEMA = json.loads((CHART / "values.schema.json").read_text())

REFUSED = "values don't meet the specifications of the schema"

WITH_ALL = Install(
    (
        *GPU.values[1:],  # without the Secret of a database outside
        "database.mode=cnpg",
        "database.cnpg.backup.method=plugin",
        "database.cnpg.backup.objectStore=backups",
        "ingress.enabled=true",
        "ingress.host=pavemap.example.org",
        "api.autoscaling.enabled=true",
        "serving.faultTolerance.redisAddress=redis://redis:6379",
        "serving.faultTolerance.existingSecret=redis",
        "monitoring.enabled=true",
    ),
    profile="gpu",
    apis=(CNPG, MONITORING),
)


def paths(node: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield every name of the schema as `--set` takes it, blocks as well as what is in them."""
    for part in node.get("allOf", []):
        yield from paths(SCHEMA["definitions"][part["$ref"].rpartition("/")[2]], prefix)
    for name, value in node.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from paths(value, f"{prefix}{name}.")


def nulls(node: Any, where: str) -> Iterator[str]:
    """Yield where an object has no value."""
    if node is None:
        yield where
    elif isinstance(node, dict):
        for name, value in node.items():
            yield from nulls(value, f"{where}.{name}")
    elif isinstance(node, list):
        for value in node:
            yield from nulls(value, f"{where}[]")


def fault(install: Install, path: str) -> str | None:
    """Return what is wrong with an installation without this value, or None."""
    done = template(install.with_values(f"{path}=null"))
    if done.returncode:
        return None if REFUSED in done.stderr else f"{path}: {done.stderr.strip()}"
    for item in filter(None, yaml.load_all(done.stdout, Loader=LOADER)):
        where = f"{item['kind']} {item['metadata']['name']}"
        for place in nulls(item, where):
            return f"{path}: nothing at {place}"
    return None


@pytest.mark.parametrize("install", [WITH_ALL, TRIAL], ids=["all", "trial"])
def test_no_value_taken_out_breaks_a_template_or_an_object(install: Install) -> None:
    done = template(install)
    assert done.returncode == 0, done.stderr
    asked = list(paths(SCHEMA))
    assert len(asked) > 200
    assert {"image.api", "image.api.tag", "api.resources.limits.memory"} <= set(asked)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda path: fault(install, path), asked))
    assert [each for each in found if each] == []
