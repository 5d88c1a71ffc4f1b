"""A survey, its imagery, and the model version that looks at it."""

from __future__ import annotations

import uuid
from datetime import date, datetime
from typing import Any

from geoalchemy2 import WKBElement
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pavemap.geo.store.tables.base import Base, BigId, Created, geometry


class ModelVersion(Base):
    """Weights that may look at a survey; `id` is '<name>-<first 8 of the digest>'."""

    __tablename__ = "model_version"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[str]
    card: Mapped[dict[str, Any]]
    uri: Mapped[str]
    created_at: Mapped[Created]


class ModelPromotion(Base):
    """That a model version was made the one for new surveys; the latest row holds."""

    __tablename__ = "model_promotion"
    __table_args__ = (
        Index("ix_model_promotion_model_id", "model_id"),
        Index("ix_model_promotion_former_id", "former_id"),
        Index("ix_model_promotion_takes_back", "takes_back"),
    )

    id: Mapped[BigId]
    model_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"))
    former_id: Mapped[str | None] = mapped_column(ForeignKey("model_version.id"))
    forced: Mapped[bool]
    comparison: Mapped[dict[str, Any]]
    """How the two versions scored on the same test sets when it was decided."""
    takes_back: Mapped[int | None] = mapped_column(BigInteger, ForeignKey("model_promotion.id"))
    """The promotion that this one undoes, of a rollback."""
    promoted_at: Mapped[Created]


class Survey(Base):
    """One campaign over a network; also the job: its state and the lease of who measures it."""

    __tablename__ = "survey"
    __table_args__ = (
        CheckConstraint(
            "state IN ('created', 'running', 'measuring', 'done', 'failed')", name="state"
        ),
        Index("ix_survey_network_id", "network_id"),
        # Few surveys are at work at any time: what workers look through stays tiny.
        Index(
            "ix_survey_at_work",
            "started_at",
            "id",
            postgresql_where="state IN ('running', 'measuring')",
        ),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    name: Mapped[str]
    network_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("network.id"))
    model_id: Mapped[str] = mapped_column(ForeignKey("model_version.id"))
    captured_on: Mapped[date | None]
    crs: Mapped[str]
    gsd_m: Mapped[float]
    cell_px: Mapped[int]
    halo_px: Mapped[int]
    params: Mapped[dict[str, Any]]
    measures: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    """How its figures are worked out: MeasureParams; what is not named has its default."""
    position_rmse_m: Mapped[float | None]
    """Horizontal error (radial RMSE) of its imagery, where it is known."""
    stretch: Mapped[list[Any] | None] = mapped_column(JSONB)
    """The two 16 bit values that become 0 and 255 in all its imagery, once that was planned."""
    planned_imagery: Mapped[str | None]
    """Digest of the files that its cells were last planned from, in the order they are laid; empty where a
    cell was then done with others."""
    heeds_reviews: Mapped[bool] = mapped_column(server_default="false")
    """Whether its figures are to be as its reviews say, whenever it is measured."""
    heeded_reviews: Mapped[int | None]
    """How many reviews its figures heed; null where they are as found."""
    heeded_digest: Mapped[str | None]
    """Which reviews these are."""
    state: Mapped[str] = mapped_column(server_default="created")
    epoch: Mapped[int] = mapped_column(BigInteger, server_default="0")
    """Raised whenever cells change or a measuring begins: what an older measuring wrote is refused."""
    measuring_attempts: Mapped[int] = mapped_column(server_default="0")
    """Measurings begun since it was last set running, less those given back in good order."""
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[Created]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class Orthophoto(Base):
    """A name in a survey, and the raster last uploaded under it; `key` finds its bytes in storage."""

    __tablename__ = "orthophoto"
    __table_args__ = (
        UniqueConstraint("survey_id", "name"),
        Index("ix_orthophoto_survey_id_sha256", "survey_id", "sha256"),
        Index("ix_orthophoto_footprint", "footprint", postgresql_using="gist"),
    )

    id: Mapped[BigId]
    survey_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("survey.id", ondelete="CASCADE"))
    name: Mapped[str]
    sha256: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[str]
    info: Mapped[dict[str, Any]]
    gsd_m: Mapped[float]
    warnings: Mapped[list[Any]]
    footprint: Mapped[WKBElement] = mapped_column(geometry("POLYGON"))
    uploaded_at: Mapped[Created]
