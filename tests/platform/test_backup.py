"""Backup and restore with the very commands of the operator's handbook: the same answers afterwards."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from api_world import API, serving
from cli_world import dark
from drawn_surveys import WORK_RULES, figures, lay_survey, state
from pavemap.geo.errors import Unavailable
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import make_engine
from pavemap.geo.store.schema import is_current, upgrade
from pavemap.geo.store.storage_identity import IDENTITY
from pavemap.platform.settings import Settings
from pavemap.platform.stored_imagery import check_storage
from pavemap.serving.worker import CellWorker
from scenes import cracked_strip

HANDBOOK = Path(__file__).parents[2] / "docs" / "operations.md"


def commands(program: str) -> str:
    """The handbook's command line of a program."""
    section = HANDBOOK.read_text().split("## Backup and restore")[1].split("\n## ")[0]
    found = re.search(rf"^{program} (?:.*\\\n)*.*$", section, re.MULTILINE)
    assert found is not None
    return found[0]


def answers(client: httpx.Client, survey_id: str) -> list[str]:
    """What the API says of a survey, without the server's own address."""
    found = [
        client.get(f"{API}/surveys/{survey_id}{path}")
        for path in ("", "/segments", "/cracks", "/summary")
    ]
    assert all(answer.is_success for answer in found)
    return [answer.text.replace(str(client.base_url), "") for answer in found]


def dump_and_restore(url: str, *, into: str, folder: Path) -> None:
    """Run the handbook's two command lines."""
    environment = {**os.environ, "PAVEMAP_DATABASE_URL": url, "NEW_DATABASE_URL": into}
    for program in ("pg_dump", "pg_restore"):
        subprocess.run(["bash", "-c", commands(program)], env=environment, cwd=folder, check=True)


def test_a_dump_restored_into_an_empty_database_gives_the_same_answers(
    engine: Engine, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path / "home", database_url=SecretStr(database_url))
    storage = Storage(settings.storage_location)
    survey = lay_survey(
        engine,
        storage=storage,
        scene=cracked_strip(900, 450),
        folder=tmp_path / "tiles",
        columns=2,
        cell_px=512,
    )
    worker = CellWorker(
        engine, storage=storage, detect_with=lambda _: dark, name="one", rules=WORK_RULES
    )
    while worker.run_once():
        pass
    assert state(engine, survey) == "done"
    before = figures(engine, survey)
    assert before.cracks

    dump_and_restore(database_url, into=empty_database_url, folder=tmp_path)
    restored = make_engine(empty_database_url)
    assert is_current(restored)
    upgrade(restored)
    figures(restored, survey).assert_same(before)
    restored.dispose()
    other = settings.model_copy(update={"database_url": SecretStr(empty_database_url)})
    with serving(settings) as first, serving(other) as second:
        assert answers(second, str(survey.id)) == answers(first, str(survey.id))


def test_a_restored_database_takes_the_storage_or_its_copy_and_no_other(
    engine: Engine, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    storage = Storage(str(tmp_path / "storage"))
    scene = cracked_strip(900, 450)
    lay_survey(engine, storage=storage, scene=scene, folder=tmp_path / "tiles", plan=False)
    check_storage(engine, storage)
    dump_and_restore(database_url, into=empty_database_url, folder=tmp_path)
    copy = Storage(str(shutil.copytree(tmp_path / "storage", tmp_path / "copy")))
    empty = Storage(str(tmp_path / "empty"))
    restored = make_engine(empty_database_url)
    for place in (storage, copy):
        check_storage(restored, place)
    with pytest.raises(Unavailable, match=f"put a file {IDENTITY} there"):
        check_storage(restored, empty)
    empty.write(IDENTITY, storage.read(IDENTITY))
    check_storage(restored, empty)
    restored.dispose()
