"""Whether a Detector's GPU can be used: an error of the device is no chip's fault, nor a model's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

import torch

from pavemap.geo.errors import Unavailable
from pavemap.serving.backoff import Backoff

log = logging.getLogger(__name__)

Result = TypeVar("Result")

OF_LIBRARIES = (
    "cuDNN error",
    "cuDNN Frontend error",
    "CUDNN_STATUS_",
    "CUBLAS_STATUS_",
    "unable to find an engine",
)
"""What the GPU's libraries say in errors that torch gives no type of their own."""

LOST = ("EXECUTION_FAILED", "NOT_INITIALIZED", "INTERNAL_ERROR")
"""Those after which a process gets no sound answer of them any more."""

LOADING_S = 600.0
"""How long a Detector waits for its GPU: Serve gives up a deployment whose constructors fail quickly."""


class DeviceHealth:
    """What became of a device; a lost one stays lost until its process ends (CUDA: a "sticky" error)."""

    def __init__(self) -> None:
        """Take the device to be sound."""
        self._lost = ""

    def blamed(self, error: Exception) -> Exception:
        """Return an error of the device as Unavailable, so that no cell is charged; any other as it is."""
        if isinstance(error, torch.OutOfMemoryError):
            return Unavailable(
                f"the Detector's GPU is out of memory; what else runs on it? ({error})"
            )
        of_library = isinstance(error, RuntimeError) and _says(error, OF_LIBRARIES)
        if isinstance(error, torch.AcceleratorError) or (of_library and _says(error, LOST)):
            self._lost = str(error)
            return Unavailable(f"the Detector's GPU failed, and the Detector is replaced ({error})")
        if of_library:
            return Unavailable(
                f"the Detector's GPU can't compute; is its memory full, its driver too old? ({error})"
            )
        return error

    def check(self) -> None:
        """Raise RuntimeError once the device is lost: Serve then replaces the Detector."""
        if self._lost:
            raise RuntimeError(f"the GPU failed: {self._lost}")


def loaded(
    load: Callable[[], Result],
    *,
    within_s: float = LOADING_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """Return what `load` puts onto the device, tried again while the device is to blame.

    Raises at once what is no fault of the device's, and after `within_s` what is.
    """
    pauses, deadline = Backoff(), time.monotonic() + within_s
    while True:
        try:
            return load()
        except Exception as exc:
            blamed = DeviceHealth().blamed(exc)
            if blamed is exc or time.monotonic() >= deadline:
                raise
            pause_s = pauses.next_s()
            log.warning("can't load yet, tried again in %.1f s: %s", pause_s, blamed)
        sleep(pause_s)  # when the error is gone, and with it what it holds of the device's memory


def _says(error: Exception, parts: tuple[str, ...]) -> bool:
    return any(part in str(error) for part in parts)
