"""A crew of worker threads: several cells in work at once, leases kept, work waited for, nothing given up.

While one thread waits for the Detector another reads and a third traces lines, so that the stages of
different cells overlap. Nothing here knows of Ray.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from sqlalchemy import Engine

from pavemap.geo.errors import PavemapError
from pavemap.geo.store.leases import wait_for_work
from pavemap.serving.backoff import Backoff
from pavemap.serving.worker import AWAY, CellWorker, WorkRules

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 4
"""Heartbeats in the time of a lease: three may be lost before it runs out."""

STUCK_AFTER_LEASES = 60
"""Work that gets no further in so many leases (an hour by default) hangs; its lease is no longer kept.

A cell is one step; a measuring gets further with each block.
"""

CALL_PAUSE_S = 0.2
"""Between two calls: work that is seen, but taken by others at that moment, must not make it spin."""


class CrewBroken(PavemapError):
    """A thread of the crew has ended or hangs; the process must be replaced."""


class Crew:
    """Threads around workers: one each, one that keeps their leases, one that listens for work."""

    def __init__(
        self,
        workers: Sequence[CellWorker],
        *,
        engine: Engine,
        rules: WorkRules,
        stop: threading.Event,
        poll_s: float = 5.0,
    ) -> None:
        """Take workers of these rules that watch this `stop`; idle ones look for work every `poll_s`."""
        self._workers = list(workers)
        self._engine = engine
        self._stop = stop
        self._rules = rules
        self._poll_s = poll_s
        self._calls = 0
        self._idle = 0
        self._called = threading.Condition()
        loops: list[tuple[str, Callable[[], None]]] = [
            ("leases", self._keep_leases),
            ("listener", self._listen),
        ]
        loops += [(worker.name, self._loop_of(worker)) for worker in self._workers]
        self._threads = [
            threading.Thread(target=loop, name=name, daemon=True) for name, loop in loops
        ]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Raise CrewBroken when a thread has ended though nobody stopped it, or hangs."""
        if self._stop.is_set():
            return
        ended = [thread.name for thread in self._threads if not thread.is_alive()]
        stuck = [worker.name for worker in self._workers if self._is_stuck(worker)]
        if ended or stuck:
            raise CrewBroken(
                f"ended: {', '.join(ended) or 'none'}; stuck: {', '.join(stuck) or 'none'}; "
                "this Surveyor has to be replaced"
            )

    def close(self, *, grace_s: float) -> None:
        """Stop: let threads finish for a while, then give back whatever is still held.

        What hangs is not given back: its lease runs out, so that it is charged, and not tried for ever.
        """
        self._stop.set()
        with self._called:
            self._called.notify_all()
        deadline = time.monotonic() + grace_s
        for thread in self._threads[-len(self._workers) :]:
            if thread.is_alive():
                thread.join(timeout=max(deadline - time.monotonic(), 0.0))
        for worker in self._workers:
            if self._is_stuck(worker):
                continue
            try:
                worker.give_back()
            except AWAY:
                log.warning(
                    "the database is away; the leases of this crew will run out by themselves"
                )
                return

    def _loop_of(self, worker: CellWorker) -> Callable[[], None]:
        def work() -> None:
            pauses = Backoff()
            while not self._stop.is_set():
                calls = self._calls
                try:
                    found = worker.run_once()
                except Exception as exc:
                    pause_s = pauses.next_s()
                    expected = isinstance(exc, AWAY)
                    log.warning(
                        "%s pauses for %.1f s: %s", worker.name, pause_s, exc, exc_info=not expected
                    )
                    self._stop.wait(pause_s)
                    continue
                pauses.reset()
                if not found:
                    self._wait_for_call(calls)

        return work

    def _wait_for_call(self, calls_before: int) -> None:
        with self._called:
            self._idle += 1
            self._called.notify_all()
            self._called.wait_for(
                lambda: self._calls != calls_before or self._stop.is_set(), timeout=self._poll_s
            )
            self._idle -= 1

    def _listen(self) -> None:
        """Call the idle when there is work; a crew that is busy through and through listens to nothing."""
        pauses = Backoff()
        while not self._stop.wait(CALL_PAUSE_S):
            with self._called:
                self._called.wait_for(lambda: self._idle > 0 or self._stop.is_set())
            try:
                called = not self._stop.is_set() and self._wait_for_work()
            except Exception as exc:
                log.debug("can't listen for work: %s", exc)
                self._stop.wait(pauses.next_s())
                continue
            pauses.reset()
            if called:
                with self._called:
                    self._calls += 1
                    self._called.notify_all()

    def _wait_for_work(self) -> bool:
        return wait_for_work(self._engine, self._poll_s, model_id=self._rules.model_id)

    def _keep_leases(self) -> None:
        while not self._stop.wait(self._rules.lease_s / BEATS_PER_LEASE):
            for worker in self._workers:
                if self._is_stuck(worker):
                    continue
                try:
                    worker.keep_lease()
                except Exception as exc:
                    log.warning("the lease of %s could not be kept: %s", worker.name, exc)

    def _is_stuck(self, worker: CellWorker) -> bool:
        return worker.since_progress_s > STUCK_AFTER_LEASES * self._rules.lease_s
