"""Detection as a plain function over a Serve handle: waits out back-pressure, survives dead replicas."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection
from concurrent.futures import CancelledError
from functools import partial
from typing import Any, cast

from ray.exceptions import (
    GetTimeoutError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    RequestCancelledError,
)
from ray.serve.handle import DeploymentHandle

from pavemap.geo.errors import Unavailable
from pavemap.geo.logs import known_ids
from pavemap.geo.survey_cell import Detect
from pavemap.serving.backoff import Backoff
from pavemap.serving.batches import Chips

log = logging.getLogger(__name__)

MAX_DEATHS = 3
"""A chip during which so many Detectors died is taken for the cause, and its cell charged with it."""


class DetectorDied(RuntimeError):
    """Detectors die, again and again, while they work on one chip."""


class RemoteDetect:
    """geo's `Detect`, computed by a Detector; one instance serves any number of threads."""

    def __init__(
        self,
        handle: DeploymentHandle[Any],
        *,
        timeout_s: float,
        stop: threading.Event | None = None,
    ) -> None:
        """Take the Detector's handle, the longest wait for one chip, and what ends all waiting."""
        self._handle: Any = handle
        self._timeout_s = timeout_s
        self._stop = stop or threading.Event()

    def of(self, model_id: str) -> Detect:
        """Return the detection by one model version."""
        return partial(self, model_id=model_id)

    def __call__(self, chip: Chips, *, model_id: str | None = None) -> Chips:
        """Return the probability map (H, W) uint8 of a chip (H, W, 3) uint8.

        Raises Unavailable when no Detector answers in time (the chip is not to blame), DetectorDied
        when it seems to kill Detectors, and whatever the Detector raises for this chip.
        """
        dead: set[str] = set()  # a Detector that is dead may be out of reach many times over
        pauses = Backoff(first_s=0.05, most_s=2.0)
        deadline = time.monotonic() + self._timeout_s
        while (left_s := deadline - time.monotonic()) > 0 and not self._stop.is_set():
            try:
                return self._ask(chip, model_id, timeout_s=left_s)
            except RayTaskError as exc:
                if not isinstance(exc.cause, RayError):
                    # The remote error itself: Ray's wrapper has the whole remote traceback for a message.
                    raise exc.cause from None
                log.warning("Ray lost a chip on its way: %s", exc.cause)
            except BackPressureError:
                pass
            except (GetTimeoutError, TimeoutError, RequestCancelledError) as exc:
                raise Unavailable(f"no Detector answered within {self._timeout_s:g} s") from exc
            except DeploymentUnavailableError as exc:
                raise Unavailable("the Detector failed to start; see the logs of Serve") from exc
            except RayActorError as exc:
                dead.add(exc.actor_id or "of no known id")
                self._note_deaths(dead, exc)
            except OutOfMemoryError as exc:  # Ray killed it for its memory
                dead.add(str(exc))
                self._note_deaths(dead, exc)
            except (RayError, RayServeException, CancelledError) as exc:
                # Ray's own trouble, no answer of a Detector's: lost objects, replicas in change.
                log.warning("Ray lost a chip on its way: %s", exc)
            self._stop.wait(pauses.next_s())
        raise Unavailable("no Detector took the chip in time; are there enough of them?")

    @staticmethod
    def _note_deaths(dead: Collection[str], because: Exception) -> None:
        log.warning("a Detector died or is out of reach (%d of %d)", len(dead), MAX_DEATHS)
        if len(dead) == MAX_DEATHS:
            raise DetectorDied(f"{MAX_DEATHS} Detectors died while they had this chip") from because

    def _ask(self, chip: Chips, model_id: str | None, *, timeout_s: float) -> Chips:
        response: Any = self._handle.detect.remote(chip, model_id, known_ids())
        try:
            return cast(Chips, response.result(timeout_s=timeout_s))
        except (GetTimeoutError, TimeoutError):
            response.cancel()
            raise
