"""Which storage belongs to the database: one row, once any was used."""

from __future__ import annotations

import uuid

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pavemap.geo.store.tables.base import Base


class StorageIdentity(Base):
    """The id of the storage that imagery and models lie in; there is one row or none."""

    __tablename__ = "storage_identity"
    __table_args__ = (CheckConstraint("sole", name="sole"),)

    sole: Mapped[bool] = mapped_column(primary_key=True, server_default="true")
    id: Mapped[uuid.UUID]
