"""KubeRay's, CloudNativePG's and the Prometheus operator's own schemas, closed to unknown fields."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from helm_chart import DEFINITIONS


@pytest.fixture(scope="session")
def validator(shared: Path) -> Callable[[str], jsonschema.Draft7Validator]:
    """Return the validator of a kind, by its custom resource definition."""
    folder = shared / "crds"
    if not folder.is_dir():
        pytest.skip("the custom resource definitions (../shared/crds) are not on this machine")

    @functools.cache
    def of_kind(kind: str) -> jsonschema.Draft7Validator:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        definition = yaml.load((folder / DEFINITIONS[kind]).read_text(), Loader=loader)
        assert definition["spec"]["names"]["kind"] == kind
        (version,) = [each for each in definition["spec"]["versions"] if each["name"] == "v1"]
        return jsonschema.Draft7Validator(closed(version["schema"]["openAPIV3Schema"]))

    return of_kind


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """Forbid fields that the schema doesn't name, and require none that has a default."""
    schema = copy.deepcopy(schema)
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            fields = node.get("properties")
            free = (
                node.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in node
            )
            if isinstance(fields, dict) and not free:
                node["additionalProperties"] = False
                node["required"] = [
                    name
                    for name in node.get("required", [])
                    if "default" not in fields.get(name, {})
                ]
            pending.extend(node.values())
    return schema
