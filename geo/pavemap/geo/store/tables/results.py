"""What a survey found: whole cracks, their pieces by segment, and the condition of each segment.

Cracks and pieces come by the million and leave by the survey. Foreign keys would more than double the
time of loading them, and delete them one by one; they are written by one function in one transaction
that holds their survey, and a trigger takes them along, in one statement, when a survey is deleted.
Their keys begin with the survey: one index finds and pages them, and partitions by survey stay open.
"""

from __future__ import annotations

import uuid

from geoalchemy2 import WKBElement
from sqlalchemy import DDL, BigInteger, ForeignKey, Index, event
from sqlalchemy.orm import Mapped, mapped_column

from pavemap.geo.store.tables.base import Base, BigId, Created, geometry


class Crack(Base):
    """A crack over any number of cells, measured in true metres; z is its width in millimetres."""

    __tablename__ = "crack"
    __table_args__ = (Index("ix_crack_geom", "geom", postgresql_using="gist"),)

    survey_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    id: Mapped[BigId]
    model_id: Mapped[str]
    geom: Mapped[WKBElement] = mapped_column(geometry("LINESTRINGZ"))
    length_m: Mapped[float]
    width_mean_mm: Mapped[float]
    width_p95_mm: Mapped[float]
    width_max_mm: Mapped[float]
    area_m2: Mapped[float]


class Piece(Base):
    """The part of a crack on one segment's pavement.

    Always read by survey and segment (places are asked of `crack`), hence without a spatial index.
    """

    __tablename__ = "piece"

    survey_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    segment_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    id: Mapped[BigId]
    crack_id: Mapped[int] = mapped_column(BigInteger)
    geom: Mapped[WKBElement] = mapped_column(geometry("LINESTRINGZ"))
    length_m: Mapped[float]
    width_mean_mm: Mapped[float]
    width_p95_mm: Mapped[float]
    width_max_mm: Mapped[float]
    area_m2: Mapped[float]


class Condition(Base):
    """The figures of one segment in one survey, with the imaged area that they rest on.

    Only segments whose pavement meets a planned cell have one; the rest of the network was not
    surveyed. `density_m_per_m2` is null where nothing was imaged, never 0; `reason` says why
    pavement was not imaged.
    """

    __tablename__ = "condition"
    __table_args__ = (
        Index("ix_condition_density", "survey_id", "density_m_per_m2", "segment_id"),
        Index("ix_condition_segment_id", "segment_id", "survey_id"),
    )

    survey_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("survey.id", ondelete="CASCADE"), primary_key=True
    )
    segment_id: Mapped[int] = mapped_column(
        BigInteger, ForeignKey("segment.id", ondelete="CASCADE"), primary_key=True
    )
    crack_length_m: Mapped[float]
    cracked_area_m2: Mapped[float]
    imaged_m2: Mapped[float]
    pavement_m2: Mapped[float]
    coverage: Mapped[float]
    density_m_per_m2: Mapped[float | None]
    crack_count: Mapped[int]
    reason: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[Created]


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
for _statement in _WITH_THEIR_SURVEY:
    event.listen(Base.metadata, "after_create", DDL(_statement))  # type: ignore[no-untyped-call]
