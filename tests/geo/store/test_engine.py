"""The engine: its time limits, and failures of the database told as pavemap's errors."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError, OperationalError

from pavemap.geo.errors import BadInput, NotFound, StorageFull, Unavailable
from pavemap.geo.store.engine import database, lift_timeouts, make_engine, translate


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_any_spelling_of_the_scheme_reaches_the_database(database_url: str, scheme: str) -> None:
    engine = make_engine(database_url.replace("postgresql", scheme, 1))
    with database(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql://a@b/c", "not a url", ""])
def test_another_database_is_refused_with_advice(url: str) -> None:
    with pytest.raises(BadInput, match="postgresql://"):
        make_engine(url)


def test_every_session_has_its_limits(database_url: str) -> None:
    engine = make_engine(f"{database_url}?options=-c%20work_mem%3D5MB", statement_timeout_s=7)
    with database(engine) as connection:

        def shown(name: str) -> str:
            return str(connection.scalar(text(f"SHOW {name}")))

        assert shown("statement_timeout") == "7s"
        assert shown("lock_timeout") == "30s"
        assert shown("idle_in_transaction_session_timeout") == "10min"
        assert shown("jit") == "off"
        assert shown("max_parallel_workers_per_gather") == "0"
        assert shown("work_mem") == "5MB"
        if connection.scalar(text("SELECT inet_client_addr() IS NOT NULL")):
            assert shown("tcp_keepalives_idle") == "30"
            assert shown("tcp_keepalives_interval") == "10"
            assert shown("tcp_keepalives_count") == "3"
            assert shown("tcp_user_timeout") == "60000"
        lift_timeouts(connection)
        assert shown("statement_timeout") == "0"
    with database(engine) as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "7s"
    engine.dispose()


def test_a_statement_that_takes_too_long_is_stopped(database_url: str) -> None:
    engine = make_engine(database_url, statement_timeout_s=0.1)
    with pytest.raises(Unavailable, match="too long"), database(engine) as connection:
        connection.execute(text("SELECT pg_sleep(10)"))
    engine.dispose()


def test_a_transaction_is_whole_or_not_at_all(engine: Engine) -> None:
    with database(engine) as connection:
        connection.execute(text("CREATE TABLE noted (n int)"))

    def write_then_fail() -> None:
        with database(engine) as connection:
            connection.execute(text("INSERT INTO noted VALUES (1)"))
            raise NotFound("not here")

    with pytest.raises(NotFound):
        write_then_fail()
    with database(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM noted")) == 0


def test_the_engine_outlives_connections_cut_by_the_server(
    engine: Engine, database_url: str
) -> None:
    """As when the database restarts: the request at hand fails plainly, the next one succeeds."""
    cut = "SELECT pg_terminate_backend(%s)"
    with psycopg.connect(database_url, autocommit=True) as other:

        def work_while_cut() -> None:
            with database(engine) as connection:
                other.execute(cut, [connection.scalar(text("SELECT pg_backend_pid()"))])
                connection.execute(text("SELECT 1"))

        with pytest.raises(Unavailable):
            work_while_cut()
        with database(engine) as connection:
            mine = connection.scalar(text("SELECT pg_backend_pid()"))
        other.execute(cut, [mine])
    with database(engine) as connection:
        assert connection.scalar(text("SELECT 1")) == 1


def test_a_busy_pool_is_unavailable(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pavemap.geo.store.engine.CONNECT_TIMEOUT_S", 1)
    engine = make_engine(database_url, pool_size=1, max_overflow=0)
    with database(engine), pytest.raises(Unavailable, match="in use"), database(engine):
        pass
    engine.dispose()


@pytest.fixture
def one_connection_url(database_url: str) -> Iterator[str]:
    """The URL of the test's database for a role that may have one connection."""
    role, url = f"few_{uuid.uuid4().hex[:8]}", make_url(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'hush' CONNECTION LIMIT 1")
        yield url.set(username=role, password="hush").render_as_string(hide_password=False)
        connection.execute(f"DROP ROLE {role}")


def test_too_few_connections_are_told_as_such(one_connection_url: str) -> None:
    engine = make_engine(one_connection_url)
    told = pytest.raises(Unavailable, match=r"connections are taken .* raise its max_connections")
    with database(engine), told, database(engine):
        pass
    engine.dispose()


@pytest.mark.parametrize(
    "said",
    [
        "sorry, too many clients already",
        "remaining connection slots are reserved for non-replication superuser connections",
        "remaining connection slots are reserved for roles with the SUPERUSER attribute",
        'too many connections for database "pavemap"',
    ],
)
def test_a_server_has_several_words_for_it(said: str) -> None:
    """Of a connection that was refused psycopg has no SQLSTATE, only what the server said."""
    refused = psycopg.OperationalError(f"connection failed: 127.0.0.1, port 5432: FATAL:  {said}")
    told = translate(refused)
    assert isinstance(told, Unavailable)
    assert "connections are taken" in str(told)


def test_a_full_disk_is_told_as_such(engine: Engine) -> None:
    raise_full = "DO $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$"
    with pytest.raises(StorageFull, match="make room"), database(engine) as connection:
        connection.execute(text(raise_full))


def test_a_database_that_is_not_migrated_says_so(empty_database_url: str) -> None:
    engine = make_engine(empty_database_url)
    with pytest.raises(Unavailable, match="migrations"), database(engine) as connection:
        connection.execute(text("SELECT * FROM survey"))
    engine.dispose()


def test_a_password_is_in_no_message() -> None:
    engine = make_engine("postgresql://nobody:hush@127.0.0.1:9/none")
    with pytest.raises(Unavailable) as caught, database(engine):
        pass
    assert "hush" not in str(caught.value)


def test_a_fault_of_our_own_is_not_dressed_up(engine: Engine) -> None:
    with pytest.raises(DataError), database(engine) as connection:
        connection.execute(text("SELECT 1 / 0"))


def test_what_goes_beyond_the_servers_limits_is_no_outage(engine: Engine) -> None:
    """Such as a key too long for its index: tried again, it fails again."""
    with database(engine) as connection:
        connection.execute(text('CREATE TABLE noted (key text COLLATE "C" PRIMARY KEY)'))
    long = "INSERT INTO noted SELECT string_agg(md5(n::text), '') FROM generate_series(1, 300) n"
    with pytest.raises(OperationalError, match="index row"), database(engine) as connection:
        connection.execute(text(long))
    with pytest.raises(OperationalError), database(engine) as connection:
        connection.execute(text("SELECT lastval()"))
