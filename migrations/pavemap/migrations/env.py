"""How Alembic meets the database: over the caller's connection, or the one PAVEMAP_DATABASE_URL names."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from pavemap.geo.errors import BadInput
from pavemap.geo.secrets import secret
from pavemap.geo.store.engine import DATABASE_VARIABLE, database, lift_timeouts, make_engine
from pavemap.geo.store.tables import Base

UPGRADE_LOCK = 0x7061_7665_6D61_70  # "pavemap" in ASCII: one upgrade at a time in a database


def is_ours(
    _object: object, name: str | None, kind: str, reflected: bool, _compare_to: object
) -> bool:
    """Leave PostGIS's own table out of comparisons."""
    return not (kind == "table" and reflected and name == "spatial_ref_sys")


def migrate(connection: Connection) -> None:
    """Run the migrations asked for, alone in this database until the transaction ends."""
    lift_timeouts(connection)
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
    if wait := context.config.attributes.get("lock_wait"):
        connection.execute(text(f"SET LOCAL lock_timeout = '{wait}'"))
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=is_ours,
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def write_sql() -> None:
    """Write the SQL of the migrations instead of running it (`alembic upgrade head --sql`)."""
    context.configure(dialect_name="postgresql", target_metadata=Base.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Take the way that Alembic was called for."""
    given = context.config.attributes.get("connection")
    if context.is_offline_mode():
        write_sql()
    elif given is not None:
        migrate(given)
    else:
        url = secret(DATABASE_VARIABLE)
        if not url:
            raise BadInput(f"set {DATABASE_VARIABLE} to the database that is to be migrated")
        engine = make_engine(url)
        with database(engine) as connection:
            migrate(connection)
        engine.dispose()


main()
