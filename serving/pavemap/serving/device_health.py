"""Whether a Detector's GPU can still be used: an error of the device is no chip's fault."""

from __future__ import annotations

import torch

from pavemap.geo.errors import Unavailable


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
        if isinstance(error, torch.AcceleratorError):
            self._lost = str(error)
            return Unavailable(f"the Detector's GPU failed, and the Detector is replaced ({error})")
        return error

    def check(self) -> None:
        """Raise RuntimeError once the device is lost: Serve then replaces the Detector."""
        if self._lost:
            raise RuntimeError(f"the GPU failed: {self._lost}")
