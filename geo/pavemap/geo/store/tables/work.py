"""The work on a survey: its cells with their leases, and what each cell gave."""

from __future__ import annotations

import uuid
from datetime import datetime

from geoalchemy2 import WKBElement
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from pavemap.geo.store.tables.base import Base, BigId, geometry


class Cell(Base):
    """One square of the survey grid that meets imagery and pavement: the unit of work and retry."""

    __tablename__ = "cell"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'leased', 'done', 'failed')", name="state"),
        # Claims walk this in order and see only what is left to do.
        Index(
            "ix_cell_open",
            "survey_id",
            "col",
            "row",
            postgresql_where="state IN ('waiting', 'leased')",
        ),
        # Heartbeats see only what is leased; lease_until stays out, so that they are HOT updates.
        Index("ix_cell_lease", "lease_owner", postgresql_where="state = 'leased'"),
        # Few, and asked for with every look at a survey and at the metrics.
        Index("ix_cell_failed", "survey_id", postgresql_where="state = 'failed'"),
        Index("ix_cell_geom", "geom", postgresql_using="gist"),
        {"postgresql_with": {"fillfactor": 80}},
    )

    survey_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("survey.id", ondelete="CASCADE"), primary_key=True
    )
    col: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    row: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    inputs_digest: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="waiting")
    lease_owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    """Claims, those whose worker died included."""
    errors: Mapped[int] = mapped_column(server_default="0")
    """Attempts that ended in an error of the cell."""
    error: Mapped[str] = mapped_column(server_default="")
    imaged_m2: Mapped[float] = mapped_column(server_default="0")
    imaged_part: Mapped[WKBElement | None] = mapped_column(geometry("MULTIPOLYGON"))
    """Of a done cell: the part of it that was imaged; null where it was all of it."""
    finished_at: Mapped[datetime | None]
    geom: Mapped[WKBElement] = mapped_column(geometry("POLYGON"))


class Worker(Base):
    """A worker that looks for cells, and the model version it looks with; null works with any.

    Written as it claims and as it keeps leases: what was not seen for a while is gone.
    """

    __tablename__ = "worker"

    name: Mapped[str] = mapped_column(primary_key=True)
    model_id: Mapped[str | None]
    seen_at: Mapped[datetime]


class Fragment(Base):
    """A crack line as one cell saw it, cut at the cell's edge; z is its width in millimetres.

    Always read by survey and cell, never by place, hence without a spatial index.
    """

    __tablename__ = "fragment"
    __table_args__ = (
        ForeignKeyConstraint(
            ["survey_id", "col", "row"],
            ["cell.survey_id", "cell.col", "cell.row"],
            name="fk_fragment_cell",
            ondelete="CASCADE",
        ),
        Index("ix_fragment_cell", "survey_id", "col", "row"),
    )

    id: Mapped[BigId]
    survey_id: Mapped[uuid.UUID]
    col: Mapped[int] = mapped_column(BigInteger)
    row: Mapped[int] = mapped_column(BigInteger)
    geom: Mapped[WKBElement] = mapped_column(geometry("LINESTRINGZ"))
    confidence: Mapped[float | None]
    """Mean probability along it; null where that was not kept."""
    sure_share: Mapped[float] = mapped_column(server_default="1")
    """How much of its length counts towards the survey's `min_length_m`."""


class CellSegment(Base):
    """How much of a segment's pavement a cell saw, in true square metres."""

    __tablename__ = "cell_segment"
    __table_args__ = (
        ForeignKeyConstraint(
            ["survey_id", "col", "row"],
            ["cell.survey_id", "cell.col", "cell.row"],
            name="fk_cell_segment_cell",
            ondelete="CASCADE",
        ),
        Index("ix_cell_segment_segment_id", "segment_id"),
    )

    survey_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    col: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    row: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    segment_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("segment.id", ondelete="CASCADE"), primary_key=True
    )
    imaged_m2: Mapped[float]
    coarse_m2: Mapped[float | None]
    """Of it, what it saw in imagery too coarse for the model; null where that was not counted yet."""
