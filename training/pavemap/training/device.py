"""What a device is fast at: bf16 where it has it, channels-last modules, no subnormal numbers."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import nn

from pavemap.training.config import Precision

Module = TypeVar("Module", bound=nn.Module)


@cache
def has_fast_bf16(kind: str) -> bool:
    """Whether a device kind ('cpu', 'cuda') multiplies bf16 in hardware."""
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """bf16 where it is wanted; else plain fp32."""
    wanted = wants_bf16(device, precision)
    return torch.autocast(device.type, torch.bfloat16) if wanted else nullcontext()


def wants_bf16(device: torch.device, precision: Precision) -> bool:
    """Whether bf16 is asked for or, with 'auto', fast."""
    return precision == "bf16" or (precision == "auto" and has_fast_bf16(device.type))


def channels_last(module: Module, device: torch.device) -> Module:
    """A module on a device, its convolutions laid out as the fast kernels want them."""
    # torch's own annotations leave memory_format out of Module.to
    return cast(Module, cast(Any, module).to(device, memory_format=torch.channels_last))


def flush_subnormals(wanted: bool) -> None:
    """Whether this thread takes numbers below 1e-38 for zero.

    A penalty on weights drives some of them there, and processors are tens of times slower on them:
    after 2,000 iterations a step of the paper's network took three times as long as at the start.
    """
    torch.set_flush_denormal(wanted)
