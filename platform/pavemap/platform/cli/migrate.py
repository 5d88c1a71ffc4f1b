"""`pavemap migrate`: brings a database's schema up to date, as a deployment does before it starts."""

from __future__ import annotations

from typing import Annotated

import typer

from pavemap.geo.errors import BadInput
from pavemap.platform.cli.console import say


def migrate(
    wait_s: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for the database to come up.")
    ] = 60.0,
) -> None:
    """Bring the schema of PAVEMAP_DATABASE_URL up to date; any number may run this at once."""
    from pavemap.geo.logs import configure_logs
    from pavemap.geo.store.engine import make_engine
    from pavemap.geo.store.schema import upgrade, wait_for_database
    from pavemap.platform.settings import load_settings

    settings = load_settings()
    configure_logs(level=settings.log_level, as_json=settings.log_format == "json")
    url = settings.database_url
    if url is None:
        raise BadInput("set PAVEMAP_DATABASE_URL; the private database is migrated by `pavemap up`")
    engine = make_engine(url.get_secret_value())
    try:
        wait_for_database(engine, limit_s=wait_s)
        upgrade(engine)
    finally:
        engine.dispose()
    say("the schema is up to date")
