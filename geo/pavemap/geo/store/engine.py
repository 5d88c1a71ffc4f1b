"""The way to the database: an engine with time limits, and transactions with errors that advise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg
from psycopg import errors as pg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pavemap.geo.errors import BadInput, PavemapError, StorageFull, Unavailable
from pavemap.geo.secrets import read_secret

DATABASE_VARIABLE = "PAVEMAP_DATABASE_URL"
"""The environment variable that names the database."""

STATEMENT_TIMEOUT_S = 60.0
"""Nothing an API request or a worker's short step asks may take longer; long steps lift it."""

LOCK_TIMEOUT_S = 30.0
IDLE_IN_TRANSACTION_TIMEOUT_S = 600.0
"""A session that holds locks and says nothing is a worker that hangs; its lease has run out long ago."""

CONNECT_TIMEOUT_S = 10

OWN_FAULTS = frozenset({"54", "55"})
"""Classes of SQLSTATE that psycopg counts among outages, though the same statement will fail again: beyond
the server's limits (a row too long for its index), or of something that is in no state for it."""

ALL_TAKEN = (
    "too many clients already",
    "connection slots are reserved",
    "too many connections for",
)
"""What PostgreSQL says when it takes no more connections: of one refused, psycopg knows no SQLSTATE."""


def make_engine(
    url: str,
    *,
    pool_size: int = 5,
    max_overflow: int = 10,
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    application_name: str = "pavemap",
) -> Engine:
    """Return an engine for `postgresql://user:password@host:port/database`; it does not connect yet.

    Connections are tested before use, so the engine outlives a restart of the database; the one used
    last is used first, for its server process has all at hand. Statements are never prepared, so plans
    are made for the values at hand (a box of one street and one of a country need different ones); nor
    are they compiled or run in parallel: PostGIS's estimated costs bring in either where starting it
    takes longer than the query.

    Raises BadInput for a URL that is not PostgreSQL's.
    """
    settings = {
        "statement_timeout": f"{statement_timeout_s * 1000:.0f}",
        "lock_timeout": f"{LOCK_TIMEOUT_S * 1000:.0f}",
        "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_TIMEOUT_S * 1000:.0f}",
        "jit": "off",
        "max_parallel_workers_per_gather": "0",
        "timezone": "UTC",
        # A client that vanished without a word, as with its machine, holds its locks no longer than this.
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "60000",
    }
    parsed = _psycopg_url(url)
    given = parsed.query.get("options", ())
    options = [given] if isinstance(given, str) else list(given)
    options += [f"-c {name}={value}" for name, value in settings.items()]
    return create_engine(
        parsed.difference_update_query(["options"]),
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_pre_ping=True,
        pool_use_lifo=True,
        json_deserializer=orjson.loads,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": application_name,
            "prepare_threshold": None,
            "options": " ".join(options),
            # A host that vanished without a word is noticed in about a minute.
            "keepalives_idle": 30,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 60_000,
        },
    )


def follow_url_file(engine: Engine, path: Path) -> None:
    """Take user and password of every new connection from a file with the database's URL.

    So a password may change while this runs; sessions that are open stay so. Opening a connection
    raises BadInput when the file can't be read.
    """

    @event.listens_for(engine, "do_connect")
    def renew(
        _dialect: object, _record: object, _given: object, parameters: dict[str, Any]
    ) -> None:
        url = _psycopg_url(read_secret(path))
        parameters.update(user=url.username, password=url.password)


