"""The file beside its checkpoints in which a run says how far it is: a JSON object a line."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pavemap.training.config import TrainConfig

PROGRESS_FILE = "progress.jsonl"

OnProgress = Callable[[Mapping[str, Any]], None]


def append_line(path: Path, line: str) -> None:
    """Append a line to a file; one that a crash or a full disk tore is ended first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        start = "\n" if torn else ""
        os.write(descriptor, f"{start}{line}\n".encode())
    finally:
        os.close(descriptor)


def read_line(line: bytes) -> dict[str, Any] | None:
    """The figures in a line; None for one that a crash or a full disk tore."""
    try:
        figures = json.loads(line)
    except ValueError:
        return None
    return figures if isinstance(figures, dict) else None


def figures_of(config: TrainConfig) -> Iterator[dict[str, Any]]:
    """What a run has reported. The output may hold other runs as well; each line says whose it is."""
    path = config.output / PROGRESS_FILE
    for line in path.read_bytes().splitlines() if path.exists() else ():
        figures = read_line(line)
        if figures is not None and figures.get("run") == config.name:
            yield figures


def last_reports(config: TrainConfig) -> dict[int, dict[str, Any]]:
    """What a run has reported of each iteration: the last word on it where that was learnt again."""
    return {int(figures["iteration"]): figures for figures in figures_of(config)}


def seconds_trained(config: TrainConfig) -> float:
    """The time spent on iterations: those of earlier sessions and those learnt again included."""
    return sum(float(figures.get("seconds", 0.0)) for figures in figures_of(config))


@contextmanager
def followed(output: Path, on_progress: OnProgress) -> Iterator[None]:
    """Pass on each line that the workers append to the progress file while the block runs."""
    path = output / PROGRESS_FILE
    offset = path.stat().st_size if path.exists() else 0
    stop = threading.Event()

    def follow() -> None:
        nonlocal offset
        while True:
            ending = stop.is_set()
            for line in _whole_lines(path, offset):
                offset += len(line)
                if (figures := read_line(line)) is not None:
                    on_progress(figures)
            if ending:
                return
            stop.wait(0.5)

    thread = threading.Thread(target=follow, name="training-progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _whole_lines(path: Path, offset: int) -> list[bytes]:
    """The lines from an offset on that are written to their end; none where there is no file yet."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(offset)
        return [line for line in file if line.endswith(b"\n")]
