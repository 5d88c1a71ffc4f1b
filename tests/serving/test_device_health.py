"""A GPU that fails is no chip's fault, and its Detector is replaced."""

from __future__ import annotations

import pytest
import torch

from pavemap.geo.errors import Unavailable
from pavemap.serving.device_health import DeviceHealth


def test_a_chips_own_error_stays_what_it_is() -> None:
    health, error = DeviceHealth(), RuntimeError("of this chip")
    assert health.blamed(error) is error
    health.check()


def test_memory_that_another_took_is_waited_for() -> None:
    health = DeviceHealth()
    assert isinstance(health.blamed(torch.OutOfMemoryError("2 GiB")), Unavailable)
    health.check()


def test_a_lost_device_fails_the_health_check_from_then_on() -> None:
    health = DeviceHealth()
    assert isinstance(health.blamed(torch.AcceleratorError("illegal address")), Unavailable)
    with pytest.raises(RuntimeError, match="illegal address"):
        health.check()
