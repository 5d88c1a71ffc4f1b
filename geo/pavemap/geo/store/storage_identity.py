"""Which storage the database's imagery lies in: an id that both keep, so that no other is taken for it.

A disk that is not mounted leaves a folder without it. The id is the storage's own, made when it is first
used, and kept by every database that uses it: one that was restored, or shares a bucket with another.
"""

from __future__ import annotations

import uuid

from sqlalchemy import Connection, func, insert, select

from pavemap.geo.errors import NotFound, Unavailable
from pavemap.geo.storage import ORTHOPHOTOS, STORAGE_VARIABLE, Storage
from pavemap.geo.store import tables
from pavemap.geo.store.engine import lock_name

IDENTITY = f"{ORTHOPHOTOS}/storage-id"
"""The key of the id, as text. Beside the imagery: with the folder of either, both are away."""

MAX_TRIED = 20
"""Files of so many surveys are looked for, before a storage is said to have none of the imagery."""

_TABLE = tables.StorageIdentity


def check_identity(connection: Connection, storage: Storage) -> None:
    """See that the storage is the one that the database's imagery and models lie in.

    A database that used none yet takes the storage's id over, and gives it one where it has none; but not
    where it knows of imagery, as one of an older version does, that isn't there. From then on nothing is
    written. Raises Unavailable, and at the first use StorageFull.
    """
    known = _known(connection)
    if known is None:
        lock_name(connection, "storage identity")  # any number of processes may start at once
        known = _known(connection) or _introduce(connection, storage)
    found = stored_id(storage)
    if found is None:
        raise Unavailable(f"{_elsewhere(storage)} ({_lost(known)})")
    if found != known:
        raise Unavailable(
            f"{_elsewhere(storage)}: its id is {found}, not {known} (where that is on purpose, see "
            "'Storage and database' in docs/operations.md)"
        )


def stored_id(storage: Storage) -> uuid.UUID | None:
    """Return the id that a storage has, if it has one. Raises Unavailable."""
    try:
        return uuid.UUID(storage.read(IDENTITY).decode("ascii").strip())
    except NotFound:
        return None
    except ValueError as exc:
        raise Unavailable(
            f"the file {IDENTITY} in the storage {storage.location} holds no id; bring it back from a "
            "backup, or remove it and see what is said then"
        ) from exc


def _known(connection: Connection) -> uuid.UUID | None:
    return connection.execute(select(_TABLE.id)).scalar_one_or_none()


def _introduce(connection: Connection, storage: Storage) -> uuid.UUID:
    """Make both known to each other; the storage first, for what is written there stays."""
    identity = stored_id(storage)
    if identity is None:
        identity = uuid.uuid4()
        if not _has_imagery_of(connection, storage):
            raise Unavailable(
                f"the storage {storage.location} has none of the imagery that the database knows of: see "
                f"that its disk is mounted and that {STORAGE_VARIABLE} is right ({_lost(identity)})"
            )
        storage.write(IDENTITY, f"{identity}\n".encode())
    connection.execute(insert(_TABLE).values(id=identity))
    return identity


def _has_imagery_of(connection: Connection, storage: Storage) -> bool:
    """Whether some imagery that the database knows of is there; True where it knows of none."""
    photo = tables.Orthophoto
    one_each = select(func.min(photo.key)).group_by(photo.survey_id).limit(MAX_TRIED)
    keys = connection.execute(one_each).scalars().all()
    return not keys or any(storage.exists(key) for key in keys)


def _elsewhere(storage: Storage) -> str:
    return (
        f"the storage {storage.location} is not the one that has the database's imagery: see that its disk "
        f"is mounted and that {STORAGE_VARIABLE} is right"
    )


def _lost(identity: uuid.UUID) -> str:
    return f"if that imagery is lost for good, put a file {IDENTITY} there that says {identity}"
