"""A model folder as one ZIP file, to be sent from machine to machine."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pavemap.geo.zips import UNREADABLE
from pavemap.training.errors import BadModel
from pavemap.training.models.card import (
    CARD_FILE,
    WEIGHTS_FILE,
    ModelCard,
    checked_weights,
    read_card,
)

MAX_CARD_BYTES = 4 << 20
MAX_WEIGHTS_BYTES = 1 << 30
LIMITS = {CARD_FILE: MAX_CARD_BYTES, WEIGHTS_FILE: MAX_WEIGHTS_BYTES}

BLOCK_BYTES = 1 << 20


def pack_model(folder: Path, archive: Path) -> ModelCard:
    """Write a model folder as a ZIP of its two files; its card. Raises BadModel."""
    card = read_card(folder)
    checked_weights(folder, card)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as target:
        for name in LIMITS:
            target.write(folder / name, name)
    return card


def unpack_model(archive: Path, folder: Path) -> ModelCard:
    """Write the two files of a model's ZIP into a folder; its card, the weights checked against it.

    Nothing else in the ZIP is looked at, and no name in it becomes a path. Raises BadModel when a file
    is missing, larger than a model's would be, or damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as source:
            for name, limit in LIMITS.items():
                _copy(source, name, folder / name, limit=limit)
    except UNREADABLE as exc:
        raise BadModel(f"the file is no ZIP of a model folder: {exc}") from exc
    card = read_card(folder)
    checked_weights(folder, card)
    return card


def _copy(source: zipfile.ZipFile, name: str, target: Path, *, limit: int) -> None:
    try:
        member = source.getinfo(name)
    except KeyError as exc:
        wanted = " and ".join(LIMITS)
        raise BadModel(f"the ZIP has no {name}; a model is {wanted}, side by side") from exc
    if member.flag_bits & 1:
        raise BadModel(f"{name} is encrypted; pack the model without a password")
    size = 0
    with source.open(member) as file, target.open("wb") as sink:
        while block := file.read(BLOCK_BYTES):
            size += len(block)
            if size > limit:
                raise BadModel(f"{name} is larger than {limit >> 20} MB; is it a model?")
            sink.write(block)
