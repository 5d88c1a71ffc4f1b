"""Whether a file of weights can be what its card says, known before any memory is taken for it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pavemap.training.errors import BadModel
from pavemap.training.models.card import ModelCard, check_reach

MAX_HEADER_BYTES = 4 << 20
LENGTH_BYTES = 8  # of the header's length, before it
UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a header raises that holds something else than names, shapes and places."""


def check_weights(path: Path, card: ModelCard) -> None:
    """Raise BadModel where a file is no safetensors, or of another network than its card's.

    Where torch is not installed, as beside the API alone, the network isn't known: there it must be
    safetensors, no more.
    """
    shapes = _shapes(path)
    if find_spec("torch") is None:
        return
    import torch

    from pavemap.training.architectures import build_network
    from pavemap.training.networks.dense import dense_form

    with torch.device("meta"):  # shapes alone, however large
        network = build_network(card.architecture, card.architecture_args, channels=card.channels)
        wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        reach_px = dense_form(network, stride=1).reach_px
    if shapes != wanted:
        raise BadModel(
            f"the weights don't fit their card: {card.architecture} with {card.architecture_args} and "
            f"{card.channels} channels has others; say in the card what the network was trained with"
        )
    check_reach(card, reach_px)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Of all tensors in a safetensors file, by its header (github.com/huggingface/safetensors, Format)."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = file.read(length) if length <= MAX_HEADER_BYTES else b""
    try:
        told = {name: each for name, each in _object(header).items() if name != "__metadata__"}
        shapes = {name: tuple(int(size) for size in each["shape"]) for name, each in told.items()}
        ends = [int(each["data_offsets"][1]) for each in told.values()]
    except UNREADABLE as exc:
        raise BadModel(f"{path.name} is no safetensors file; a model's weights are one") from exc
    if LENGTH_BYTES + length + max(ends, default=0) != path.stat().st_size:
        raise BadModel(f"{path.name} is cut short, or longer than it says; copy it again")
    return shapes


def _object(header: bytes) -> dict[str, Any]:
    found = json.loads(header)
    if not isinstance(found, dict):
        raise TypeError("no object")
    return found
