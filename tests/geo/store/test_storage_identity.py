"""The storage is known by its id: given once, kept by database and storage, and no other taken for it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from pavemap.geo.errors import Unavailable
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.schema import downgrade, upgrade
from pavemap.geo.store.storage_identity import IDENTITY, check_identity, stored_id
from pavemap.geo.store.surveys import SurveyRow


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "storage"))


@pytest.fixture
def second(empty_database_url: str) -> Iterator[Engine]:
    """Another database, as a restored or a new one."""
    engine = make_engine(empty_database_url)
    upgrade(engine)
    yield engine
    engine.dispose()


def check(engine: Engine, storage: Storage) -> None:
    with database(engine) as connection:
        check_identity(connection, storage)


def noted(engine: Engine) -> list[uuid.UUID]:
    with database(engine) as connection:
        return list(connection.execute(text("SELECT id FROM storage_identity")).scalars())


def lay_one_file(engine: Engine, storage: Storage) -> None:
    """Store something under the key of one of the orthophotos that the database knows of."""
    with database(engine) as connection:
        key = connection.execute(text("SELECT min(key) FROM orthophoto")).scalar_one()
    storage.write(key, b"imagery")


def test_the_first_use_gives_an_id_and_no_later_one_changes_it(
    engine: Engine, storage: Storage
) -> None:
    check(engine, storage)
    (given,) = noted(engine)
    assert storage.folder is not None
    path = storage.folder / IDENTITY
    assert path.read_text() == f"{given}\n"
    written = path.stat().st_mtime_ns
    check(engine, storage)
    assert (noted(engine), path.stat().st_mtime_ns) == ([given], written)


def test_many_that_start_at_once_agree(
    engine: Engine, database_url: str, storage: Storage, tmp_path: Path
) -> None:
    """API processes and Surveyors, on an empty database and an empty storage."""
    engines = [engine, make_engine(database_url)]
    with ThreadPoolExecutor(8) as pool:
        starts = [
            pool.submit(check, engines[number % 2], Storage(str(tmp_path / "storage")))
            for number in range(16)
        ]
        for start in starts:
            start.result()
    engines[1].dispose()
    assert noted(engine) == [stored_id(storage)]


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "a folder with new files"])
def test_a_disk_that_is_not_mounted_is_not_taken_for_the_storage(
    engine: Engine, storage: Storage, tmp_path: Path, left: str
) -> None:
    check(engine, storage)
    before = noted(engine)
    assert storage.folder is not None
    storage.folder.rename(tmp_path / "disk")
    if left != "nothing":
        (storage.folder / "orthophotos").mkdir(parents=True)
    if left == "a folder with new files":
        (storage.folder / "orthophotos" / "new.tif").write_bytes(b"new")
    for _ in range(2):
        with pytest.raises(Unavailable, match="see that its disk is mounted"):
            check(engine, storage)
    assert stored_id(storage) is None
    assert noted(engine) == before
    if left != "nothing":
        storage.folder.rename(tmp_path / "beneath")
    (tmp_path / "disk").rename(storage.folder)
    check(engine, storage)


@pytest.mark.usefixtures("survey")
def test_a_storage_that_is_lost_for_good_is_replaced_as_the_message_says(
    engine: Engine, storage: Storage, tmp_path: Path
) -> None:
    lay_one_file(engine, storage)
    check(engine, storage)
    new = Storage(str(tmp_path / "new"))
    do_as_told(engine, new)
    assert [stored_id(new)] == noted(engine)


def do_as_told(engine: Engine, storage: Storage) -> None:
    """Put the file there that the refusal asks for, as an operator would, and see that it is taken."""
    with pytest.raises(Unavailable) as refusal:
        check(engine, storage)
    told = re.search(r"put a file (\S+) there that says (\S+)\)", str(refusal.value))
    assert told is not None
    assert storage.folder is not None
    path = storage.folder / told[1]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(told[2])
    check(engine, storage)


def test_another_storage_is_refused_until_the_database_forgets_its_own(
    engine: Engine, second: Engine, storage: Storage, tmp_path: Path
) -> None:
    other = Storage(str(tmp_path / "other"))
    check(engine, storage)
    check(second, other)
    with pytest.raises(Unavailable, match=f"{noted(second)[0]}, not {noted(engine)[0]}"):
        check(engine, other)
    with database(engine) as connection:
        connection.execute(text("DELETE FROM storage_identity"))
    check(engine, other)
    check(second, other)


def test_two_databases_may_share_a_storage(
    engine: Engine, second: Engine, storage: Storage
) -> None:
    """As while a restored one is tried out, or where a new one begins in an old bucket."""
    check(engine, storage)
    check(second, storage)
    assert noted(second) == noted(engine)
    check(engine, storage)


def test_a_process_killed_before_its_commit_leaves_an_id_that_is_taken_over(
    engine: Engine, storage: Storage
) -> None:
    with engine.connect() as connection:
        check_identity(connection, storage)
        connection.rollback()
    left = stored_id(storage)
    assert (noted(engine), left is None) == ([], False)
    check(engine, storage)
    assert noted(engine) == [left]


def test_a_database_of_an_older_version_takes_note_of_the_storage_with_its_imagery(
    engine: Engine, storage: Storage, survey: SurveyRow
) -> None:
    """It goes by files that the database knows of: others may lie anywhere."""
    downgrade(engine, revision="0014")
    upgrade(engine)
    storage.write("orthophotos/of-another/tile.tif", b"imagery")
    for _ in range(2):
        with pytest.raises(Unavailable, match="none of the imagery that the database knows of"):
            check(engine, storage)
    assert (stored_id(storage), noted(engine)) == (None, [])
    lay_one_file(engine, storage)
    check(engine, storage)
    assert noted(engine) == [stored_id(storage)]
    with database(engine) as connection:
        kept = connection.execute(
            text("SELECT count(*) FROM orthophoto WHERE survey_id = :id"), {"id": survey.id}
        )
        assert kept.scalar_one() > 0
    downgrade(engine, revision="0014")
    upgrade(engine)
    check(engine, storage)
    assert noted(engine) == [stored_id(storage)]


@pytest.mark.usefixtures("survey")
def test_an_older_version_s_imagery_that_is_all_lost_is_no_dead_end(
    engine: Engine, storage: Storage
) -> None:
    do_as_told(engine, storage)


def test_a_damaged_id_is_told_and_not_replaced(engine: Engine, storage: Storage) -> None:
    check(engine, storage)
    for damage in (b"", b"\xff\xfe", b"roads"):
        storage.write(IDENTITY, damage)
        with pytest.raises(Unavailable, match="holds no id"):
            check(engine, storage)
        assert storage.read(IDENTITY) == damage
