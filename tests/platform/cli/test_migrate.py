"""`pavemap migrate` is safe to run in every replica at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pavemap.geo.store.engine import make_engine
from pavemap.geo.store.schema import is_current
from python_process import ran

PAVEMAP = str(Path(sys.executable).parent / "pavemap")


def start(environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [PAVEMAP, "migrate"],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_two_at_once_bring_an_empty_database_up_to_date(empty_database_url: str) -> None:
    environment = {**os.environ, "PAVEMAP_DATABASE_URL": empty_database_url}
    both = [start(environment), start(environment)]
    for process in both:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    engine = make_engine(empty_database_url)
    assert is_current(engine)
    engine.dispose()


def test_a_database_that_does_not_come_up_is_waited_for_so_long_and_no_longer(
    tmp_path: Path,
) -> None:
    url = "postgresql://pavemap:hush@127.0.0.1:9/roads"
    done = subprocess.run(
        [PAVEMAP, "migrate", "--wait", "1.5"],
        env={**os.environ, "PAVEMAP_DATABASE_URL": url},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "after 1.5 s the database can't be reached" in done.stderr
    assert "hush" not in done.stderr


def test_it_logs_as_the_api_does(tmp_path: Path) -> None:
    code = (
        "import contextlib, logging; from pavemap.platform.cli.migrate import migrate\n"
        "with contextlib.suppress(Exception): migrate(wait_s=0)\n"
        "logging.getLogger('pavemap.x').debug('seen')"
    )
    told = {
        "PAVEMAP_DATABASE_URL": "postgresql://pavemap@127.0.0.1:9/roads",
        "PAVEMAP_LOG_FORMAT": "json",
        "PAVEMAP_LOG_LEVEL": "DEBUG",
    }
    done = ran(code, folder=tmp_path, **told)
    line = json.loads(done.stderr.splitlines()[-1])
    assert (line["message"], line["level"]) == ("seen", "debug")


def test_without_a_database_it_says_what_to_set(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PAVEMAP_DATABASE_URL"}
    done = subprocess.run(
        [PAVEMAP, "migrate"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "PAVEMAP_DATABASE_URL" in done.stderr
