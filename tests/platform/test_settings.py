"""Secrets come from files too, and may change while the program runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from cli_world import Cli
from pavemap.geo.errors import BadInput, Unavailable
from pavemap.geo.secrets import secret
from pavemap.geo.store.engine import database, follow_url_file, make_engine
from pavemap.platform.settings import Settings, load_settings
from pavemap.serving.args import ServingArgs


def test_the_databases_url_is_read_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PAVEMAP_DATABASE_URL", raising=False)
    monkeypatch.setenv("PAVEMAP_DATABASE_URL_FILE", str(tmp_path / "url"))
    with pytest.raises(BadInput, match="is it mounted"):
        Settings()
    (tmp_path / "url").write_text("\n")
    with pytest.raises(BadInput, match="is empty"):
        ServingArgs().database()
    (tmp_path / "url").write_text("postgresql://roads:hush@db/roads\n")
    given = Settings().database_url
    assert given is not None
    assert given.get_secret_value() == "postgresql://roads:hush@db/roads"
    assert "hush" not in repr(Settings())
    assert ServingArgs().database() == "postgresql://roads:hush@db/roads"
    monkeypatch.setenv("PAVEMAP_DATABASE_URL", "postgresql://other@db/roads")
    given = Settings().database_url
    assert given is not None
    assert given.get_secret_value() == "postgresql://other@db/roads"


def test_a_secret_that_was_typed_may_end_in_a_line_break(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Enter, then Ctrl-D: Kubernetes keeps both, and pods get both as an environment variable."""
    url = engine.url.render_as_string(hide_password=False)
    monkeypatch.setenv("PAVEMAP_DATABASE_URL", f"{url}\n")
    monkeypatch.delenv("PAVEMAP_DATABASE_URL_FILE", raising=False)
    given = load_settings().database_url
    assert given is not None
    for read in (
        given.get_secret_value(),
        ServingArgs().database(),
        secret("PAVEMAP_DATABASE_URL"),
    ):
        assert read == url
    monkeypatch.setenv("PAVEMAP_DATABASE_URL", "\n")
    assert secret("PAVEMAP_DATABASE_URL") is None


def test_a_file_of_variables_is_read_and_the_environment_overrules_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PAVEMAP_API_PORT", "PAVEMAP_SERVER", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, "")  # to be put back as it was, whatever the file says
        monkeypatch.delenv(name)
    (tmp_path / ".env").write_text(
        "PAVEMAP_API_PORT=8123\nPAVEMAP_SERVER=http://127.0.0.1:9\nAWS_ENDPOINT_URL=http://minio\n"
    )
    assert load_settings().api_port == 8123
    assert os.environ["AWS_ENDPOINT_URL"] == "http://minio"
    assert "127.0.0.1:9;" in Cli().fails("survey", "list").err
    (tmp_path / ".env").write_bytes("PAVEMAP_HOME=Stra\u00dfe".encode("cp1252"))
    with pytest.raises(BadInput, match="is no UTF-8; save it so"):
        load_settings()
    (tmp_path / ".env").unlink()
    monkeypatch.setenv("PAVEMAP_API_PORT", "8124")
    assert load_settings().api_port == 8124


def test_a_setting_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAVEMAP_API_PORT", "abc")
    with pytest.raises(BadInput, match=r"PAVEMAP_API_PORT can't be 'abc': .*integer"):
        load_settings()


@pytest.mark.parametrize(
    "origin", ["maps.example.org", "https://a.org/", "https://*.org", "null", "https://A.org"]
)
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("PAVEMAP_CORS_ORIGINS", f"https://maps.example.org,{origin}")
    with pytest.raises(BadInput, match=r"PAVEMAP_CORS_ORIGINS .*is no origin"):
        load_settings()


def test_a_changed_password_is_taken_up_by_new_connections(engine: Engine, tmp_path: Path) -> None:
    with database(engine) as connection:
        connection.execute(text("CREATE ROLE changing LOGIN PASSWORD 'first'"))
    url = engine.url.set(username="changing", password="first").render_as_string(False)
    (tmp_path / "url").write_text(url)
    follower = make_engine(url)
    follow_url_file(follower, tmp_path / "url")
    try:
        with database(follower) as connection:
            assert connection.scalar(text("SELECT current_user")) == "changing"
        with database(engine) as connection:
            connection.execute(text("ALTER ROLE changing PASSWORD 'second'"))
        follower.dispose()  # as when a connection of the pool is lost
        with pytest.raises(Unavailable), database(follower):
            pass
        (tmp_path / "url").write_text(url.replace("first", "second"))
        with database(follower) as connection:
            assert connection.scalar(text("SELECT 1")) == 1
    finally:
        follower.dispose()
        with database(engine) as connection:
            connection.execute(text("DROP ROLE changing"))
