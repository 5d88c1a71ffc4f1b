"""Whether a file of weights can be what its card says, known before any network is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from pavemap.training.errors import BadModel
from pavemap.training.models.card import ModelCard, check_reach

MAX_HEADER_BYTES = 4 << 20
LENGTH_BYTES = 8  # of the header's length, before it
KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
"""Of numbers that a network's weights and counters are made of, as numpy reads them."""
READ_BYTES = 4 << 20  # at once, whole numbers of any kind
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a header raises that holds something else than names, shapes and places."""


@dataclass(frozen=True)
class _Tensor:
    """What a header says of a tensor."""

    kind: str  # one of KINDS
    shape: tuple[int, ...]
    place: tuple[int, int]  # of its first byte, and past its last

    @classmethod
    def of(cls, said: Any, *, start: int) -> _Tensor:
        """Of what a header says, its places counted from the byte `start` of the file on.

        Raises one of UNREADABLE for what is no tensor, or of another kind than weights are.
        """
        first, last = said["data_offsets"]
        if said["dtype"] not in KINDS:
            raise ValueError("no kind of weights")
        shape = tuple(int(size) for size in said["shape"])
        return cls(said["dtype"], shape, (start + int(first), start + int(last)))

    @property
    def size_bytes(self) -> int:
        """By its shape."""
        return prod(self.shape) * np.dtype(KINDS[self.kind]).itemsize

    def is_finite(self, content: bytes) -> bool:
        """Whether its numbers are."""
        values = np.frombuffer(content, KINDS[self.kind])
        if self.kind == "BF16":  # the upper half of a float
            return bool(((values & 0x7F80) != 0x7F80).all())
        return bool(np.isfinite(values).all())


def check_weights(path: Path, card: ModelCard) -> None:
    """Raise BadModel where a file is no safetensors of finite numbers, or of another network than its card.

    Where torch is not installed, as beside the API alone, the network isn't known: there its shapes may
    be any.
    """
    tensors = _tensors(path)
    if card.architecture_args.get("channels", card.channels) != card.channels:
        raise BadModel(
            f"the card says {card.channels} channels, its architecture_args say "
            f"{card.architecture_args['channels']}; leave them out of the architecture_args, and say in "
            "the card what the network was trained with"
        )
    _check_finite(path, tensors)
    if find_spec("torch") is None:
        return
    import torch

    from pavemap.training.architectures import build_network
    from pavemap.training.networks.dense import dense_form

    with torch.device("meta"):  # shapes alone, however large
        network = build_network(card.architecture, card.architecture_args, channels=card.channels)
        wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        reach_px = dense_form(network, stride=1).reach_px
    if {name: each.shape for name, each in tensors.items()} != wanted:
        raise BadModel(
            f"the weights don't fit their card: {card.architecture} with {card.architecture_args} and "
            f"{card.channels} channels has others; say in the card what the network was trained with"
        )
    check_reach(card, reach_px)


def _tensors(path: Path) -> dict[str, _Tensor]:
    """All tensors in a safetensors file, by its header (github.com/huggingface/safetensors, Format)."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = file.read(length) if length <= MAX_HEADER_BYTES else b""
    start = LENGTH_BYTES + length
    try:
        said = {name: each for name, each in _object(header).items() if name != "__metadata__"}
        found = {name: _Tensor.of(each, start=start) for name, each in said.items()}
    except UNREADABLE as exc:
        raise BadModel(f"{path.name} is no safetensors file; a model's weights are one") from exc
    end = start
    for each in sorted(found.values(), key=lambda one: one.place):
        if each.place != (end, end + each.size_bytes):
            raise BadModel(
                f"the tensors in {path.name} don't lie one behind the other; save the weights again"
            )
        end = each.place[1]
    if end != path.stat().st_size:
        raise BadModel(f"{path.name} is cut short, or longer than it says; copy it again")
    return found


def _check_finite(path: Path, tensors: Mapping[str, _Tensor]) -> None:
    with path.open("rb") as file:
        for name, each in tensors.items():
            file.seek(each.place[0])
            steps = range(0, each.size_bytes, READ_BYTES)
            parts = (file.read(min(READ_BYTES, each.size_bytes - done)) for done in steps)
            if not all(map(each.is_finite, parts)):
                raise BadModel(
                    f"{name} in {path.name} holds a number that is not finite; its training has failed, "
                    "train it again at a lower learning_rate"
                )


def _object(header: bytes) -> dict[str, Any]:
    found = json.loads(header)
    if not isinstance(found, dict):
        raise TypeError("no object")
    return found