@contextmanager
def database(engine: Engine) -> Iterator[Connection]:
    """Yield a connection in a transaction: committed at the end, rolled back by any error.

    Raises Unavailable when the database is away, too busy or not migrated, StorageFull when its
    disk is full; the same call may succeed later. Errors of the body pass through.
    """
    with translated(), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Yield a connection for questions alone, each its own transaction: two round trips less a question.

    Raises as `database` does.
    """
    with translated(), engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def beside(url: str, ending: str) -> str:
    """Return the URL of a database on the same server, whose name has an ending; made when missing.

    Raises BadInput when the role may make none, Unavailable when the server is away.
    """
    given = _psycopg_url(url)
    name = f"{given.database or given.username}{ending}"
    engine = make_engine(url)
    try:
        with reading(engine) as connection:
            known = text("SELECT 1 FROM pg_database WHERE datname = :name")
            if connection.scalar(known, {"name": name}) is None:
                quoted = engine.dialect.identifier_preparer.quote_identifier(name)
                connection.execute(text(f"CREATE DATABASE {quoted}"))
    except DBAPIError as exc:
        raise BadInput(
            f"no database {name} can be made ({exc.orig}); make it (createdb {name}), or name no "
            "database, so that a private one is started"
        ) from exc
    finally:
        engine.dispose()
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def translated() -> Iterator[None]:
    """Raise a database's errors as what they mean to a user, where they mean anything to one."""
    try:
        yield
    except (DBAPIError, PoolTimeout, psycopg.Error) as exc:
        meaning = translate(exc)
        if meaning is None:
            raise
        raise meaning from exc


def translate(error: Exception) -> PavemapError | None:
    """Return what a database error means to a user, or None where it is a fault of our own."""
    if isinstance(error, PoolTimeout):
        return Unavailable("all connections to the database are in use; try again in a moment")
    # Bulk loads and notifications speak to psycopg below SQLAlchemy, and fail with its own errors.
    cause = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(cause, pg.DiskFull):
        return StorageFull("the database has no room left on its disk; make room, then try again")
    if isinstance(cause, pg.OperationalError) and _is_for_want_of_connections(cause):
        return Unavailable(
            f"all of the database's connections are taken ({_first_line(cause)}); raise its "
            "max_connections or run fewer processes ('Sizing' in docs/operations.md says how many each "
            "takes), then try again"
        )
    if isinstance(cause, pg.QueryCanceled | pg.LockNotAvailable):
        return Unavailable("the database took too long to answer; try again, or ask for less")
    if isinstance(cause, pg.DeadlockDetected | pg.SerializationFailure):
        return Unavailable("another session changed the same rows; try again")
    if isinstance(cause, pg.ReadOnlySqlTransaction):
        return Unavailable(
            "the database takes no changes now (it is read-only, as a standby is, or a server whose disk "
            "is full); try again in a moment"
        )
    if isinstance(cause, pg.IdleInTransactionSessionTimeout):
        return Unavailable("the database ended a session that was idle for too long; try again")
    if isinstance(cause, pg.UndefinedTable | pg.UndefinedColumn):
        return Unavailable(
            "the database's tables are not those of this version; run its migrations "
            "(`pavemap migrate`), then try again"
        )
    if isinstance(cause, psycopg.Error) and (cause.sqlstate or "")[:2] in OWN_FAULTS:
        return None
    if isinstance(cause, pg.OperationalError | pg.InterfaceError):
        return Unavailable(f"the database can't be reached; is it running? ({_first_line(cause)})")
    return None


def lift_timeouts(connection: Connection) -> None:
    """Let this transaction take as long as it needs (bulk loads, measuring, migrations)."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


def wait_for_locks(connection: Connection, wait_s: float) -> None:
    """Let this transaction wait so long for what others have locked."""
    for name, limit_s in (
        ("lock_timeout", wait_s),
        ("statement_timeout", wait_s + STATEMENT_TIMEOUT_S),
    ):
        connection.execute(text(f"SET LOCAL {name} = {limit_s * 1000:.0f}"))


def lock_name(connection: Connection, name: str) -> None:
    """Wait until nobody else holds this name in the database, and hold it to the end of the transaction."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name}
    )


def _psycopg_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as exc:
        raise BadInput(
            "the database URL can't be read; give one like postgresql://user:password@host:5432/name"
        ) from exc
    if parsed.drivername.split("+")[0] not in {"postgresql", "postgres"}:
        raise BadInput(
            f"pavemap keeps its data in PostgreSQL with PostGIS, not in {parsed.drivername}; "
            "give a URL like postgresql://user:password@host:5432/name"
        )
    return parsed.set(drivername="postgresql+psycopg")


def _is_for_want_of_connections(error: pg.OperationalError) -> bool:
    return isinstance(error, pg.TooManyConnections) or any(said in str(error) for said in ALL_TAKEN)


def _first_line(error: BaseException | None) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
