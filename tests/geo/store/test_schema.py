"""The schema: made from nothing, taken back, safe to make twice at once, and the same as the models."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, UniqueConstraint, inspect, text

from pavemap.geo.errors import Unavailable
from pavemap.geo.store import schema
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.tables import Base

LOCK = int.from_bytes(b"pavemap", "big")
OURS = {table.name for table in Base.metadata.sorted_tables}


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Engine]:
    engine = make_engine(empty_database_url)
    yield engine
    engine.dispose()


def table_names(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {"spatial_ref_sys", "alembic_version"}


def test_upgrade_from_nothing_and_back_again(empty: Engine) -> None:
    assert not schema.is_current(empty)
    schema.upgrade(empty)
    assert schema.is_current(empty)
    assert table_names(empty) == OURS
    schema.downgrade(empty)
    assert not schema.is_current(empty)
    assert table_names(empty) == set()
    schema.upgrade(empty)
    schema.upgrade(empty)
    assert schema.is_current(empty)


def test_upgrades_at_once_on_an_empty_database_all_end_well(
    empty: Engine, empty_database_url: str
) -> None:
    """Two processes (two pods that start), and two threads of a third."""
    program = (
        "import sys; from pavemap.geo.store.engine import make_engine; "
        "from pavemap.geo.store.schema import upgrade; upgrade(make_engine(sys.argv[1]))"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, empty_database_url]
    others = [subprocess.Popen(command) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(schema.upgrade, [empty, empty]))
    assert [other.wait(timeout=120) for other in others] == [0, 0]
    assert schema.is_current(empty)
    with database(empty) as connection:
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1


def test_an_upgrade_waits_for_the_one_at_work(empty: Engine) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database(empty) as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            waiting = pool.submit(schema.upgrade, empty)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=1.0)
        waiting.result(timeout=60.0)
    assert schema.is_current(empty)


def test_an_upgrade_lets_others_work_while_a_table_is_in_use(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """As while it is backed up: a change that waited would have everybody wait behind it."""
    schema.downgrade(engine, revision="0010")
    with ThreadPoolExecutor(1) as pool:
        with database(engine) as backup:
            backup.execute(text("SELECT count(*) FROM review"))
            upgrade = pool.submit(schema.upgrade, engine)
            while not caplog.records:
                assert not upgrade.done(), upgrade.exception()
                with database(engine) as reader:
                    reader.execute(text("SET LOCAL statement_timeout = '4s'"))
                    reader.execute(text("SELECT count(*) FROM review"))
                    time.sleep(0.1)
            assert not upgrade.done()
        upgrade.result(timeout=60.0)
    assert "a table is in use (pavemap" in caplog.messages[0]
    assert schema.is_current(engine)


def test_alembic_finds_no_difference_between_models_and_migrations(engine: Engine) -> None:
    def ours(_object: object, name: str, kind: str, _reflected: bool, _other: object) -> bool:
        return not (kind == "table" and name == "spatial_ref_sys")

    with database(engine) as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_object": ours, "compare_type": True, "compare_server_default": True},
        )
        assert compare_metadata(context, Base.metadata) == []


CATALOGUES: dict[str, str] = {
    "columns": """SELECT table_name, column_name, data_type, is_nullable, column_default,
        is_identity, identity_generation FROM information_schema.columns WHERE table_schema = 'public'""",
    "geometries": "SELECT f_table_name, f_geometry_column, coord_dimension, srid, type "
    "FROM geometry_columns",
    "constraints": "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = 'public'::regnamespace",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "triggers": "SELECT tgname, pg_get_triggerdef(t.oid), pg_get_functiondef(tgfoid) "
    "FROM pg_trigger t WHERE NOT tgisinternal AND tgrelid IN ('survey'::regclass, 'condition'::regclass)",
    "options": "SELECT relname, reloptions FROM pg_class "
    "WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'",
}


@pytest.mark.parametrize("catalogue", list(CATALOGUES))
def test_the_catalogue_is_the_same_from_models_as_from_migrations(
    engine: Engine, empty: Engine, catalogue: str
) -> None:
    """Sees what Alembic's comparison does not: checks, partial indexes, identities, options."""

    def read(connection: Connection) -> set[tuple[object, ...]]:
        rows = {
            tuple(map(str, row))
            for row in connection.execute(text(CATALOGUES[catalogue]))
            if not any("alembic_version" in str(value) for value in row)
        }
        assert rows
        return set(rows)

    with database(empty) as connection:
        connection.execute(text("CREATE EXTENSION postgis"))
        Base.metadata.create_all(connection)
        from_models = read(connection)
    with database(engine) as connection:
        assert read(connection) == from_models


