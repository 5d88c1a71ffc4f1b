"""Serving as a user runs it, `python -m pavemap.serving.local`, in processes that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

START_S = 240.0
STOP_S = 60.0
LOG_CHARS = 5000


@dataclass
class ServingProcess:
    """A running `pavemap.serving.local` and what it said when it was ready."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]
    log: Path

    @classmethod
    def start(
        cls,
        folder: Path,
        args: Mapping[str, Any],
        *,
        database_url: str,
        storage: Path | str,
        variables: Mapping[str, str] | None = None,
        options: Sequence[str] = (),
    ) -> ServingProcess:
        """Start it, and wait until it is ready."""
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "serving.log"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PAVEMAP_"))},
            "RAY_worker_niceness": "0",  # nothing here yields to what else the machine does
            "RAY_prestart_worker_first_driver": "0",
            "PAVEMAP_DATABASE_URL": database_url,
            "PAVEMAP_STORAGE_URL": str(storage),
            **(variables or {}),
        }
        command = [sys.executable, "-m", "pavemap.serving.local", "--args", json.dumps(dict(args))]
        with log.open("ab") as sink:
            process = subprocess.Popen(
                [*command, "--ray-folder", str(folder / "ray"), "--with-parent", *options],
                stdout=subprocess.PIPE,
                stderr=sink,
                env=environment,
                start_new_session=True,
            )
        started = cls(process, {}, log)
        try:
            started.ready = json.loads(started._first_line())
        except BaseException:
            started.kill()
            raise
        return started

    @property
    def url(self) -> str:
        """Where the HTTP ingress listens."""
        return str(self.ready["url"])

    def family(self) -> list[psutil.Process]:
        """Return this process and all that descend from it: Ray's servers and workers."""
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            return [root, *root.children(recursive=True)]
        return []

    def replica(self, name: str) -> psutil.Process | None:
        """Return the process of a deployment's replica, if one runs."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(f"ServeReplica:pavemap:{name}" in part for part in process.cmdline()):
                    return process
        return None

    def log_of(self, name: str) -> str:
        """Return the end of what the replicas of a deployment, dead ones too, have logged.

        Serve's own logger writes to files of its own, pavemap's to those of Ray's workers.
        """
        logs = self.log.parent.glob(f"ray/session_2*/logs/serve/replica_pavemap_{name}_*.log")
        workers = self.log.parent.glob("ray/session_2*/logs/worker-*.err")
        return "\n".join(
            f"{path.name}:\n{path.read_text()[-LOG_CHARS:]}" for path in sorted([*logs, *workers])
        )

    def kill(self) -> None:
        """Kill every process at once, as when the power goes."""
        family = self.family()
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(family, timeout=STOP_S)
        self.process.wait(timeout=STOP_S)
        self._close()

    def stop(self) -> int:
        """Ask it to end, wait for all of its processes, and return its exit status."""
        family = self.family()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=STOP_S)
        finally:
            self._close()
            _, left = psutil.wait_procs(family, timeout=10.0)
            for process in left:
                process.kill()
        assert not left, f"left over: {left}"
        return status

    def _first_line(self) -> bytes:
        assert self.process.stdout is not None
        end, line = time.monotonic() + START_S, b""
        while not line.endswith(b"\n"):
            left = end - time.monotonic()
            assert left > 0, f"not ready within {START_S} s:\n{self.log.read_text()}"
            readable, _, _ = select.select([self.process.stdout], [], [], min(left, 1.0))
            if readable:
                part = os.read(self.process.stdout.fileno(), 65536)
                assert part, f"it ended:\n{self.log.read_text()}"
                line += part
        return line

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()
