"""The JSON card that travels with a model's weights: what it is, what it was taught, how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pavemap.geo.errors import BadInput
from pavemap.geo.file_digest import file_digest
from pavemap.training.errors import BadModel

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"


class ModelCard(BaseModel):
    """All that must be known of a model besides its weights."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    version: str = "1"
    architecture: str
    architecture_args: dict[str, int | bool] = Field(default_factory=dict)
    channels: int = Field(default=3, description="1 grey, 3 RGB")
    gsd_m: float = Field(gt=0, description="ground metres per pixel to read imagery at")
    gsd_range_m: tuple[float, float] = Field(
        description="finest and coarsest imagery it is meant for"
    )
    reach_px: int = Field(
        default=64,
        ge=0,
        le=1024,
        description="no probability depends on pixels farther away: the halo of a survey's cells",
    )
    threshold: float = Field(gt=0, lt=1, description="probability from which a pixel is crack")
    calibration: tuple[float, float] | None = Field(
        default=None,
        description="slope and offset of Platt's scaling; None leaves them as they are",
    )
    vectorize: dict[str, float | int | bool | None] = Field(
        default_factory=dict, description="parameters of the vectoriser that suit this model"
    )
    data: list[str] = Field(
        default_factory=list, description="the training sets, with their licences"
    )
    licence: str = "not stated"
    intended_use: str = Field(default="not stated", description="what it is for, and what not")
    limits: str = ""
    metrics: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(
        default_factory=dict, description="seed, iterations, time, machine"
    )
    digest: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the weights file")
    created: str = Field(description="ISO 8601, UTC")

    @property
    def model_id(self) -> str:
        """The model version's name in the database: '<name>-<first 8 of the digest>'."""
        return f"{self.name}-{self.digest[:8]}"


def check_vectorize(values: Mapping[str, Any], *, threshold: float) -> None:
    """Raise BadModel where a card's parameters of the vectoriser would fail a survey."""
    from pavemap.geo.vectorizing.vectorize import VectorizeParams  # which brings a compiler along

    try:
        VectorizeParams.from_dict({**values, "threshold": threshold})
    except (BadInput, TypeError) as exc:
        raise BadModel(f"vectorize can't be used: {exc}") from exc


def check_figures(card: ModelCard) -> None:
    """Raise BadModel where nobody can mean a card's pixel sizes or its calibration.

    Not in the class: a version that was registered before must still be read.
    """
    finest, coarsest = card.gsd_range_m
    if not 0 < finest <= card.gsd_m <= coarsest:
        raise BadModel(
            f"the card of {card.model_id} is for imagery of {finest:g} to {coarsest:g} m a pixel, read at "
            f"{card.gsd_m:g}; give gsd_range_m as finest and coarsest, above 0, with gsd_m within"
        )
    if card.calibration is not None and not card.calibration[0] > 0:
        raise BadModel(
            f"the card of {card.model_id} has a calibration of slope {card.calibration[0]:g}, which turns "
            "crack into sound; give a slope above 0, or no calibration"
        )


def check_reach(card: ModelCard, reach_px: int) -> None:
    """Raise BadModel where a network depends on pixels farther away than its card says."""
    if reach_px > card.reach_px:
        raise BadModel(
            f"the network of {card.model_id} sees {reach_px} pixels around, its card says "
            f'{card.reach_px}; write "reach_px": {reach_px} into the card, or surveys would show their '
            "cells"
        )


def read_card(path: Path) -> ModelCard:
    """The card of a model folder (or of a card file).

    Raises BadModel when it is missing or says something invalid.
    """
    file = path / CARD_FILE if path.is_dir() else path
    try:
        return ModelCard.model_validate_json(file.read_bytes())
    except OSError as exc:
        raise BadModel(
            f"no model card at {file}; name a folder with {WEIGHTS_FILE} and {CARD_FILE}"
        ) from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadModel(f"the model card {file} is not valid: {where}: {first['msg']}") from exc


def write_card(card: ModelCard, folder: Path) -> None:
    """Write a card into a model folder."""
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def checked_weights(folder: Path, card: ModelCard) -> Path:
    """The weights file of a model folder, once its digest agrees with the card.

    Raises BadModel when the file is missing, cut short or exchanged.
    """
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise BadModel(f"the model folder {folder} has no {WEIGHTS_FILE}; copy it there again")
    digest = file_digest(path)
    if digest != card.digest:
        raise BadModel(
            f"{path} is not the file its card describes (SHA-256 {digest[:8]}..., the card says "
            f"{card.digest[:8]}...); copy the whole model folder again"
        )
    return path
