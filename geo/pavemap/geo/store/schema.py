"""The database's schema: bring it to this version's, take it away, tell whether it is current."""

from __future__ import annotations

import functools
import logging
import threading
import time
from importlib import resources

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from psycopg import errors as pg
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from pavemap.geo.errors import Unavailable
from pavemap.geo.store.engine import database

log = logging.getLogger(__name__)

CONNECT_PAUSE_S = 1.0
LOCK_PAUSE_S = 3.0
LOCK_WAIT = "2s"
"""So long a change of a table may wait for who uses it: all who come later wait behind it."""

_ALEMBIC = threading.Lock()
"""Alembic keeps the run at hand in a module: one at a time in a process."""


def upgrade(engine: Engine) -> None:
    """Bring the schema to this version's, in one transaction; PostGIS is installed where it is missing.

    Any number of processes may call this at once: an advisory lock (see the migrations' env.py)
    lets one work and the others find the work done. Where a table that is to be changed is in use for
    longer, as by a backup or while a survey is measured, it is tried again and again: nobody else waits.

    Raises Unavailable when the database is away, or has no PostGIS and this role can't install it, or has
    the schema of a newer version.
    """
    while not _upgraded(engine):
        log.warning("a table is in use (%s); trying again to change it", _at_work(engine))
        time.sleep(LOCK_PAUSE_S)


def _upgraded(engine: Engine) -> bool:
    """Upgrade; False where somebody holds a table that is to be changed."""
    try:
        with _ALEMBIC, database(engine) as connection:
            command.upgrade(_config(connection=connection, lock_wait=LOCK_WAIT), "head")
    except CommandError:
        _refuse_newer(_found(engine))
        raise
    except Unavailable as exc:
        if isinstance(exc.__cause__, DBAPIError) and isinstance(
            exc.__cause__.orig, pg.LockNotAvailable
        ):
            return False
        raise
    except DBAPIError as exc:
        if isinstance(exc.orig, pg.InsufficientPrivilege):
            raise Unavailable(
                "this role may not change the schema of the database, or not install PostGIS; let "
                "a superuser run CREATE EXTENSION postgis and CREATE EXTENSION btree_gist, and grant "
                "CREATE on the schema"
            ) from exc
        if isinstance(exc.orig, pg.FeatureNotSupported | pg.UndefinedFile):
            raise Unavailable(
                "PostGIS is not installed on the database's server "
                "(Debian, Ubuntu: apt-get install postgresql-postgis)"
            ) from exc
        raise
    return True


def _at_work(engine: Engine) -> str:
    """Name the sessions of this database whose transactions are the oldest."""
    with database(engine) as connection:
        rows = connection.execute(_OLDEST).all()
    told = [f"{name or 'no name'}, since {since:%H:%M:%S} UTC" for name, since in rows]
    return ", ".join(told) or "by a session that this role can't see"


def wait_for_database(engine: Engine, *, limit_s: float) -> None:
    """Wait until the database takes a connection, as when both were started at once.

    Raises Unavailable, with the last reason, when it does not within `limit_s` seconds.
    """
    end = time.monotonic() + limit_s
    while True:
        try:
            with database(engine):
                return
        except Unavailable as exc:
            if time.monotonic() + CONNECT_PAUSE_S > end:
                raise Unavailable(f"after {limit_s:g} s {exc}") from exc
        time.sleep(CONNECT_PAUSE_S)


def downgrade(engine: Engine, *, revision: str = "base") -> None:
    """Take the schema back to a revision; 'base' drops every table and all data, PostGIS stays."""
    with _ALEMBIC, database(engine) as connection:
        command.downgrade(_config(connection=connection), revision)


def is_current(engine: Engine) -> bool:
    """Tell whether the schema is this version's.

    Raises Unavailable when the database is away, or its schema is a newer version's.
    """
    found = _found(engine)
    _refuse_newer(found)
    return found == frozenset(_scripts().get_heads())


def _found(engine: Engine) -> frozenset[str]:
    """Return the revisions that the database is at: none, or one."""
    with database(engine) as connection:
        return frozenset(MigrationContext.configure(connection).get_current_heads())


def _refuse_newer(found: frozenset[str]) -> None:
    """Raise Unavailable for revisions that this version doesn't know."""
    known = {script.revision for script in _scripts().walk_revisions()}
    if newer := found - known:
        raise Unavailable(
            f"the database's schema is of a newer pavemap ({', '.join(sorted(newer))}); run that version, "
            "or restore the backup from before the upgrade"
        )


@functools.cache
def _scripts() -> ScriptDirectory:
    """Return this version's migrations; reading them takes longer than asking the database."""
    return ScriptDirectory.from_config(_config())


_OLDEST = text("""
    SELECT application_name, xact_start AT TIME ZONE 'UTC' FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    ORDER BY xact_start LIMIT 3
""")


def _config(**attributes: object) -> Config:
    config = Config()
    scripts = resources.files("pavemap.migrations")
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes.update(attributes)
    return config
