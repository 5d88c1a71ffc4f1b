"""How training samples are changed at random."""

from __future__ import annotations

from pydantic import Field

from pavemap.training.strict_model import StrictModel


class Augmentation(StrictModel):
    """Random changes of a training sample; the paper's recipe uses none (`flips=False` and no scale)."""

    flips: bool = Field(
        default=False, description="samples are mirrored and turned by right angles"
    )
    scale_min: float = Field(
        default=1.0, gt=0.1, le=1.0, description="least factor that crops are scaled by; 1 is none"
    )
    scale_max: float = Field(
        default=1.0,
        ge=1.0,
        lt=10.0,
        description="greatest factor that crops are scaled by; 1 is none",
    )
    turned: float = Field(
        default=0.0, ge=0, le=1, description="share of samples turned by any angle"
    )
    light: float = Field(
        default=0.0, ge=0, le=1, description="strength of brightness and colour change"
    )
    blur: float = Field(default=0.0, ge=0, le=1, description="share of samples blurred")
    noise: float = Field(default=0.0, ge=0, le=1, description="share of samples with sensor noise")
    distractors: float = Field(
        default=0.0, ge=0, le=1, description="share of crops with joints, paint and stains drawn in"
    )
    drawn_cracks: float = Field(
        default=0.0, ge=0, le=1, description="share of crops with cracks drawn in, and labelled"
    )
    cracked: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="of the crops of images that have a crack, the share taken near one",
    )
