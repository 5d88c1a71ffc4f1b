"""Detection over a handle: waits where waiting helps, blames a chip only when it kills."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from ray.exceptions import (
    ActorUnavailableError,
    GetTimeoutError,
    ObjectLostError,
    OutOfMemoryError,
    RayActorError,
    RaySystemError,
    RayTaskError,
)
from ray.serve.exceptions import BackPressureError

from pavemap.geo.errors import BadInput, Unavailable
from pavemap.serving.remote_detect import DetectorDied, RemoteDetect

CHIP = np.zeros((8, 8, 3), np.uint8)
MAP = np.zeros((8, 8), np.uint8)
BUSY = BackPressureError(num_queued_requests=1, max_queued_requests=1)


class Handle:
    """Stands for a Serve handle: gives one answer, or raises one error, per call."""

    def __init__(self, answers: Sequence[NDArray[np.uint8] | Exception]) -> None:
        self._answers: Iterator[NDArray[np.uint8] | Exception] = iter(answers)
        self.cancelled = 0

    @property
    def detect(self) -> Handle:
        return self

    def remote(self, _chip: NDArray[np.uint8], _model_id: str | None, _ids: object) -> Handle:
        return self

    def result(self, *, timeout_s: float) -> NDArray[np.uint8]:
        assert timeout_s > 0
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def cancel(self) -> None:
        self.cancelled += 1


def detect(handle: Any, *, stop: threading.Event | None = None) -> NDArray[np.uint8]:
    return RemoteDetect(handle, timeout_s=30.0, stop=stop)(CHIP)


def test_back_pressure_and_a_dead_replica_are_waited_out() -> None:
    assert detect(Handle([BUSY, BUSY, RayActorError("one"), BUSY, MAP])) is MAP


def test_a_chip_that_kills_detectors_is_charged_for_it() -> None:
    with pytest.raises(DetectorDied, match="3 Detectors"):
        detect(Handle([RayActorError(name) for name in ("one", "two", "three")]))


def test_a_detector_that_is_dead_for_a_while_is_one_death() -> None:
    unavailable = ActorUnavailableError("its connection broke", b"1" * 16)
    assert unavailable.actor_id is not None
    died = RayActorError(unavailable.actor_id)
    assert detect(Handle([unavailable, unavailable, died, unavailable, MAP])) is MAP


def test_detectors_out_of_reach_that_ray_does_not_name_are_one() -> None:
    lost = [ActorUnavailableError(f"connection {number}", None) for number in range(4)]
    assert detect(Handle([*lost, MAP])) is MAP


def test_a_chip_for_which_ray_kills_detectors_for_their_memory_is_charged() -> None:
    with pytest.raises(DetectorDied, match="3 Detectors"):
        detect(Handle([OutOfMemoryError(f"worker {number}") for number in range(3)]))


LOST = ObjectLostError("0" * 56, None, "")


@pytest.mark.parametrize(
    "trouble",
    [
        RaySystemError("raylet"),
        LOST,
        RayTaskError("detect", "a traceback", LOST),
        RayTaskError("detect", "a traceback", RayActorError("1" * 32)),
        CancelledError(),
    ],
)
def test_trouble_of_rays_own_is_no_fault_of_the_chip(trouble: Exception) -> None:
    assert detect(Handle([trouble, trouble, trouble, MAP])) is MAP


def test_no_answer_in_time_is_nobodys_fault_and_the_call_is_cancelled() -> None:
    handle = Handle([GetTimeoutError()])
    with pytest.raises(Unavailable, match="no Detector"):
        detect(handle)
    assert handle.cancelled == 1


def test_the_detectors_own_error_arrives_as_it_was() -> None:
    remote = RayTaskError("detect", "a long remote traceback", BadInput("odd chip"))
    with pytest.raises(BadInput, match=r"^odd chip$"):
        detect(Handle([remote.as_instanceof_cause()]))


def test_a_stopped_surveyor_waits_for_nothing() -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Unavailable):
        detect(Handle([BUSY] * 100), stop=stop)
