"""KubeRay's RayJob objects: made from a template for one configuration, and read back as a report.

The template is a whole RayJob (ray.io/v1) that an operator, or the chart, provides: image, resources,
volumes. Set here are its name, a label, the configuration as an annotation, and the last words of its
entrypoint. The configuration goes there in base 64: an entrypoint passes two shells (the submitter's
and Ray's), and no quoting of JSON holds in both.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from pavemap.geo.errors import Unavailable
from pavemap.platform.jobs.job import JobReport, canonical, job_id, joining
from pavemap.training.config import TrainConfig

API_VERSION, KIND = "ray.io/v1", "RayJob"
ENTRYPOINT = "python -m pavemap.training.run --register"
"""Where the template names none."""

LABEL = "pavemap.io/training"
CONFIG_ANNOTATION = "pavemap.io/config"

ENDED = {"SUCCEEDED": "succeeded", "FAILED": "failed", "STOPPED": "stopped"}
"""Ray's words for a job that is over (status.jobStatus), and ours."""


def read_template(path: Path) -> dict[str, Any]:
    """Return the RayJob of a YAML or JSON file. Raises Unavailable when it is none."""
    advice = "PAVEMAP_RAYJOB_TEMPLATE must name the YAML of one RayJob (ray.io/v1)"
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise Unavailable(f"the template {path} can't be read ({exc}); {advice}") from exc
    kind = (found.get("apiVersion"), found.get("kind")) if isinstance(found, dict) else None
    if kind != (API_VERSION, KIND) or not isinstance(found.get("spec"), dict):
        raise Unavailable(f"the template {path} is no {KIND} of {API_VERSION}; {advice}")
    template: dict[str, Any] = found
    return template


def make_rayjob(template: Mapping[str, Any], config: TrainConfig) -> dict[str, Any]:
    """Return the RayJob of a configuration; its name is the job's id (22 characters, DNS-1035)."""
    made = copy.deepcopy(dict(template))
    metadata = made.setdefault("metadata", {})
    for unwanted in ("generateName", "namespace"):
        metadata.pop(unwanted, None)
    metadata["name"] = job_id(config)
    text = canonical(joining(config))
    metadata["labels"] = {**(metadata.get("labels") or {}), LABEL: "true"}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), CONFIG_ANNOTATION: text}
    command = (made["spec"].get("entrypoint") or ENTRYPOINT).strip()
    word = base64.urlsafe_b64encode(text.encode()).decode()
    made["spec"]["entrypoint"] = f"{command} --config-base64 {word}"
    return made


def report_of(found: Mapping[str, Any]) -> JobReport:
    """Return what a RayJob's status means."""
    metadata, status = found["metadata"], found.get("status") or {}
    said = [status.get("reason"), status.get("message")]
    return JobReport(
        id=metadata["name"],
        state="stopped" if metadata.get("deletionTimestamp") else _state(status),
        message=": ".join(part for part in said if part) or status.get("jobDeploymentStatus") or "",
        config=json.loads((metadata.get("annotations") or {}).get(CONFIG_ANNOTATION, "{}")),
        submitted_at=_moment(metadata.get("creationTimestamp")),
        finished_at=_moment(status.get("endTime")),
    )


def _state(status: Mapping[str, Any]) -> str:
    """Return our word for the state of a RayJob.

    A failed deployment is a failed job, though Ray never heard of it; one that KubeRay retries, or
    that waits for its quota (suspended), is still to come.
    """
    job, deployment = status.get("jobStatus") or "", status.get("jobDeploymentStatus") or ""
    if deployment in {"Retrying", "Suspending", "Suspended", "Waiting"}:
        return "pending"
    if job in ENDED:
        return ENDED[job]
    if deployment in {"Failed", "ValidationFailed"}:
        return "failed"
    if deployment == "Complete":
        return "succeeded"
    return "running" if job == "RUNNING" else "pending"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
