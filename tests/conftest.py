"""Fixtures that every floor's tests share: real PostGIS, a bucket, the team's data where it is there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from sqlalchemy import Engine

import fake_s3
from pavemap.geo.store.engine import make_engine
from pavemap.geo.store.schema import upgrade
from pavemap.platform.private_postgres import PrivatePostgres

ROOT = Path(__file__).resolve().parent.parent

# Ray's workers yield to all else by default (nice 15): on a machine that does other things too, tests of
# Ray then wait for minutes until a worker has started.
os.environ.setdefault("RAY_worker_niceness", "0")
# Nor do they wait for workers that nothing has asked for yet.
os.environ.setdefault("RAY_prestart_worker_first_driver", "0")
# Nor two seconds until it is seen that a training has ended.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")
# Nor do they fail where a node takes longer than 30 s to start.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")

# The same examples each time; `pytest --hypothesis-profile=default` draws others. No deadline: beside other
# tests a millisecond's work may wait for a second, and pytest-timeout ends what never does.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

FAST_AND_LOSSY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spread the files that start Ray among the others: they wait for processes while those compute."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    with_ray = [
        some for some in files.values() if any(one.get_closest_marker("ray") for one in some)
    ]
    others = [some for some in files.values() if some not in with_ray]
    every = max(1, len(others) // (len(with_ray) + 1))
    spread: list[list[pytest.Item]] = []
    for number, some in enumerate(others):
        if number % every == 0 and with_ray:
            spread.append(with_ray.pop(0))
        spread.append(some)
    items[:] = [item for some in [*with_ray, *spread] for item in some]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The maintenance database of a throw-away cluster, or of PAVEMAP_TEST_DATABASE_URL's server."""
    given = os.environ.get("PAVEMAP_TEST_DATABASE_URL")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=_cache()))
    cluster = PrivatePostgres(folder, options=FAST_AND_LOSSY)
    try:
        yield cluster.start("template_home")
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """A migrated, empty database to copy from: migrations run once, not once a module."""
    name = f"template_{uuid.uuid4().hex[:8]}"
    _create(postgres_url, name)
    engine = make_engine(_with_database(postgres_url, name))
    upgrade(engine)
    engine.dispose()
    return name


@pytest.fixture
def database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """The URL of a fresh, migrated database of this one test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    _create(postgres_url, name, template=template_database)
    yield _with_database(postgres_url, name)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """The URL of a fresh database without any schema."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    _create(postgres_url, name)
    yield _with_database(postgres_url, name)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a fresh, migrated database."""
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket service, set in the environment as an operator would."""
    command = [sys.executable, fake_s3.__file__]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        yield address
        server.terminate()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real labelled images and networks beside the checkout."""
    folder = Path(os.environ.get("PAVEMAP_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("the real data sets (../shared/data) are not on this machine")
    return folder


def _cache() -> Path:
    folder = ROOT / ".cache"
    folder.mkdir(exist_ok=True)
    return folder


def _create(url: str, name: str, *, template: str | None = None) -> None:
    # By files: half the time of a copy by way of the log.
    copy = f' TEMPLATE "{template}" STRATEGY file_copy' if template else ""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"{copy}')


def _with_database(url: str, name: str) -> str:
    return f"{url.rsplit('/', 1)[0]}/{name}"
