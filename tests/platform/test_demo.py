"""The demo keeps out of what real surveys use."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from pavemap.geo.errors import BadInput, Unavailable
from pavemap.platform.demo import of_its_own
from pavemap.platform.settings import Settings
from pavemap.platform.stack import Stack


def test_the_demo_shares_nothing_with_real_surveys(empty_database_url: str, tmp_path: Path) -> None:
    given = Settings(
        home=tmp_path,
        database_url=SecretStr(empty_database_url),
        ray_address="10.0.0.1:6379",
        storage_url="s3://roads/tiles",
    )
    for _ in range(2):  # what is there already is used
        demo = of_its_own(given)
        assert (demo.ray_address, demo.storage_url, demo.api_port) == (None, None, 0)
        assert demo.home == tmp_path / "demo"
        assert demo.database_url is not None
        url = demo.database_url.get_secret_value()
        assert url == f"{empty_database_url}_demo"
        psycopg.connect(url).close()
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{url.rpartition("/")[2]}"')


def test_a_server_that_lets_no_database_be_made_is_told_of(
    empty_database_url: str, tmp_path: Path
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE surveyor LOGIN PASSWORD 'surveyor'")
    server = empty_database_url.partition("@")[2]
    url = SecretStr(f"postgresql://surveyor:surveyor@{server}")
    try:
        with pytest.raises(BadInput, match=r"make it \(createdb"):
            of_its_own(Settings(home=tmp_path, database_url=url))
    finally:
        with psycopg.connect(empty_database_url, autocommit=True) as connection:
            connection.execute("DROP ROLE surveyor")


def test_a_fresh_start_leaves_the_storage_to_a_database_that_it_leaves(tmp_path: Path) -> None:
    """The second demo on a named server would find the first one's imagery gone, and refuse to start."""
    kept = tmp_path / "storage" / "orthophotos" / "storage-id"
    kept.parent.mkdir(parents=True)
    kept.write_text("an id")
    away = SecretStr("postgresql://nobody@127.0.0.1:9/none")
    settings = Settings(home=tmp_path, database_url=away, api_port=0, serve_port=0)
    with pytest.raises(Unavailable, match="can't be reached"), Stack(settings, fresh=True):
        pass
    assert kept.exists()
