"""A road network as it was imported: its roads, and its segments with their pavement."""

from __future__ import annotations

import uuid
from typing import Any

from geoalchemy2 import WKBElement
from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from pavemap.geo.store.tables.base import Base, BigId, Created, geometry


class Network(Base):
    """One imported network; never changed afterwards, so that histories stay true."""

    __tablename__ = "network"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    name: Mapped[str] = mapped_column(unique=True)
    digest: Mapped[str]
    source_crs: Mapped[str]
    segment_length_m: Mapped[float | None]
    """Null where each road is one segment."""
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
    geom: Mapped[WKBElement] = mapped_column(geometry("LINESTRING"))


class Segment(Base):
    """A stretch of a road by linear reference: its centre-line and the pavement that is its own."""

    __tablename__ = "segment"
    __table_args__ = (
        UniqueConstraint("network_id", "segment_key"),
        Index("ix_segment_road_id", "road_id"),
        Index("ix_segment_geom", "geom", postgresql_using="gist"),
        Index("ix_segment_pavement", "pavement", postgresql_using="gist"),
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
    pavement_m2: Mapped[float]
    geom: Mapped[WKBElement] = mapped_column(geometry("LINESTRING"))
    pavement: Mapped[WKBElement] = mapped_column(geometry("MULTIPOLYGON"))
