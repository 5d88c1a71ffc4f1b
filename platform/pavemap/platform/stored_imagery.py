"""Whether imagery is where the database has it; removes what no survey refers to any more."""

from __future__ import annotations

import logging
import uuid

from sqlalchemy import Engine

from pavemap.geo.storage import ORTHOPHOTOS, Storage
from pavemap.geo.store.engine import database
from pavemap.geo.store.orthophotos import keys_in_use
from pavemap.geo.store.storage_identity import check_identity
from pavemap.geo.store.surveys import BEING_DELETED, delete_survey, lock_survey, set_state

log = logging.getLogger(__name__)

LEFT_S = 24 * 3600.0
"""Bytes without a row that lie there for so long belong to no upload that is still going on."""


def check_storage(engine: Engine, storage: Storage) -> None:
    """See that the storage is the one that the database's imagery lies in, and can be written.

    Raises Unavailable or StorageFull.
    """
    require_storage(engine, storage)
    storage.check_writable()


def require_storage(engine: Engine, storage: Storage) -> None:
    """See that the storage is the one that the database's imagery lies in, before it is changed.

    A disk that is not mounted leaves an empty folder, in which all imagery would be missing and new
    imagery be lost to sight once it is mounted. Raises Unavailable or StorageFull.
    """
    with database(engine) as connection:
        check_identity(connection, storage)


def remove_unused(
    engine: Engine,
    storage: Storage,
    survey_id: uuid.UUID,
    *,
    keys: frozenset[str] = frozenset(),
    left_s: float = LEFT_S,
) -> int:
    """Remove a survey's imagery that no row has: of these keys, and what crashes left for `left_s`.

    Returns how many files. Only keys of this one survey are looked at, so a database that knows nothing
    of a storage removes nothing. Raises NotFound for an unknown survey.
    """
    lying = frozenset(storage.keys(f"{ORTHOPHOTOS}/{survey_id}", older_than_s=left_s))
    removed = _remove(engine, storage, survey_id, keys=keys | lying)
    if removed:
        log.info("removed %d files of survey %s that nothing refers to", removed, survey_id)
    return removed


def remove_survey(engine: Engine, storage: Storage, survey_id: uuid.UUID) -> None:
    """Remove a survey with its imagery. Raises NotFound or Unavailable.

    Whoever is killed in the middle, or finds the storage away, leaves a failed survey that says so;
    removing it again goes on.
    """
    with database(engine) as connection:
        set_state(connection, survey_id, "failed", error=BEING_DELETED)
    require_storage(engine, storage)
    _remove_all(storage, survey_id)
    with database(engine) as connection:
        delete_survey(connection, survey_id)
        _remove_all(storage, survey_id)  # what was uploaded meanwhile
        check_identity(connection, storage)  # gone meanwhile, it would have shown nothing to remove


def _remove_all(storage: Storage, survey_id: uuid.UUID) -> None:
    for key in storage.keys(f"{ORTHOPHOTOS}/{survey_id}"):
        storage.delete(key)


def _remove(engine: Engine, storage: Storage, survey_id: uuid.UUID, *, keys: frozenset[str]) -> int:
    """Remove those keys that no row has; return how many.

    The survey is locked meanwhile: whoever registers the same content at this time looks again, under
    the same lock, whether its bytes are there. Raises NotFound or Unavailable.
    """
    with database(engine) as connection:
        check_identity(connection, storage)
        lock_survey(connection, survey_id)
        unused = keys - keys_in_use(connection, survey_id, keys)
        for key in sorted(unused):
            storage.delete(key)
    return len(unused)
