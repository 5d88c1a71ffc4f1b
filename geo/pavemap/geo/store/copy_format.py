"""PostgreSQL's binary COPY format, a block of rows at a time: columns become bytes in numpy.

Source: PostgreSQL's documentation of COPY, "Binary Format": a signature, then for each row the number of
its fields and each field as length and bytes, big-endian, then a trailer. Columns of fixed width that
follow one another are one record; what varies in length is joined in between.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

SIGNATURE = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
TRAILER = struct.pack(">h", -1)
NULL = struct.pack(">i", -1)

NUMBERS: Mapping[str, str] = {"int8": ">i8", "int4": ">i4", "float8": ">f8", "bool": "?"}
"""PostgreSQL's types that numpy has too."""


@dataclass(frozen=True)
class Column:
    """A column of a block: its PostgreSQL type, and a value for each row or one for all of them."""

    kind: str
    values: Any
    constant: bool
    nullable: bool


def encoded_block(columns: Sequence[Column], length: int) -> bytes:
    """Return rows as bytes, without signature and trailer.

    Values are numbers, text, UUID, documents, or bytes (a geometry's EWKB as 'bytea'); None, and NaN
    where the column may be null, are null. Raises ValueError for a type that has no encoding here.
    """
    parts: list[list[bytes]] = []
    record: list[NDArray[Any]] = [_repeated(struct.pack(">h", len(columns)), length)]
    for column in columns:
        if column.constant:
            record.append(_repeated(_field(column.kind, column.values), length))
            continue
        fixed = _fixed(column)
        if fixed is not None:
            record += fixed
            continue
        parts += [_records(record, length), [_field(column.kind, each) for each in _plain(column)]]
        record = []
    parts.append(_records(record, length))
    return b"".join(chain.from_iterable(zip(*filter(None, parts), strict=True)))


def _fixed(column: Column) -> list[NDArray[Any]] | None:
    """Return lengths and values of a column without nulls whose type has a fixed width."""
    if column.kind not in NUMBERS or (column.nullable and _has_nulls(column.values)):
        return None
    values = np.asarray(column.values)
    wanted = np.dtype(NUMBERS[column.kind])
    if not np.can_cast(values.dtype, wanted, casting="same_kind"):
        raise ValueError(f"{values.dtype} values don't fit a column of type {column.kind}")
    return [np.full(len(values), wanted.itemsize, ">i4"), values.astype(wanted)]


def _has_nulls(values: Any) -> bool:
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return bool(np.isnan(array).any())
    return array.dtype == object and any(each is None or each != each for each in values)


def _plain(column: Column) -> Sequence[Any]:
    values = column.values
    plain: Sequence[Any] = values.tolist() if isinstance(values, np.ndarray) else values
    if not column.nullable:
        return plain
    return [None if value != value else value for value in plain]  # NaN differs from itself


def _field(kind: str, value: Any) -> bytes:
    if value is None:
        return NULL
    content = _ENCODERS[kind](value) if kind in _ENCODERS else None
    if content is None:
        raise ValueError(f"columns of type {kind} have no encoding; copy them row by row")
    return _LENGTH(len(content)) + content


_LENGTH: Callable[[int], bytes] = struct.Struct(">i").pack


def _uuid_bytes(value: uuid.UUID) -> bytes:
    return value.bytes


_ENCODERS: Mapping[str, Callable[[Any], bytes]] = {
    "int8": struct.Struct(">q").pack,
    "int4": struct.Struct(">i").pack,
    "float8": struct.Struct(">d").pack,
    "bool": struct.Struct(">?").pack,
    "text": str.encode,
    "bytea": bytes,
    "uuid": _uuid_bytes,
    "json": orjson.dumps,
    "jsonb": lambda document: b"\x01" + orjson.dumps(document),
}


def _repeated(content: bytes, length: int) -> NDArray[Any]:
    return np.full(length, np.void(content))


def _records(fields: Sequence[NDArray[Any]], length: int) -> list[bytes]:
    """Return fields side by side, one `bytes` a row; nothing when there are none."""
    if not fields:
        return []
    kinds = [(f"f{number}", field.dtype) for number, field in enumerate(fields)]
    table = np.empty(length, dtype=kinds)
    for (name, _), field in zip(kinds, fields, strict=True):
        table[name] = field
    content, width = table.tobytes(), table.dtype.itemsize
    return [content[at : at + width] for at in range(0, length * width, width)]
