"""What a survey found: whole cracks, their pieces by segment, and the condition of each segment.

Cracks and pieces come by the million and leave by the survey. Foreign keys would more than double the
time of loading them, and delete them one by one; they are written by one function in one transaction
that holds their survey, and a trigger takes them along, in one statement, when a survey is deleted.
Their keys begin with the survey: one index finds and pages them, and partitions by survey stay open.
"""

from __future__ import annotations

import uuid
from typing import Any

from geoalchemy2 import WKBElement
from sqlalchemy import DDL, JSON, BigInteger, ForeignKey, Index, event
from sqlalchemy.orm import Mapped, mapped_column

from pavemap.geo.store.tables.base import Base, BigId, Box, Created, geometry


class Crack(Base):
    """A crack over any number of cells, measured in true metres; z is its width in millimetres."""

    __tablename__ = "crack"
    __table_args__ = (Index("ix_crack_geom", "geom", postgresql_using="gist"),)

    survey_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[BigId]
    model_id: Mapped[str | None]
    """The version that found it; null of one that a reviewer drew."""
    found_digest: Mapped[str | None]
    """Of the course of the crack as it was found, where reviewers moved or cut it or judged it in part."""
    geom: Mapped[WKBElement] = mapped_column(geometry("LINESTRINGZ"))
    length_m: Mapped[float]
    width_mean_mm: Mapped[float]
    width_p95_mm: Mapped[float]
    width_max_mm: Mapped[float]
    area_m2: Mapped[float]
    confidence: Mapped[float | None]
    """Mean probability along it, 0 to 1; null where that was not kept."""


class Piece(Base):
    """The part of a crack on one segment's pavement.

    For users' own SQL; pavemap itself asks for none. To be read by survey and segment (places are asked of
    `crack`), hence without a spatial index.
    """

    __tablename__ = "piece"

    survey_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    segment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[BigId]
    crack_id: Mapped[int] = mapped_column(BigInteger)
    type: Mapped[str | None]
    """One of `pavemap.geo.measures.TYPES`."""
    severity: Mapped[str | None]
    """One of `pavemap.geo.measures.SEVERITIES`, by mean width; null where that is not known."""
    geom: Mapped[WKBElement] = mapped_column(geometry("LINESTRINGZ"))
    length_m: Mapped[float]
    width_mean_mm: Mapped[float]
    width_p95_mm: Mapped[float]
    width_max_mm: Mapped[float]
    area_m2: Mapped[float]


class Condition(Base):
    """The figures of one segment in one survey, with the imaged area that they rest on.

    Only segments that the imagery reaches have one, be it that nothing was seen of them; the rest of
    the network was not surveyed. Figures are null where nothing was imaged, never 0; `reason` says why
    pavement was not imaged. What each measure is: `pavemap.geo.measures`; shares and ratings are in
    per cent.

    The worst segments in a box are found in either of two indexes alone: `ix_condition_place` for a
    box with few segments, `ix_condition_density` from the top for one with many. Hence `place`, and
    the density among the places.
    """

    __tablename__ = "condition"
    __table_args__ = (
        Index(
            "ix_condition_density",
            *("survey_id", "density_m_per_m2", "segment_id"),
            postgresql_include=["place"],
        ),
        Index(
            "ix_condition_place",
            *("survey_id", "place"),
            postgresql_using="gist",
            postgresql_include=["segment_id", "density_m_per_m2"],
        ),
        Index("ix_condition_segment_id", "segment_id", "survey_id"),
        # An index answers alone only for pages that were vacuumed since they were written.
        {"postgresql_with": {"autovacuum_vacuum_insert_scale_factor": "0.02"}},
    )

    survey_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("survey.id", ondelete="CASCADE"), primary_key=True
    )
    segment_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("segment.id", ondelete="CASCADE"), primary_key=True
    )
    crack_length_m: Mapped[float | None]
    cracked_area_m2: Mapped[float | None]
    imaged_m2: Mapped[float]
    pavement_m2: Mapped[float]
    coverage: Mapped[float]
    density_m_per_m2: Mapped[float | None]
    crack_count: Mapped[int | None]
    reason: Mapped[str] = mapped_column(server_default="")
    too_coarse: Mapped[float] = mapped_column(server_default="0")
    """Share of the pavement that was seen in imagery coarser than the model is meant for."""
    confident: Mapped[bool] = mapped_column(server_default="true")
    """Whether coverage, less what is too coarse, is at least the survey's `min_coverage`."""
    cracked_area_share: Mapped[float | None]
    length_longitudinal_m: Mapped[float | None]
    length_transverse_m: Mapped[float | None]
    length_diagonal_m: Mapped[float | None]
    length_alligator_m: Mapped[float | None]
    length_block_m: Mapped[float | None]
    length_low_m: Mapped[float | None]
    length_medium_m: Mapped[float | None]
    length_high_m: Mapped[float | None]
    length_unknown_m: Mapped[float | None]
    alligator_m2: Mapped[float | None]
    block_m2: Mapped[float | None]
    zeb_share: Mapped[float | None]
    zeb_evaluated: Mapped[float | None]
    cracking_percent: Mapped[float | None]
    cracking_rating: Mapped[str | None]
    pci_cracking: Mapped[float | None]
    pci_rating: Mapped[str | None]
    r85: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    """Extents by kind and zone: {kind: {zone: {length_m, width_mm}}}. Pages read it whole, as text."""
    created_at: Mapped[Created]
    place: Mapped[str] = mapped_column(Box)
    """Bounds in degrees of the segment's centre-line; a trigger fills it, whoever writes the row."""


_WITH_THEIR_SURVEY = (
    """
    CREATE FUNCTION forget_cracks() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM piece USING gone WHERE piece.survey_id = gone.id;
        DELETE FROM crack USING gone WHERE crack.survey_id = gone.id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER forget_cracks AFTER DELETE ON survey
    REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION forget_cracks()
    """,
)

_PLACED = (
    """
    CREATE FUNCTION place_condition() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.place := (SELECT box(geom) FROM segment WHERE id = NEW.segment_id);
        RETURN NEW;
    END $$
    """,
    """
    CREATE TRIGGER place_condition BEFORE INSERT ON condition
    FOR EACH ROW EXECUTE FUNCTION place_condition()
    """,
)

for _statement in (*_WITH_THEIR_SURVEY, *_PLACED):
    event.listen(Base.metadata, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]
event.listen(  # GiST over a survey's id and a place
    Base.metadata,
    "before_create",
    DDL("CREATE EXTENSION IF NOT EXISTS btree_gist"),  # type: ignore[no-untyped-call]
)
