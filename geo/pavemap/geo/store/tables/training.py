"""Training jobs as they were last seen: what outlives the cluster that runs them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pavemap.geo.store.tables.base import Base, Created


class TrainingJob(Base):
    """One configuration that was handed to a cluster, however often; `id` is made of its digest."""

    __tablename__ = "training_job"
    __table_args__ = (
        CheckConstraint(
            "state IN ('pending', 'running', 'succeeded', 'failed', 'stopped', 'lost')",
            name="state",
        ),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    backend: Mapped[str]
    config: Mapped[dict[str, Any]]
    state: Mapped[str]
    message: Mapped[str] = mapped_column(server_default="")
    submissions: Mapped[int] = mapped_column(server_default="1")
    created_at: Mapped[Created]
    submitted_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    seen_at: Mapped[Created]
    """When the cluster last told the state."""
