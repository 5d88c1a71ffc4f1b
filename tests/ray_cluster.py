"""A real Ray cluster of a test's own, that takes jobs, and that can be killed."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from pavemap.serving.listening import free_port

START_S = 150.0


@dataclass
class Cluster:
    """`ray start --head --block` in a process group; its dashboard asks for the token in the file."""

    url: str
    token_file: Path
    address: str
    """Where drivers join (GCS)."""
    metrics: str
    """Where Prometheus would ask."""
    folder: Path
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Kill every process of the cluster, as when its machine goes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop in order, then make sure."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        self.kill()

    def remove(self) -> None:
        """Stop it and remove its files."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class ClusterNotStarted(Exception):
    """Ray ended before it took jobs, or took none in time."""


@contextlib.contextmanager
def ray_cluster(*, cpus: int = 2, variables: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Start a cluster, with more environment variables, and wait until it takes jobs.

    A port that was free a moment ago may be taken, and a busy machine may start no node in Ray's time:
    what could not start is tried again, once.
    """
    try:
        cluster = _started(cpus, variables or {})
    except ClusterNotStarted:
        cluster = _started(cpus, variables or {})
    try:
        yield cluster
    finally:
        cluster.remove()


def _started(cpus: int, variables: Mapping[str, str]) -> Cluster:
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # sockets need a short path
    token_file = folder / "token"
    token_file.write_text("0123456789abcdef" * 4)
    port, dashboard, exported = free_port(), free_port(), free_port()
    options = {
        "port": port,
        "dashboard-host": "127.0.0.1",
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": free_port(),  # it takes the jobs; a fixed port else
        "metrics-export-port": exported,
        "num-cpus": cpus,
        "temp-dir": folder,
        "object-store-memory": 100_000_000,
    }
    arguments = [f"--{name}={value}" for name, value in options.items()]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", *arguments],
            stdout=log,
            stderr=log,
            env=_environment(token_file, variables),
            start_new_session=True,
        )
    metrics = f"http://127.0.0.1:{exported}/metrics"
    cluster = Cluster(
        f"http://127.0.0.1:{dashboard}", token_file, f"127.0.0.1:{port}", metrics, folder, process
    )
    try:
        _wait(cluster, folder / "log")
    except BaseException:
        cluster.remove()
        raise
    return cluster


def _environment(token_file: Path, variables: Mapping[str, str]) -> dict[str, str]:
    environment = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_metrics_report_interval_ms": "1000",
        **variables,
    }
    environment.pop("RAY_ADDRESS", None)
    return environment


def _wait(cluster: Cluster, log: Path) -> None:
    headers = {"Authorization": f"Bearer {cluster.token_file.read_text()}"}
    end, said = time.monotonic() + START_S, "no answer"
    while time.monotonic() < end:
        if cluster.process.poll() is not None:
            raise ClusterNotStarted(log.read_text())
        with contextlib.suppress(httpx.HTTPError):
            # Ray answers well before it takes jobs.
            url, job = f"{cluster.url}/api/jobs/", {"entrypoint": "true"}
            answer = httpx.post(url, json=job, headers=headers, timeout=60)
            if answer.is_success:
                return
            said = answer.text
        time.sleep(1.0)
    raise ClusterNotStarted(f"Ray took no job within {START_S} s: {said} {log.read_text()}")
