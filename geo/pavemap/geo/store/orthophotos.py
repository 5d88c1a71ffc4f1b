"""The imagery of surveys in the store: a row for each name; the same content under many names is one file.

A survey holds what was last sent under each name, whatever came in between. A file is shown, and laid in
the mosaic, under the first of its names, so that the order of uploads changes nothing.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from shapely.geometry.base import BaseGeometry
from sqlalchemy import (
    ARRAY,
    Connection,
    Row,
    ScalarSelect,
    Select,
    Text,
    any_,
    collate,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.errors import Conflict, NotFound
from pavemap.geo.imagery.orthophoto import Orthophoto, comparable_gsd
from pavemap.geo.store import tables
from pavemap.geo.store.bulk import geometry_value
from pavemap.geo.store.cursors import Cursor
from pavemap.geo.store.places import MARGIN_DEG, search_area
from pavemap.geo.store.surveys import get_survey, lock_survey

_TABLE = tables.Orthophoto


@dataclass(frozen=True, kw_only=True)
class OrthophotoRow:
    """An uploaded raster: `key` finds its bytes in storage; `info` is without a path (`info.at`).

    `names`, sorted, are those that stand for it; `name` is the first, and `id` the number of its row.
    """

    id: int
    survey_id: uuid.UUID
    name: str
    names: tuple[str, ...]
    sha256: str
    bytes: int
    key: str
    info: Orthophoto
    gsd_m: float
    warnings: tuple[str, ...]
    uploaded_at: datetime


@dataclass(frozen=True, kw_only=True)
class ImagerySummary:
    """The imagery of a survey in two figures: its files, each content once, and the finest pixel.

    `finest_gsd_m` is in ground metres; None where there is no file.
    """

    count: int
    finest_gsd_m: float | None


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
    """Register a file under a name; return it, and whether its content is new to the survey.

    The name leaves what it stood for. Content that no name stands for any more is gone; whoever calls
    this may then remove its bytes from storage.

    Raises NotFound for an unknown survey.
    """
    lock_survey(connection, survey_id)
    known = find_orthophoto(connection, survey_id, sha256=sha256)
    if known is not None and known.info.stored_bytes != info.stored_bytes:
        _note_stored_bytes(connection, survey_id, sha256, info.stored_bytes)
        known = find_orthophoto(connection, survey_id, sha256=sha256)
    if known is not None and name in known.names:
        return known, False
    connection.execute(delete(_TABLE).where(_TABLE.survey_id == survey_id, _TABLE.name == name))
    connection.execute(
        insert(_TABLE).values(
            survey_id=survey_id,
            name=name,
            sha256=sha256,
            bytes=bytes,
            key=key,
            info=replace(info, name=name).to_dict(),
            gsd_m=info.gsd_m,
            warnings=list(warnings),
            footprint=geometry_value(info.footprint),
        )
    )
    (file,) = _with_content(connection, survey_id, sha256)
    return file, known is None


def remove_orthophoto(connection: Connection, survey_id: uuid.UUID, *, name: str) -> str:
    """Forget what stands under a name; return the key of its bytes, which other names may still need.

    Raises NotFound for an unknown survey or name, Conflict for the last file of a survey that has run.
    """
    survey = lock_survey(connection, survey_id)
    gone = delete(_TABLE).where(_TABLE.survey_id == survey_id, _TABLE.name == name)
    key = connection.execute(gone.returning(_TABLE.key)).scalar_one_or_none()
    if key is None:
        raise _no_such(name)
    left = connection.execute(select(_TABLE.key).where(_TABLE.survey_id == survey_id).limit(1))
    if survey.state != "created" and left.first() is None:
        raise Conflict(
            f"'{name}' is all that survey '{survey.name}' has; upload what is to take its place first, or "
            "delete the survey"
        )
    return key


def find_orthophoto(
    connection: Connection, survey_id: uuid.UUID, *, sha256: str
) -> OrthophotoRow | None:
    """Return the file of a survey that has this content, or None."""
    found = _with_content(connection, survey_id, sha256)
    return found[0] if found else None


def get_orthophoto(connection: Connection, survey_id: uuid.UUID, *, name: str) -> OrthophotoRow:
    """Return the file that stands under a name. Raises NotFound for an unknown survey or name."""
    get_survey(connection, survey_id)
    query = select(_TABLE.sha256).where(_TABLE.survey_id == survey_id, _TABLE.name == name)
    found = _with_content(connection, survey_id, query.scalar_subquery())
    if not found:
        raise _no_such(name)
    return found[0]


def find_key(connection: Connection, survey_id: uuid.UUID, *, name: str) -> str | None:
    """Return the storage key of what a name stands for, or None."""
    query = select(_TABLE.key).where(_TABLE.survey_id == survey_id, _TABLE.name == name)
    return connection.execute(query).scalar_one_or_none()


def keys_in_use(
    connection: Connection, survey_id: uuid.UUID, keys: Iterable[str]
) -> frozenset[str]:
    """Return those of these storage keys that a name of the survey stands for."""
    these = any_(literal(list(keys), ARRAY(Text)))  # no limit on their number
    query = select(_TABLE.key).where(_TABLE.survey_id == survey_id, _TABLE.key == these)
    return frozenset(connection.execute(query).scalars())


def list_orthophotos(connection: Connection, survey_id: uuid.UUID) -> list[OrthophotoRow]:
    """Return a survey's files, each once, in the order they are laid: finest first, then by name."""
    return _files(connection.execute(_select(survey_id)))


