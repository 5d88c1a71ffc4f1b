"""The watch over a stack's parts: it outlives whatever goes wrong, and gives up only where it says so."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pavemap.geo.errors import Unavailable
from pavemap.platform import stack
from pavemap.platform.child_process import Child
from pavemap.platform.private_postgres import PrivatePostgres
from pavemap.platform.settings import Settings
from pavemap.platform.stack import MAX_RESTARTS, Stack

FULL = OSError(28, "No space left on device")


class Impatient(threading.Event):
    """An event that is waited for in hundredths of a second."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a moment, however much longer was asked for."""
        return super().wait(min(timeout or 0.01, 0.01))


class DeadCluster(PrivatePostgres):
    """A cluster that is dead and starts as it is told to."""

    def __init__(self, folder: Path, start: Callable[[], None]) -> None:
        """Take what a start does."""
        super().__init__(folder)
        self._start = start
        self.is_alive = False

    def alive(self) -> bool:
        """Tell what was set."""
        return self.is_alive

    def start(self, database: str = "pavemap") -> str:
        """Do as told."""
        self._start()
        self.is_alive = True
        return f"postgresql:///{database}"


class Watched:
    """A stack of parts that are none, and what it reports."""

    def __init__(self, home: Path) -> None:
        """Take the stack's home."""
        self.said: list[str] = []
        self.stack = Stack(Settings(home=home), report=self.report)
        self.stack._stopping = Impatient()

    def report(self, what: str) -> None:
        """Hear a report."""
        self.said.append(what)

    def watch(self) -> None:
        """Begin to watch."""
        self.stack._watcher = threading.Thread(target=self.stack._watch)
        self.stack._watcher.start()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.stack._stop()


def ended_child(tmp_path: Path, command: list[str]) -> Child:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    (tmp_path / "part.log").write_text("the last word\n")
    return Child("the part", command, {}, tmp_path / "part.log", lambda: True, process)


@pytest.mark.parametrize("error", [FULL, RuntimeError("as of psycopg")])
def test_a_database_that_can_t_be_started_is_said_and_counted(
    watched: Watched, tmp_path: Path, error: Exception
) -> None:
    def start() -> None:
        raise error

    watched.stack._cluster = DeadCluster(tmp_path, start)
    watched.watch()
    assert watched.stack.failed.wait(10)
    refused = [line for line in watched.said if str(error) in line]
    assert len(refused) == MAX_RESTARTS


def test_a_database_is_back_once_there_is_room_again(watched: Watched, tmp_path: Path) -> None:
    trouble, started = iter([FULL]), threading.Event()

    def start() -> None:
        if error := next(trouble, None):
            raise error
        started.set()

    watched.stack._cluster = DeadCluster(tmp_path, start)
    watched.watch()
    assert started.wait(10)
    assert not watched.stack.failed.is_set()


def test_a_part_whose_program_is_gone_fails_the_stack(watched: Watched, tmp_path: Path) -> None:
    watched.stack._children = [ended_child(tmp_path, [str(tmp_path / "no program")])]
    watched.watch()
    assert watched.stack.failed.wait(10)
    assert sum("did not start again" in line for line in watched.said) == MAX_RESTARTS
    assert "the last word" in watched.said[0]


def test_reports_that_no_one_can_hear_stop_nothing(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the output of `pavemap up` goes to the disk that is full."""
    started = threading.Event()

    def full(_: str) -> None:
        raise FULL

    monkeypatch.setattr(watched.stack, "_report", full)
    watched.stack._children = [ended_child(tmp_path, [str(tmp_path / "no program")])]
    (tmp_path / "part.log").unlink()
    watched.stack._cluster = DeadCluster(tmp_path, started.set)
    watched.watch()
    assert watched.stack.failed.wait(10)
    assert started.is_set()


def sleeping_child(tmp_path: Path, *, ready: Callable[[], bool]) -> Child:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    (tmp_path / "part.log").write_text("joining the cluster\n")
    return Child("the part", [], {}, tmp_path / "part.log", ready, process)


def test_a_part_that_takes_long_is_waited_for_and_told_of(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "SAID_EVERY_S", 0.0)
    monkeypatch.setattr(stack, "POLL_S", 0.01)
    looks = iter([False, False, False, True])
    child = sleeping_child(tmp_path, ready=lambda: next(looks))
    watched.stack._children = [child]
    watched.stack._wait_for(child, meanwhile="the rest works")
    assert watched.said == ["the part is still starting; the rest works"] * 3


def test_a_part_that_hangs_is_given_up_in_the_end(
    watched: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "START_LIMIT_S", 0.0)
    child = sleeping_child(tmp_path, ready=lambda: False)
    watched.stack._children = [child]
    with pytest.raises(
        Unavailable, match=r"not ready after .* minutes; .*joining the cluster; see"
    ):
        watched.stack._wait_for(child, meanwhile="")


def test_a_part_that_ends_meanwhile_ends_the_wait(watched: Watched, tmp_path: Path) -> None:
    child = sleeping_child(tmp_path, ready=lambda: False)
    watched.stack._children = [child, ended_child(tmp_path, [])]
    with pytest.raises(Unavailable, match="did not start: the last word"):
        watched.stack._wait_for(child, meanwhile="")
