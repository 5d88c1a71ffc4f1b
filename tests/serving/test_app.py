"""The application builder as Serve calls it from a YAML or RayService configuration."""

from __future__ import annotations

from types import FunctionType
from typing import Any

import pytest
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary

from pavemap.serving.app import build


def deployments(arguments: dict[str, Any]) -> dict[str, Any]:
    """Build as Serve does; return what each deployment was given, by name."""
    found: dict[str, Any] = {}
    assert isinstance(build, FunctionType)
    waiting = [call_user_app_builder_with_args_if_necessary(build, arguments)]
    while waiting:
        application = waiting.pop()
        deployment = application._bound_deployment
        found[deployment.name] = deployment
        waiting += [part for part in deployment.init_args if isinstance(part, type(application))]
    return found


def test_a_configuration_of_plain_values_is_checked_and_built() -> None:
    made = deployments({"detector_replicas": 2, "detector_gpus": 0.5, "surveyor_replicas": 3})
    assert set(made) == {"Ingress", "Detector", "Surveyor"}
    assert made["Detector"].num_replicas == 2
    assert made["Detector"].ray_actor_options["num_gpus"] == 0.5
    assert made["Surveyor"].num_replicas == 3


def test_chips_on_their_way_exceed_a_batch_and_the_queue_is_bounded() -> None:
    detector = deployments({"max_batch_size": 8, "max_queued_chips": 5})["Detector"]
    assert detector.max_ongoing_requests >= 16
    assert detector.max_queued_requests == 5


def test_a_service_without_surveyors_only_detects() -> None:
    assert set(deployments({"surveyor_replicas": 0})) == {"Ingress", "Detector"}


def test_a_typing_error_in_a_configuration_is_refused() -> None:
    with pytest.raises(ValidationError, match="surveyor_replica"):
        deployments({"surveyor_replica": 3})
