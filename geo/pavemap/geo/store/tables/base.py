"""What all tables share: the metadata, names of constraints, and the columns that recur."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from geoalchemy2 import Geometry
from sqlalchemy import BigInteger, DateTime, Identity, MetaData, Text, func
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import UserDefinedType

SRID = 4326
"""Every geometry is stored in WGS 84 degrees; metres are measured in the survey's CRS beforehand."""

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """The base of pavemap's tables; str is text, dict is jsonb, datetime has a time zone."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy's own declaration)
        str: Text,
        datetime: DateTime(timezone=True),
        uuid.UUID: UUID(as_uuid=True),
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
    }


BigId = Annotated[int, mapped_column(BigInteger, Identity(always=False), primary_key=True)]
"""Numbered by the database; a bulk load may reserve numbers first and bring them along."""

Created = Annotated[datetime, mapped_column(server_default=func.now())]


class Box(UserDefinedType[str]):
    """PostgreSQL's own box, '(east,north),(west,south)': an index on it answers without the table."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """Return the type's name in SQL."""
        return "box"


PGDialect.ischema_names["box"] = Box  # so that reading the schema back knows it


def geometry(kind: str) -> Geometry:
    """Return the column type of a WGS 84 geometry; its index is declared, with a name, on the table."""
    return Geometry(kind, srid=SRID, dimension=3 if kind.endswith("Z") else 2, spatial_index=False)
