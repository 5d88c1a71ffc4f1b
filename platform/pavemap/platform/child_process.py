"""A process beside this one: started with a log of its own, asked to end, and what it said last."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx


@dataclass
class Child:
    """A process of the stack: how to start it, and how to tell that it is ready."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log_file: Path
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0


def launch(child: Child) -> None:
    """Start a process; what it writes goes to its log, and its output alone to a `.ready` beside that."""
    ready_file = child.log_file.with_suffix(".ready")
    with child.log_file.open("ab") as errors, ready_file.open("wb") as output:
        child.process = subprocess.Popen(
            child.command,
            env=child.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,  # Ctrl-C is ours: we end the parts in order
        )


def wait_for_end(process: subprocess.Popen[bytes], *, by: float) -> None:
    """Wait for a process that was asked to end; kill it, and what it started, when it does not."""
    try:
        process.wait(max(by - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    """Tell whether an address on this machine answers well."""
    try:
        return httpx.get(url, timeout=2.0, trust_env=False).is_success  # ours, by no proxy
    except httpx.HTTPError:
        return False


def last_words(log_file: Path) -> str:
    """Return the last line of a log and where the rest stands; a log that can't be read says nothing."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, log_file.stat().st_size - 4096))
            said = [line.strip() for line in file.read().decode(errors="replace").splitlines()]
    except OSError:
        said = []
    last = next((line for line in reversed(said) if line), "no word")
    return f"{last}; see {log_file}"


def no_proxy_here() -> Mapping[str, str]:
    """Return the variables by which no part asks a proxy for what listens on this machine."""
    given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    here = () if given.strip() == "*" else ("127.0.0.1", "localhost", "::1")
    value = ",".join(each for each in (given, *here) if each)
    return {"no_proxy": value, "NO_PROXY": value}


def dies_with_parent() -> Sequence[str]:
    """Return the prefix that ends a child when this process is killed, where the system has one."""
    return ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
