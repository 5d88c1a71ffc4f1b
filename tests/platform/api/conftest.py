"""The API on the real PostGIS: in this process for most tests, under a real uvicorn for the hard ones."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from api_world import Server, World, serving, serving_process
from pavemap.platform.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(home=tmp_path / "home", database_url=SecretStr(database_url))


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    """A client of the API under uvicorn in a thread of this process."""
    with serving(settings) as client:
        yield client


@pytest.fixture(scope="module")
def module_settings(
    tmp_path_factory: pytest.TempPathFactory, postgres_url: str, template_database: str
) -> Iterator[Settings]:
    """Settings of a database that the tests of a module share."""
    name = f"module_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template_database)
            )
        )
        url = f"{postgres_url.rsplit('/', 1)[0]}/{name}"
        yield Settings(home=tmp_path_factory.mktemp("home"), database_url=SecretStr(url))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def world(client: httpx.Client, tmp_path: Path) -> World:
    """A network and a survey of the drawn street, made over HTTP."""
    return World.make(client, tmp_path)


@pytest.fixture(scope="module")
def server(module_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A uvicorn process that the tests of a module share."""
    with serving_process(module_settings, log=tmp_path_factory.mktemp("server") / "log") as server:
        yield server


@pytest.fixture
def own_server(settings: Settings, tmp_path: Path) -> Iterator[Server]:
    """A uvicorn process of one test."""
    with serving_process(settings, log=tmp_path / "server.log") as server:
        yield server
