"""What people say of a survey's cracks: the ground truth that the next model learns from."""

from __future__ import annotations

import uuid

from geoalchemy2 import WKBElement
from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pavemap.geo.store.tables.base import Base, BigId, Created, geometry


class Review(Base):
    """A reviewer's word on one line, with a copy of it: cracks are replaced when a survey is measured.

    `crack_id` says which crack it was. Numbers of cracks are never used twice, so that of a crack that
    is gone names no other one; the same crack, found again, is known by `crack_digest`.
    """

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint("verdict IN ('confirmed', 'rejected', 'drawn')", name="verdict"),
        UniqueConstraint("survey_id", "digest"),
        Index("ix_review_crack_id", "survey_id", "crack_id"),
        Index("ix_review_crack_digest", "survey_id", "crack_digest"),
        Index("ix_review_geom", "geom", postgresql_using="gist"),
    )

    survey_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("survey.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[BigId]
    verdict: Mapped[str]
    crack_id: Mapped[int | None] = mapped_column(BigInteger)
    geom: Mapped[WKBElement] = mapped_column(geometry("LINESTRINGZ"))
    """z is the width in true millimetres."""
    width_mm: Mapped[float]
    """Mean along the line."""
    digest: Mapped[str]
    """Of the line's course, without widths: `pavemap.geo.lines.line_digest`."""
    crack_digest: Mapped[str | None]
    """Of the course of the crack as it was found; the line may be moved from it, or a part of it."""
    reviewer: Mapped[str] = mapped_column(server_default="")
    note: Mapped[str] = mapped_column(server_default="")
    reviewed_at: Mapped[Created]


class ReviewedArea(Base):
    """Ground that was looked at whole: what is not labelled there is sound."""

    __tablename__ = "reviewed_area"
    __table_args__ = (
        UniqueConstraint("survey_id", "digest"),
        Index("ix_reviewed_area_geom", "geom", postgresql_using="gist"),
    )

    survey_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("survey.id", ondelete="CASCADE"), primary_key=True
    )
    id: Mapped[BigId]
    geom: Mapped[WKBElement] = mapped_column(geometry("MULTIPOLYGON"))
    digest: Mapped[str]
    reviewer: Mapped[str] = mapped_column(server_default="")
    note: Mapped[str] = mapped_column(server_default="")
    reviewed_at: Mapped[Created]
