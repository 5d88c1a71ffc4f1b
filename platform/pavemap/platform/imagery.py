"""Removes imagery that no survey refers to: what other content took the place of, what a crash left."""

from __future__ import annotations

import logging
import uuid

from sqlalchemy import Engine

from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import database
from pavemap.geo.store.orthophotos import list_orthophotos
from pavemap.geo.store.surveys import lock_survey

log = logging.getLogger(__name__)

LEFT_S = 24 * 3600.0
"""Bytes without a row that lie there for so long belong to no upload that is still going on."""


def remove_unused(
    engine: Engine, storage: Storage, survey_id: uuid.UUID, *, left_s: float = LEFT_S
) -> int:
    """Remove a survey's imagery that lies in storage without a row since `left_s`; return how many files.

    The survey is locked meanwhile: whoever registers the same content at this time looks again, under
    the same lock, whether its bytes are there. Only keys of this one survey are looked at, so a
    database that knows nothing of a storage removes nothing. Raises NotFound for an unknown survey.
    """
    with database(engine) as connection:
        lock_survey(connection, survey_id)
        used = {row.key for row in list_orthophotos(connection, survey_id)}
        lying = storage.keys(f"orthophotos/{survey_id}", older_than_s=left_s)
        unused = [key for key in lying if key not in used]
        for key in unused:
            storage.delete(key)
    if unused:
        log.info("removed %d files of survey %s that nothing refers to", len(unused), survey_id)
    return len(unused)


def remove_replaced(
    engine: Engine, storage: Storage, survey_id: uuid.UUID, *, keys: frozenset[str]
) -> None:
    """Remove imagery that was replaced, unless it is in use again, and what earlier crashes left."""
    with database(engine) as connection:
        lock_survey(connection, survey_id)
        used = {row.key for row in list_orthophotos(connection, survey_id)}
        for key in sorted(keys - used):
            storage.delete(key)
    remove_unused(engine, storage, survey_id)
