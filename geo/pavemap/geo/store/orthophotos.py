"""The imagery of surveys in the store: one row for one file, whatever it is called or how often sent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, Row, Select, delete, func, insert, select

from pavemap.geo.orthophoto import Orthophoto
from pavemap.geo.store import tables
from pavemap.geo.store.bulk import geometry_value
from pavemap.geo.store.places import search_area
from pavemap.geo.store.surveys import lock_survey

_TABLE = tables.Orthophoto


@dataclass(frozen=True, kw_only=True)
class OrthophotoRow:
    """An uploaded raster: `key` finds its bytes in storage; `info` is without a path (`info.at`)."""

    id: int
    survey_id: uuid.UUID
    name: str
    sha256: str
    bytes: int
    key: str
    info: Orthophoto
    gsd_m: float
    warnings: tuple[str, ...]
    uploaded_at: datetime


def add_orthophoto(
    connection: Connection,
    *,
    survey_id: uuid.UUID,
    name: str,
    sha256: str,
    bytes: int,  # noqa: A002 (the column's name)
    key: str,
    info: Orthophoto,
    warnings: Sequence[str] = (),
) -> tuple[OrthophotoRow, bool]:
    """Register an uploaded file; return its row and whether it is new.

    The same content is one row, under the name it first had. New content under a known name takes
    that name's place, as a new row; whoever calls this may then remove the old bytes from storage.

    Raises NotFound for an unknown survey.
    """
    lock_survey(connection, survey_id)
    same_name = (_TABLE.survey_id == survey_id) & (_TABLE.name == name) & (_TABLE.sha256 != sha256)
    connection.execute(delete(_TABLE).where(same_name))
    known = connection.execute(_select(survey_id).where(_TABLE.sha256 == sha256)).one_or_none()
    if known is not None:
        return _orthophoto_row(known), False
    made = connection.execute(
        insert(_TABLE)
        .values(
            survey_id=survey_id,
            name=name,
            sha256=sha256,
            bytes=bytes,
            key=key,
            info=info.to_dict(),
            gsd_m=info.gsd_m,
            warnings=list(warnings),
            footprint=geometry_value(info.footprint),
        )
        .returning(_TABLE.id)
    ).scalar_one()
    row = connection.execute(_select(survey_id).where(_TABLE.id == made)).one()
    return _orthophoto_row(row), True


def list_orthophotos(connection: Connection, survey_id: uuid.UUID) -> list[OrthophotoRow]:
    """Return a survey's imagery in the order it is laid: finest first, then by name."""
    return [_orthophoto_row(row) for row in connection.execute(_select(survey_id))]


def orthophotos_meeting(
    connection: Connection, survey_id: uuid.UUID, polygon: BaseGeometry
) -> list[OrthophotoRow]:
    """Return the imagery of a survey that meets a polygon in degrees, in the order it is laid."""
    area = geometry_value(search_area(polygon))
    query = _select(survey_id).where(func.ST_Intersects(_TABLE.footprint, func.geometry(area)))
    return [_orthophoto_row(row) for row in connection.execute(query)]


def _select(survey_id: uuid.UUID) -> Select[Any]:
    columns = [column for column in _TABLE.__table__.columns if column.name != "footprint"]
    query = select(*columns).where(_TABLE.survey_id == survey_id)
    return query.order_by(_TABLE.gsd_m, _TABLE.name, _TABLE.id)


def _orthophoto_row(row: Row[Any]) -> OrthophotoRow:
    values = dict(row._mapping)
    info = Orthophoto.from_dict(values.pop("info"), path="")
    return OrthophotoRow(**values | {"info": info, "warnings": tuple(values["warnings"])})
