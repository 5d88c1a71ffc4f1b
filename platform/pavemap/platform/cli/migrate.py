"""`pavemap migrate`: brings a database's schema up to date, as a deployment does before it starts."""

from __future__ import annotations

from pavemap.geo.errors import BadInput
from pavemap.platform.cli.console import say


def migrate() -> None:
    """Bring the schema of PAVEMAP_DATABASE_URL up to date; any number may run this at once."""
    from pavemap.geo.store.engine import make_engine
    from pavemap.geo.store.schema import upgrade
    from pavemap.platform.settings import Settings

    url = Settings().database_url
    if url is None:
        raise BadInput("set PAVEMAP_DATABASE_URL; the private database is migrated by `pavemap up`")
    engine = make_engine(url.get_secret_value())
    try:
        upgrade(engine)
    finally:
        engine.dispose()
    say("the schema is up to date")
