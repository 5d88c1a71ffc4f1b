"""The private PostGIS: a server that lives but takes no connection is waited for, not lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
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


@pytest.mark.parametrize("alone", [True, False], ids=["initdb-lives-on", "initdb-too"])
def test_a_first_start_that_was_killed_is_begun_anew(tmp_path: Path, alone: bool) -> None:
    folder = tmp_path / "postgres"
    start = (
        "from pathlib import Path; from pavemap.platform.private_postgres import PrivatePostgres; "
        f"PrivatePostgres(Path({str(folder)!r})).start()"
    )
    first = subprocess.Popen([sys.executable, "-c", start])
    while not list(folder.glob("data*/PG_VERSION")):
        assert first.poll() is None
        time.sleep(0.005)
    programs = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGKILL)
    for each in () if alone else programs:
        each.kill()
    first.wait()

    cluster = PrivatePostgres(folder, options={"fsync": "off"})
    cluster.start()
    try:
        with closing(psycopg.connect(cluster.url())) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert not (folder / "data.new").exists()
    finally:
        cluster.stop()


def test_the_port_that_clients_know_outlives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = PrivatePostgres(tmp_path)
    cluster._remember(5999)

    def cut_off(path: Path, _: str) -> None:
        path.touch()
        os.truncate(path, 0)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", cut_off)
    with pytest.raises(OSError, match="No space"):
        cluster._remember(6001)
    assert cluster._last_port() == 5999
