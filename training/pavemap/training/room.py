"""Whether Ray has as many CPUs or GPUs as a training takes: Ray itself would wait and say nothing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import ray

from pavemap.training.config import TrainConfig
from pavemap.training.errors import TrainingFailed

log = logging.getLogger(__name__)

TOLD_EVERY_S = 300.0


def refuse_without_gpus(config: TrainConfig, resources: Mapping[str, float]) -> None:
    """Raise TrainingFailed where the `resources` of a Ray that was started here lack GPUs.

    No other machine will join it. Of CPUs it is told to have one for each worker, however many there are.
    """
    wanted, there = _least_workers(config), int(resources.get("GPU", 0))
    if not config.use_gpu or wanted <= there:
        return
    if not there:
        raise TrainingFailed(
            f"training {config.name} can't start: this machine has no GPU; leave use_gpu out"
        )
    raise TrainingFailed(
        f"training {config.name} can't start: {wanted} workers take a GPU each, and this machine has "
        f"{there}; set workers = {there}"
    )


@contextmanager
def lack_told(config: TrainConfig, *, every_s: float = TOLD_EVERY_S) -> Iterator[None]:
    """While the block runs, log now and again where the training waits for a cluster that lacks room.

    It may still grow, or other work on it may end.
    """
    stop = threading.Event()

    def tell() -> None:
        while True:
            # Where Ray's head is away for a moment there is nothing to tell, and the training goes on.
            with suppress(Exception):
                said = lack(config, ray.cluster_resources(), free=ray.available_resources())
                if said and not _has_workers():
                    log.warning("%s", said)
            if stop.wait(every_s):
                return

    thread = threading.Thread(target=tell, name="training-room", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def lack(
    config: TrainConfig, resources: Mapping[str, float], *, free: Mapping[str, float]
) -> str | None:
    """What a training without workers waits for on a cluster; None where enough of it is free."""
    kind, wanted = "GPU" if config.use_gpu else "CPU", _least_workers(config)
    there, left = int(resources.get(kind, 0)), int(free.get(kind, 0))
    if wanted <= left:
        return None
    units = f"{wanted} {kind}{'s' if wanted > 1 else ''}"
    if wanted <= there:
        return (
            f"training {config.name} waits for {units}, the cluster has {there} and {left} of them free; "
            "it starts when other work leaves it as many"
        )
    fewer = "set fewer workers" if there else "leave use_gpu out"
    return (
        f"training {config.name} waits for {units}, the cluster has {there}; "
        f"add machines, or cancel it and {fewer}"
    )


def _has_workers() -> bool:
    """Whether Ray has set room aside for the workers of this process's training."""
    job = ray.get_runtime_context().get_job_id()  # the last digits of what belongs to it
    return any(
        name.endswith(job) and group["state"] == "CREATED"
        for name, group in ray.util.placement_group_table().items()
    )


def _least_workers(config: TrainConfig) -> int:
    return config.workers if config.workers_min is None else config.workers_min
