"""Rows by the hundred thousand: binary COPY into a table, and whole columns out of a query.

COPY in its binary form spares the server the parsing of text, above all of geometries in hex: see
docs/benchmarks.md for its rate beside GeoDataFrame.to_postgis.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import psycopg
import shapely
from geoalchemy2 import Geometry
from numpy.typing import NDArray
from psycopg import sql
from shapely.geometry.base import BaseGeometry
from sqlalchemy import Connection, Row, text
from sqlalchemy import types as kinds
from sqlalchemy.dialects.postgresql import JSONB

from pavemap.geo.arrays import object_array
from pavemap.geo.store.copy_format import SIGNATURE, TRAILER, Column, encoded_block
from pavemap.geo.store.tables.base import SRID, Base

BLOCK_ROWS = 20_000
"""Rows fetched at a time: some ten megabytes of crack lines."""

ENCODED_ROWS = 2_000
"""Rows turned into bytes at a time: while they are, the server still works on those before them."""

SHAPES_AT_A_TIME = 50_000
"""Cells turned into shapes at a time, which bounds memory."""

_COLUMN = (np.ndarray, list, tuple)
"""What holds a value for each row; anything else is one value for all of them."""

_POSTGRES_TYPES: tuple[tuple[type[Any], str], ...] = (
    (Geometry, "bytea"),  # the server's geometry reader takes these bytes as EWKB
    (JSONB, "jsonb"),  # before its base
    (kinds.JSON, "json"),
    (kinds.BigInteger, "int8"),
    (kinds.Integer, "int4"),
    (kinds.Double, "float8"),
    (kinds.Uuid, "uuid"),
    (kinds.Boolean, "bool"),
    (kinds.Text, "text"),
)


def copy_frame(connection: Connection, table: type[Base], columns: Mapping[str, object]) -> int:
    """Append whole columns, or one value for all rows; return how many rows.

    Columns are arrays, lists or tuples, all of one length. Arrays of shapely geometries become
    EWKB in WGS 84; NaN in a column that may be null is null.
    """
    lengths = {len(values) for values in columns.values() if isinstance(values, _COLUMN)}
    if len(lengths) != 1:
        raise ValueError(f"columns of {table.__tablename__} differ in length: {sorted(lengths)}")
    (length,) = lengths
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(table.__tablename__), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(SIGNATURE)
        for start in range(0, length, ENCODED_ROWS):
            stop = min(start + ENCODED_ROWS, length)
            block = [_column(table, name, values, start, stop) for name, values in columns.items()]
            copy.write(encoded_block(block, stop - start))
        copy.write(TRAILER)
    return length


def reserve_ids(connection: Connection, table: type[Base], count: int) -> NDArray[np.int64]:
    """Take `count` numbers of a table's key, so that rows of other tables can name them at once."""
    taken = connection.execute(
        text(
            "SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :count)"
        ),
        {"table": table.__tablename__, "count": count},
    )
    return np.fromiter(taken.scalars(), dtype=np.int64, count=count)


def fetch_columns(
    connection: Connection, query: str, parameters: Mapping[str, Any]
) -> Iterator[tuple[NDArray[Any], ...]]:
    """Yield the result of a query as blocks of columns, at most BLOCK_ROWS rows each.

    The query is psycopg's (`%(name)s`). It is read through a cursor on the server, in binary, so
    that memory holds one block; `from_ewkb` reads its geometries.
    """
    name = f"fetch_{uuid.uuid4().hex[:8]}"
    with driver(connection).cursor(name) as cursor:
        cursor.execute(query, parameters, binary=True)
        while block := cursor.fetchmany(BLOCK_ROWS):
            yield tuple(_as_array(column) for column in zip(*block, strict=True))


def ewkb(geometries: NDArray[Any]) -> list[bytes]:
    """Return geometries in WGS 84 as the bytes PostGIS stores from; z is kept."""
    tagged = shapely.set_srid(geometries, SRID)
    return list(shapely.to_wkb(tagged, include_srid=True, output_dimension=3))


def geometry_value(geometry: BaseGeometry) -> str:
    """Return one geometry in WGS 84 as a parameter of a statement."""
    return str(shapely.to_wkb(shapely.set_srid(geometry, SRID), hex=True, include_srid=True))


def from_ewkb(values: NDArray[Any]) -> NDArray[Any]:
    """Return stored geometries (EWKB bytes or hex) as shapely's; nulls stay None."""
    read: NDArray[Any] = shapely.from_wkb(values)
    return read


def geometries(rows: Sequence[Row[Any]], name: str) -> list[Any]:
    """Return a column of geometries of rows as shapely's; nulls stay None."""
    return list(shapely.from_wkb([getattr(row, name) for row in rows]))


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """Return psycopg's connection under SQLAlchemy's, inside the same transaction."""
    below = connection.connection.driver_connection
    assert isinstance(below, psycopg.Connection), "make_engine chose the driver"
    return below


def _column(table: type[Base], name: str, values: object, start: int, stop: int) -> Column:
    column = table.__table__.columns[name]
    constant = not isinstance(values, _COLUMN)
    part: Any = values if constant else values[start:stop]  # type: ignore[index]
    if isinstance(column.type, Geometry) and not constant:
        part = ewkb(np.asarray(part, dtype=object))
    return Column(
        _postgres_type(table, name), part, constant=constant, nullable=bool(column.nullable)
    )


def _as_array(values: tuple[Any, ...]) -> NDArray[Any]:
    if isinstance(values[0], int | float) and None not in values:
        return np.array(values)
    return object_array(values)


def _postgres_type(table: type[Base], name: str) -> str:
    kind = table.__table__.columns[name].type
    return next(postgres for known, postgres in _POSTGRES_TYPES if isinstance(kind, known))
