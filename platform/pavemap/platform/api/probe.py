"""A question to what may hang: asked in a thread of its own, waited for so long and no longer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from pavemap.geo.errors import Unavailable

Answer = TypeVar("Answer")


class Probe(Generic[Answer]):
    """Asks once for all who want to know at the same time; one thread at most hangs with what hangs."""

    def __init__(
        self, ask: Callable[[], Answer], *, subject: str, limit_s: float, keep_s: float = 0.0
    ) -> None:
        """Take the question, what it is asked of, the longest wait, and how long an answer holds."""
        self._ask, self._subject = ask, subject
        self._limit_s, self._keep_s = limit_s, keep_s
        self._lock = threading.Lock()
        self._running: Future[Answer] | None = None
        self._kept: tuple[float, Answer] | None = None

    def answer(self) -> Answer:
        """Return the answer. Raises what the question raises, or Unavailable when it takes too long."""
        with self._lock:
            if self._kept is not None and time.monotonic() - self._kept[0] < self._keep_s:
                return self._kept[1]
            if self._running is None:
                self._running = Future()
                threading.Thread(
                    target=self._run, args=(self._running,), name=self._subject, daemon=True
                ).start()
            running = self._running
        try:
            return running.result(timeout=self._limit_s)
        except TimeoutError as exc:
            if running.done():
                raise
            raise Unavailable(
                f"{self._subject} did not answer within {self._limit_s:g} s; see whether it hangs"
            ) from exc

    def _run(self, future: Future[Answer]) -> None:
        try:
            found = self._ask()
        except BaseException as exc:
            self._end()
            future.set_exception(exc)
        else:
            self._end((time.monotonic(), found))
            future.set_result(found)

    def _end(self, kept: tuple[float, Answer] | None = None) -> None:
        with self._lock:
            self._running, self._kept = None, kept