def imagery_summary(connection: Connection, survey_id: uuid.UUID) -> ImagerySummary:
    """Count a survey's files; there may be thousands, too many to be read for it."""
    count, finest = func.count(_TABLE.sha256.distinct()), func.min(_TABLE.gsd_m)
    row = connection.execute(select(count, finest).where(_TABLE.survey_id == survey_id)).one()
    return ImagerySummary(count=row[0], finest_gsd_m=row[1])


def contents_as_laid(connection: Connection, survey_id: uuid.UUID) -> list[str]:
    """Return the digests of a survey's files in the order of `list_orthophotos`, which reads them whole."""
    query = select(_TABLE.sha256, _TABLE.gsd_m, _TABLE.name).where(_TABLE.survey_id == survey_id)
    rows = sorted(connection.execute(query), key=lambda row: (comparable_gsd(row.gsd_m), row.name))
    return list(dict.fromkeys(row.sha256 for row in rows))


def orthophotos_page(
    connection: Connection, survey_id: uuid.UUID, *, limit: int = 1000, after: str | None = None
) -> tuple[list[OrthophotoRow], str | None]:
    """Return a page of a survey's files by name, each once, and the cursor of the next or None.

    Raises NotFound for an unknown survey, BadInput for a bad cursor.
    """
    get_survey(connection, survey_id)
    cursor = Cursor.read(after, order="orthophotos", key_type=str)
    first = func.min(collate(_TABLE.name, "C"))  # the order of code points, which is Python's
    query = select(_TABLE.sha256).where(_TABLE.survey_id == survey_id).group_by(_TABLE.sha256)
    if cursor.key is not None:
        query = query.having(first > cursor.key)
    found = connection.scalars(query.order_by(first).limit(limit + 1)).all()
    these = any_(literal(found[:limit], ARRAY(Text)))
    rows = _files(connection.execute(_select(survey_id).where(_TABLE.sha256 == these)))
    rows.sort(key=lambda row: row.name)
    more = len(found) > limit
    return rows, cursor.at(rows[-1].name, rows[-1].id) if more else None


def orthophotos_near(
    connection: Connection, survey_id: uuid.UUID, polygon: BaseGeometry
) -> list[OrthophotoRow]:
    """Return the files of a survey within about a metre of a polygon in degrees, as they are laid.

    Edges that coincide in one CRS may miss each other by rounding in another, so none is left out here
    that might meet it elsewhere.
    """
    area = geometry_value(shapely.buffer(search_area(polygon), MARGIN_DEG))
    query = _select(survey_id).where(func.ST_Intersects(_TABLE.footprint, func.geometry(area)))
    return _files(connection.execute(query))


def footprints_in(files: Iterable[OrthophotoRow], crs: CRS) -> NDArray[np.object_]:
    """Return the outlines of files (N,) in a CRS."""
    in_degrees = np.array([file.info.footprint for file in files], dtype=object)
    moved: NDArray[np.object_] = reproject(in_degrees, WGS84, crs)
    return moved


def _note_stored_bytes(
    connection: Connection, survey_id: uuid.UUID, sha256: str, size: int | None
) -> None:
    """Note what size a file has that was stored anew, in the rows of all its names."""
    noted = _TABLE.info.concat(literal({"stored_bytes": size}, JSONB))
    these = (_TABLE.survey_id == survey_id) & (_TABLE.sha256 == sha256)
    connection.execute(update(_TABLE).where(these).values(info=noted))


def _no_such(name: str) -> NotFound:
    return NotFound(f"the survey has no orthophoto '{name}'; its description lists those it has")


def _with_content(
    connection: Connection, survey_id: uuid.UUID, sha256: str | ScalarSelect[str]
) -> list[OrthophotoRow]:
    """The one file of this content, or none."""
    return _files(connection.execute(_select(survey_id).where(_TABLE.sha256 == sha256)))


def _select(survey_id: uuid.UUID) -> Select[Any]:
    columns = [column for column in _TABLE.__table__.columns if column.name != "footprint"]
    return select(*columns).where(_TABLE.survey_id == survey_id)


def _files(rows: Iterable[Row[Any]]) -> list[OrthophotoRow]:
    """Make one of all rows of the same content, under the first of their names."""
    named: defaultdict[str, dict[str, Row[Any]]] = defaultdict(dict)
    for row in rows:
        named[row.sha256][row.name] = row
    files = [_orthophoto_row(same[min(same)], tuple(sorted(same))) for same in named.values()]
    return sorted(files, key=lambda file: file.info.precedence)


def _orthophoto_row(row: Row[Any], names: tuple[str, ...]) -> OrthophotoRow:
    values = dict(row._mapping)
    info = Orthophoto.from_dict(values.pop("info"), path="")
    warnings = tuple(values["warnings"])
    return OrthophotoRow(**values | {"names": names, "info": info, "warnings": warnings})
