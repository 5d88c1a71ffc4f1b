"""Model versions as the API shows them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pavemap.geo.store.model_versions import ModelRow
from pavemap.geo.store.promotions import PromotionRow
from pavemap.training.models.comparison import TESTS, f1_by_set

EXAMPLE_MODEL: JsonDict = {
    "id": "old-town-1f0c9d3e",
    "name": "old-town",
    "in_use": False,
    "architecture": "survey-unet",
    "gsd_m": 0.002,
    "threshold": 0.55,
    "licence": "CC-BY-4.0",
    "f1": {"old-town/test": 0.91},
    "created_at": "2026-05-04T12:00:00Z",
}
_SHOWN = ("name", "architecture", "gsd_m", "threshold", "licence")
EXAMPLE_CARD: JsonDict = {name: EXAMPLE_MODEL[name] for name in _SHOWN}


class ModelOut(BaseModel):
    """A model version."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_MODEL]})

    id: str
    name: str
    in_use: bool = Field(description="whether new surveys are made with it")
    architecture: str
    gsd_m: float = Field(description="ground metres per pixel that it reads imagery at")
    threshold: float = Field(description="probability from which a pixel is crack")
    licence: str
    f1: dict[str, float] = Field(description="mean F1 by test set")
    created_at: datetime

    @classmethod
    def of(cls, row: ModelRow, *, in_use: bool, **more: Any) -> Self:
        """Describe a stored model version."""
        card = row.card
        return cls(
            id=row.id,
            name=row.name,
            in_use=in_use,
            architecture=card["architecture"],
            gsd_m=card["gsd_m"],
            threshold=card["threshold"],
            licence=card.get("licence", "not stated"),
            f1=f1_by_set(card.get("metrics", {}).get(TESTS, [])),
            created_at=row.created_at,
            **more,
        )


class ModelWithCard(ModelOut):
    """A model version with its whole card."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**EXAMPLE_MODEL, "card": EXAMPLE_CARD}]}
    )

    card: dict[str, Any]


class PromotionIn(BaseModel):
    """Whether to promote what scores worse, too."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"force": False}]})

    force: bool = Field(default=False, description="promote it though it scores worse")


class PromotionOut(BaseModel):
    """That a model version was made the one for new surveys."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 5,
                    "model_id": "old-town-1f0c9d3e",
                    "former_id": "survey-unet-fffb1082",
                    "forced": False,
                    "comparison": {"common": ["old-town/test"], "gain": 0.021},
                    "promoted_at": "2026-05-04T12:10:00Z",
                }
            ]
        }
    )

    id: int
    model_id: str
    former_id: str | None = Field(description="the version whose place it took")
    forced: bool
    comparison: dict[str, Any] = Field(description="F1 of both by test set, when it was decided")
    promoted_at: datetime

    @classmethod
    def of(cls, row: PromotionRow) -> Self:
        """Describe a stored promotion."""
        return cls(
            id=row.id,
            model_id=row.model_id,
            former_id=row.former_id,
            forced=row.forced,
            comparison=dict(row.comparison),
            promoted_at=row.promoted_at,
        )
