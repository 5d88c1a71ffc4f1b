"""The private PostGIS: a server that lives but takes no connection is waited for, not lost."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest

from pavemap.platform.private_postgres import ROLE, PrivatePostgres


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[PrivatePostgres]:
    cluster = PrivatePostgres(
        tmp_path / "postgres",
        options={"fsync": "off", "max_connections": "4", "superuser_reserved_connections": "0"},
    )
    cluster.start()
    yield cluster
    cluster.stop()


def test_a_server_with_all_places_taken_is_waited_for_and_keeps_its_port(
    cluster: PrivatePostgres,
) -> None:
    url = cluster.url("postgres")
    with ExitStack() as sessions:
        taken = [sessions.enter_context(closing(psycopg.connect(url))) for _ in range(4)]
        assert cluster.alive()
        assert not cluster.running()
        leaving = threading.Timer(1.0, taken.pop().close)
        leaving.start()
        assert cluster.start() == url.replace("/postgres", "/pavemap")
        leaving.join()
        cluster.stop()
        assert not cluster.alive()


def test_a_number_that_another_program_has_now_is_no_server(tmp_path: Path) -> None:
    cluster = PrivatePostgres(tmp_path)
    cluster.data.mkdir()
    (cluster.data / "postmaster.pid").write_text(f"{os.getpid()}\n{cluster.data}\n0\n5999\n")
    assert not cluster.alive()
    (tmp_path / "password").write_text("secret")
    assert cluster.url() == f"postgresql://{ROLE}:secret@127.0.0.1:5999/pavemap"
