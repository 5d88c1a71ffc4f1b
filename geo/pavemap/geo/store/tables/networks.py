"""A road network as it was imported: its roads, and its segments with their pavement."""

from __future__ import annotations

import uuid
from typing import Any

from geoalchemy2 import WKBElement
from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from pavemap.geo.store.tables.base import Base, BigId, Created, geometry


class Network(Base):
    """One imported network; never changed afterwards, so that histories stay true."""

    __tablename__ = "network"
    __table_args__ = (Index("ix_network_replaces", "replaces"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    name: Mapped[str] = mapped_column(unique=True)
    digest: Mapped[str]
    source_crs: Mapped[str]
    segment_length_m: Mapped[float | None]
    """Null where roads are not cut by length."""
    segments_by: Mapped[str] = mapped_column(server_default="length")
    """'length', 'sections', 'intersections' or 'intersections+length'."""
    replaces: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("network.id", ondelete="SET NULL")
    )
    """The older network whose segments this one's go on with."""
    road_count: Mapped[int]
    segment_count: Mapped[int]
    length_m: Mapped[float]
    extent: Mapped[WKBElement] = mapped_column(geometry("POLYGON"))
    report: Mapped[list[Any]]
    created_at: Mapped[Created]


class Road(Base):
    """One line of a network."""

    __tablename__ = "road"
    __table_args__ = (
        UniqueConstraint("network_id", "road_key"),
        Index("ix_road_geom", "geom", postgresql_using="gist"),
    )

    id: Mapped[BigId]
    network_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("network.id", ondelete="CASCADE"))
    road_key: Mapped[str]
    name: Mapped[str]
    width_m: Mapped[float]
    width_source: Mapped[str] = mapped_column(server_default="default")
    """'field', 'lanes' or 'default'."""
    lanes: Mapped[int | None]
    oneway: Mapped[bool | None]
    """In the direction of the line."""
    surface: Mapped[str] = mapped_column(server_default="")
    geom: Mapped[WKBElement] = mapped_column(geometry("LINESTRING"))


class Segment(Base):
    """A stretch of a road by linear reference: its centre-line and the pavement that is its own."""

    __tablename__ = "segment"
    __table_args__ = (
        UniqueConstraint("network_id", "segment_key"),
        Index("ix_segment_road_id", "road_id"),
        Index("ix_segment_geom", "geom", postgresql_using="gist"),
        Index("ix_segment_pavement", "pavement", postgresql_using="gist"),
        Index("ix_segment_lineage", "lineage", postgresql_where=text("lineage IS NOT NULL")),
        # The same stretch of road in another network, as surveys are compared.
        Index("ix_segment_stretch", "network_id", text("coalesce(lineage, id)")),
    )

    id: Mapped[BigId]
    network_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("network.id", ondelete="CASCADE"))
    road_id: Mapped[int] = mapped_column(BigInteger, ForeignKey("road.id", ondelete="CASCADE"))
    segment_key: Mapped[str]
    name: Mapped[str]
    from_m: Mapped[float]
    to_m: Mapped[float]
    length_m: Mapped[float]
    width_m: Mapped[float]
    width_source: Mapped[str] = mapped_column(server_default="default")
    lanes: Mapped[int | None]
    oneway: Mapped[bool | None]
    surface: Mapped[str] = mapped_column(server_default="")
    lineage: Mapped[int | None] = mapped_column(BigInteger)
    """The first segment that was this stretch of road, in an older network; null for a first one."""
    pavement_m2: Mapped[float]
    geom: Mapped[WKBElement] = mapped_column(geometry("LINESTRING"))
    pavement: Mapped[WKBElement] = mapped_column(geometry("MULTIPOLYGON"))
