"""The Serve application: `pavemap.serving.app:build`, for `serve run`, a RayService's YAML and local.py."""

# No `from __future__ import annotations` here: Serve looks at the annotation of build's argument, and
# would hand over a plain dict if it were a string.

from typing import Any

import ray
from ray import serve
from ray.serve import Application
from ray.serve.config import BackpressureConfig

from pavemap.serving.args import ServingArgs
from pavemap.serving.detector import Detector
from pavemap.serving.ingress import make_ingress
from pavemap.serving.surveyor import STOP_GRACE_S, Surveyor

__all__ = ["ServingArgs", "build"]

HEALTH_PERIOD_S, HEALTH_TIMEOUT_S = 5.0, 30.0

MAX_CONSTRUCTOR_TRIES = 3
"""A constructor fails on wrong arguments only, and on a GPU that it has waited for (`LOADING_S`)."""


def build(args: ServingArgs) -> Application:
    """Return the application: an HTTP ingress, Detectors, and Surveyors unless there shall be none."""
    gpus = _detector_gpus(args)
    _, ongoing = args.chips_per_detector(on_gpu=gpus > 0)
    limit = args.detector_replicas * ongoing + args.max_queued_chips
    common: dict[str, Any] = {
        "health_check_period_s": HEALTH_PERIOD_S,
        "health_check_timeout_s": HEALTH_TIMEOUT_S,
        "max_constructor_retry_count": MAX_CONSTRUCTOR_TRIES,
    }
    busy = BackpressureConfig(status_code=429, retry_after_s=args.retry_after_s)
    detector = _deployment(
        Detector,
        num_replicas=args.detector_replicas,
        ray_actor_options={"num_cpus": args.detector_cpus, "num_gpus": gpus},
        max_ongoing_requests=ongoing,
        max_queued_requests=args.max_queued_chips,
        backpressure_config=busy,
        **common,
    ).bind(args)
    surveyor = None
    if args.surveyor_replicas:
        surveyor = _deployment(
            Surveyor,
            num_replicas=args.surveyor_replicas,
            ray_actor_options={"num_cpus": args.surveyor_cpus},
            graceful_shutdown_wait_loop_s=0.1,
            graceful_shutdown_timeout_s=STOP_GRACE_S + 10.0,
            **common,
        ).bind(args, detector)
    application: Application = _deployment(
        make_ingress(),
        ray_actor_options={"num_cpus": 0},
        # The ingress refuses by itself, with advice, what is over the limit; the proxy does so only
        # where even that is too much.
        max_ongoing_requests=2 * limit,
        max_queued_requests=args.max_queued_chips,
        backpressure_config=busy,
        **common,
    ).bind(args, detector, surveyor, limit)
    return application


def _deployment(cls: type, **options: Any) -> Any:
    """Return Serve's deployment of a plain class; workers import the class by its name."""
    return serve.deployment(name=cls.__name__, **options)(cls)


def _detector_gpus(args: ServingArgs) -> float:
    if args.detector_gpus != "auto":
        return args.detector_gpus
    found = ray.cluster_resources().get("GPU", 0) if ray.is_initialized() else 0
    return 1.0 if found else 0.0
