"""An elastic run goes on with the workers there are: one machine is killed, another comes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from ray.cluster_utils import Cluster

from pavemap.training.architectures import build_network, build_sampler
from pavemap.training.checkpoint import Progress
from pavemap.training.config import TrainConfig, parse_config
from pavemap.training.loop import train_step
from pavemap.training.optimizing import make_optimizer
from pavemap.training.shares import Share
from pavemap.training.staging import Staged
from training.drawing import write_set

pytestmark = [
    pytest.mark.ray,
    # Ray's own code, on start and stop: sockets left to the garbage collector, its own deprecations.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MACHINE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}
NOTICED_SOON = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 5,
}


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster of one machine with room for one worker."""
    # A start that counted on the machine just lost is given up, and tried with those left.
    monkeypatch.setenv("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "20")
    head = {**MACHINE, "include_dashboard": False, "_system_config": NOTICED_SOON}
    cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=False)
    try:
        yield cluster
    finally:
        cluster.shutdown()


@pytest.fixture
def second(machines: Cluster) -> Any:
    """Another machine."""
    return machines.add_node(**MACHINE)


@pytest.fixture
def endless(machines: Cluster, tmp_path: Path) -> TrainConfig:
    """A run of the paper's network on the cluster that does not end by itself."""
    return parse_config(
        {
            "name": "elastic",
            "output": tmp_path / "out",
            "data": [{"folder": write_set(tmp_path / "set"), "list": "train"}],
            "iterations": 10_000_000,
            "batch_size": 8,
            "workers": 2,
            "workers_min": 1,
            "resize_every_s": 2,
            "precision": "fp32",
            "report_every": 1,
            "checkpoint_every": 5,
            "max_failures": 10,
            "ray_address": machines.address,
        }
    )


@pytest.fixture
def training(endless: TrainConfig, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The run, in a process of its own: Ray can't be shut down under a thread that still uses it."""
    command = [sys.executable, "-m", "pavemap.training.run", "--config-json"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen([*command, endless.model_dump_json()], stdout=log, stderr=log) as process,
    ):
        yield process
        process.kill()


def told(config: TrainConfig) -> list[dict[str, Any]]:
    """What the run has said so far."""
    file = config.output / "progress.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def wait_until(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 400
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


def by_one_worker(config: TrainConfig, iterations: int) -> list[float]:
    """The loss curve of one process that learns every batch whole."""
    torch.manual_seed(config.seed)
    network = build_network(config.architecture, config.architecture_args).train()
    state = Progress(network, make_optimizer(network, config), None)
    sampler, whole = build_sampler(config, network), Share.of(config.batch_size, rank=0, world=1)
    device, size = torch.device("cpu"), config.batch_size
    losses = []
    for iteration in range(iterations):
        batch = Staged.of(sampler.batch(iteration, size=size, first=0, last=size), device)
        losses.append(float(train_step(network, state, batch, config, device, whole)))
    return losses


@pytest.mark.timeout(900)
def test_a_run_goes_on_with_fewer_and_with_more_workers_and_learns_the_same(
    machines: Cluster,
    second: Any,
    endless: TrainConfig,
    training: subprocess.Popen[bytes],
    tmp_path: Path,
) -> None:
    wait_until(
        lambda: any(line["workers"] == 2 and line["iteration"] >= 7 for line in told(endless)),
        "two workers pass a checkpoint",
    )
    machines.remove_node(second, allow_graceful=False)  # SIGKILL
    lost_at = len(told(endless))
    wait_until(lambda: len(told(endless)) > lost_at + 3, "the worker that is left goes on")
    machines.add_node(**MACHINE)
    wait_until(lambda: told(endless)[-1]["workers"] == 2, "the run takes the new machine in")
    lines = told(endless)

    sizes = [size for size, _ in itertools.groupby(line["workers"] for line in lines)]
    assert sizes == [2, 1, 2]
    assert min(line["iteration"] for line in lines[lost_at + 1 :]) > 5, "from the last checkpoint"
    assert training.poll() is None, (tmp_path / "log").read_text()
    known = [line for line in lines if line["iteration"] <= 60]
    expected = by_one_worker(endless, max(line["iteration"] for line in known))
    for line in known:
        assert line["loss"] == pytest.approx(expected[line["iteration"] - 1], rel=1e-3), line
