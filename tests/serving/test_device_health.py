"""A GPU that fails is no chip's fault, and its Detector is replaced."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch

from pavemap.geo.errors import Unavailable
from pavemap.serving.args import ServingArgs
from pavemap.serving.detector import Detector
from pavemap.serving.device_health import DeviceHealth, loaded
from pavemap.training.errors import BadModel
from pavemap.training.inference import CrackModel
from pavemap.training.models.shipped_models import default_card


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


@pytest.mark.parametrize(
    "message",
    [
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "GET was unable to find an engine to execute this computation",
        "cuDNN Frontend error: [cudnn_frontend] Error: No valid execution plans built.",
    ],
)
def test_what_the_gpus_libraries_lack_is_waited_for(message: str) -> None:
    health = DeviceHealth()
    assert isinstance(health.blamed(RuntimeError(message)), Unavailable)
    health.check()


@pytest.mark.parametrize(
    "message",
    [
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasSgemm(...)`",
    ],
)
def test_a_library_that_lost_the_gpu_fails_the_health_check(message: str) -> None:
    health = DeviceHealth()
    assert isinstance(health.blamed(RuntimeError(message)), Unavailable)
    with pytest.raises(RuntimeError, match="_STATUS_"):
        health.check()


class Full:
    """A GPU whose memory another holds for so many tries."""

    def __init__(self, tries: int) -> None:
        self.tries, self.pauses_s = tries, list[float]()

    def load(self) -> str:
        if len(self.pauses_s) < self.tries:
            raise torch.OutOfMemoryError("2 GiB")
        return "model"


def test_a_gpu_that_is_full_is_waited_for_when_a_model_is_loaded() -> None:
    gpu = Full(tries=12)
    assert loaded(gpu.load, sleep=gpu.pauses_s.append) == "model"
    assert len(gpu.pauses_s) == 12
    assert sum(gpu.pauses_s) > 30.0, "longer than a few quick tries of Serve's"


def test_a_gpu_that_stays_full_is_given_up_in_the_end() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        loaded(Full(tries=1).load, within_s=0.0)


def test_a_model_that_is_wrong_is_not_waited_for() -> None:
    def load() -> None:
        raise BadModel("the weights don't fit")

    with pytest.raises(BadModel):
        loaded(load)


def test_a_detector_waits_for_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    load, tried = CrackModel.load, list[Path]()

    def full_at_first(folder: Path, **options: Any) -> CrackModel:
        tried.append(folder)
        if len(tried) == 1:
            raise torch.OutOfMemoryError("2 GiB")
        return load(folder, **options)

    monkeypatch.setattr(CrackModel, "load", full_at_first)
    monkeypatch.setattr("ray.get_gpu_ids", list)  # would start a Ray
    detector = Detector(ServingArgs(detector_threads=1))
    assert len(tried) == 2
    assert asyncio.run(detector.model_id()) == default_card().model_id
