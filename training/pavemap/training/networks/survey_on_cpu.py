"""The survey network on a CPU, by OpenVINO, which is faster than torch's own operations."""

from __future__ import annotations

import warnings
from threading import Lock
from typing import Any, cast

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from pavemap.training.networks.scaling import scaled

EXAMPLE_PX = 32  # any side will do: the compiled network takes all


class SurveyOnCpu:
    """A survey network, its batch normalisation folded, compiled for this machine's processor."""

    def __init__(self, network: nn.Module, *, channels: int, bf16: bool, threads: int) -> None:
        example = torch.zeros(1, EXAMPLE_PX, EXAMPLE_PX, channels, dtype=torch.uint8)
        model = _converted(_OfBytes(network).eval(), example)
        model.reshape([-1, -1, -1, channels])
        # Unpinned: several Detectors on one machine would all be pinned to its first cores.
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        self._request = compiled.create_infer_request()  # holds the memory of a pass: one at a time
        self._lock = Lock()

    def logits(self, chips: NDArray[np.uint8]) -> Tensor:
        """Logits (N, 1, H, W) of bytes (N, H, W, C), H and W multiples of the network's alignment."""
        with self._lock:
            found = self._request.infer([chips])[0]
        return torch.from_numpy(found)


class _OfBytes(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, chips: Tensor) -> Tensor:
        logits: Tensor = self.network(scaled(chips))
        return logits


@torch.inference_mode()
def _converted(network: nn.Module, example: Tensor) -> openvino.Model:
    """As `openvino.convert_model` does, which would tell its makers of it."""
    with warnings.catch_warnings():
        # Deprecated for torch's own use; OpenVINO reads what torch.export makes ten times more slowly.
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = cast(Any, torch.jit).trace(network, example, check_trace=False)
    # A name of its own: what is loaded needs the decoder, and doesn't keep it.
    decoder = TorchScriptPythonDecoder(traced, skip_freeze=True)
    frontend = FrontEndManager().load_by_framework("pytorch")
    return frontend.convert(frontend.load(decoder))