def test_every_index_and_constraint_has_a_name_of_its_own() -> None:
    names: list[object] = [
        index.name for table in Base.metadata.sorted_tables for index in table.indexes
    ]
    names += [
        constraint.name for table in Base.metadata.sorted_tables for constraint in table.constraints
    ]
    assert all(names)
    assert len(set(names)) == len(names)


def test_every_foreign_key_is_led_by_an_index() -> None:
    """Else deleting a survey or a network reads whole tables, once a row."""
    small = {("survey", "model_id")}  # surveys are few, and model versions are never deleted
    for table in Base.metadata.sorted_tables:
        leads = [
            *(tuple(c.name for c in index.columns) for index in table.indexes),
            tuple(c.name for c in table.primary_key.columns),
            *(
                tuple(c.name for c in unique.columns)
                for unique in table.constraints
                if isinstance(unique, UniqueConstraint)
            ),
        ]
        for foreign in table.foreign_key_constraints:
            key = tuple(foreign.column_keys)
            known = any(lead[: len(key)] == key for lead in leads)
            assert known or (table.name, *key) in small, (table.name, key)


def test_the_alembic_command_does_the_same(
    empty: Engine, empty_database_url: str, tmp_path: Path
) -> None:
    """For developers: by alembic.ini at the root, over PAVEMAP_DATABASE_URL or the file it is in."""
    root = Path(__file__).resolve().parents[3]

    def alembic(
        *arguments: str, url: str = empty_database_url, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "alembic", *arguments],
            cwd=root,
            env=os.environ | {"PAVEMAP_DATABASE_URL": url} | more,
            capture_output=True,
            text=True,
            check=False,
        )

    assert alembic("upgrade", "head").returncode == 0
    assert schema.is_current(empty)
    written = alembic("upgrade", "head", "--sql", url="")
    assert "CREATE TABLE survey" in written.stdout
    assert "PAVEMAP_DATABASE_URL" in alembic("current", url="").stderr
    file = tmp_path / "url"
    file.write_text(f"{empty_database_url}\n")
    told = alembic("current", url="", PAVEMAP_DATABASE_URL_FILE=str(file))
    assert "(head)" in told.stdout, told.stderr


def test_a_newer_version_s_schema_is_told_and_left_alone(engine: Engine) -> None:
    """An older pavemap after an upgrade, as `helm rollback` brings it back."""
    with database(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0099'"))
    calls: list[Callable[[Engine], object]] = [schema.upgrade, schema.is_current]
    for call in calls:
        with pytest.raises(Unavailable, match=r"newer pavemap \(0099\); run that version"):
            call(engine)
    assert table_names(engine) == OURS


def test_no_privilege_to_make_tables_is_said_with_what_to_do(
    empty: Engine, empty_database_url: str
) -> None:
    with database(empty) as connection:
        connection.execute(text("CREATE ROLE reader LOGIN PASSWORD 'reader'"))
    url = empty.url.set(username="reader", password="reader").render_as_string(False)
    reader = make_engine(url)
    with pytest.raises(Unavailable, match="CREATE EXTENSION postgis"):
        schema.upgrade(reader)
    reader.dispose()
    with database(empty) as connection:
        connection.execute(text("DROP ROLE reader"))


def test_a_database_that_is_away_is_unavailable_not_a_crash() -> None:
    away = make_engine("postgresql://nobody@127.0.0.1:9/none")
    calls: list[Callable[[Engine], object]] = [schema.upgrade, schema.is_current]
    for call in calls:
        with pytest.raises(Unavailable, match="can't be reached"):
            call(away)
