"""Whether imagery is where the database has it; removes what no survey refers to any more."""

from __future__ import annotations

import logging
import uuid

from sqlalchemy import Engine

from pavemap.geo.errors import Unavailable
from pavemap.geo.storage import ORTHOPHOTOS, Storage
from pavemap.geo.store.engine import database
from pavemap.geo.store.orthophotos import any_orthophoto, keys_in_use
from pavemap.geo.store.surveys import delete_survey, lock_survey, set_state

log = logging.getLogger(__name__)

BEING_DELETED = "this survey is being deleted; delete it again if it stays"

LEFT_S = 24 * 3600.0
"""Bytes without a row that lie there for so long belong to no upload that is still going on."""


def check_storage(engine: Engine, storage: Storage) -> None:
    """See that the storage can be written and is the one that the database's imagery lies in.

    A disk that is not mounted leaves an empty folder, in which all imagery would be missing and new
    imagery be lost to sight once it is mounted. Raises Unavailable or StorageFull.
    """
    storage.check_writable()
    if storage.has_any(ORTHOPHOTOS):
        return
    with database(engine) as connection:
        known = any_orthophoto(connection, but_of=BEING_DELETED)
    if known:
        raise Unavailable(
            f"the storage {storage.location} has none of the imagery that the database knows of: see that "
            "its disk is mounted and that PAVEMAP_STORAGE_URL is right (if all imagery was removed on "
            f"purpose, put any file into {ORTHOPHOTOS} there)"
        )


def remove_unused(
    engine: Engine, storage: Storage, survey_id: uuid.UUID, *, left_s: float = LEFT_S
) -> int:
    """Remove a survey's imagery that lies in storage without a row since `left_s`; return how many files.

    Only keys of this one survey are looked at, so a database that knows nothing of a storage removes
    nothing. Raises NotFound for an unknown survey.
    """
    lying = storage.keys(f"{ORTHOPHOTOS}/{survey_id}", older_than_s=left_s)
    removed = _remove(engine, storage, survey_id, keys=frozenset(lying))
    if removed:
        log.info("removed %d files of survey %s that nothing refers to", removed, survey_id)
    return removed


def remove_replaced(
    engine: Engine, storage: Storage, survey_id: uuid.UUID, *, keys: frozenset[str]
) -> None:
    """Remove imagery that was replaced, unless it is in use again, and what earlier crashes left."""
    _remove(engine, storage, survey_id, keys=keys)
    remove_unused(engine, storage, survey_id)


def remove_survey(engine: Engine, storage: Storage, survey_id: uuid.UUID) -> None:
    """Remove a survey with its imagery. Raises NotFound or Unavailable.

    Whoever is killed in the middle leaves a failed survey that says so; removing it again goes on.
    """
    with database(engine) as connection:
        set_state(connection, survey_id, "failed", error=BEING_DELETED)
    _remove_all(storage, survey_id)
    with database(engine) as connection:
        delete_survey(connection, survey_id)
        _remove_all(storage, survey_id)  # what was uploaded meanwhile


def _remove_all(storage: Storage, survey_id: uuid.UUID) -> None:
    for key in storage.keys(f"{ORTHOPHOTOS}/{survey_id}"):
        storage.delete(key)


def _remove(engine: Engine, storage: Storage, survey_id: uuid.UUID, *, keys: frozenset[str]) -> int:
    """Remove those keys that no row has; return how many.

    The survey is locked meanwhile: whoever registers the same content at this time looks again, under
    the same lock, whether its bytes are there.
    """
    with database(engine) as connection:
        lock_survey(connection, survey_id)
        unused = keys - keys_in_use(connection, survey_id, keys)
        for key in sorted(unused):
            storage.delete(key)
    return len(unused)
