"""Model versions in object storage: put once, copied where they are needed, checked when loaded."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from pavemap.geo.errors import Conflict, NotFound, Unavailable
from pavemap.geo.file_digest import file_digest
from pavemap.geo.scratch import INCOMING, sweep
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import database
from pavemap.geo.store.model_versions import ModelRow, add_model, get_model
from pavemap.training.errors import BadModel
from pavemap.training.inference import CrackModel
from pavemap.training.models import model_store
from pavemap.training.models.card import CARD_FILE, WEIGHTS_FILE, read_card, write_card
from pavemap.training.models.model_store import ModelStore, register, register_shipped
from pavemap.training.models.shipped_models import default_card, default_model_folder
from training.model_folders import write_model_folder


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(Storage(str(tmp_path / "storage")), cache=tmp_path / "cache")


def stored(tmp_path: Path, model_id: str) -> Path:
    return tmp_path / "storage" / "models" / model_id


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        ("fan2018", {}),
        ("fan2018", {"context": False}),
        ("fan2018", {"size": 7}),
        ("survey-unet", {"width": 8, "context": True}),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_network_can_be_registered(
    store: ModelStore,
    engine: Engine,
    tmp_path: Path,
    architecture: str,
    arguments: dict[str, int | bool],
    channels: int,
) -> None:
    folder = write_model_folder(
        tmp_path / "model", architecture=architecture, arguments=arguments, channels=channels
    )
    with database(engine) as connection:
        assert register(connection, folder, store=store).id == read_card(folder).model_id


def test_a_registered_model_is_found_by_its_id(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model")
    with database(engine) as connection:
        row = register(connection, folder, store=store)
        assert register(connection, folder, store=store) == row
        assert get_model(connection, row.id).card["name"] == "drawn"
    copied = store.folder(row.id)
    assert copied != folder
    assert CrackModel.load(copied, device="cpu").card == read_card(folder)
    assert store.folder(row.id) == copied


def test_nothing_is_registered_while_the_storage_is_away(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model")
    with database(engine) as connection:
        register_shipped(connection, default_model_folder(), store=store)
    disk = (tmp_path / "storage").rename(tmp_path / "disk")
    with pytest.raises(Unavailable, match="mounted"), database(engine) as connection:
        register(connection, folder, store=store)
    assert not (tmp_path / "storage").exists()
    disk.rename(tmp_path / "storage")
    with database(engine) as connection:
        register(connection, folder, store=store)


def test_a_shipped_model_needs_no_storage(store: ModelStore) -> None:
    assert store.folder(default_card().model_id) == default_model_folder()


@pytest.mark.parametrize("dies_at", [WEIGHTS_FILE, CARD_FILE])
def test_what_a_process_that_was_killed_was_storing_is_swept(tmp_path: Path, dies_at: str) -> None:
    folder, storage = write_model_folder(tmp_path / "model"), tmp_path / "storage"
    code = (
        "import os, sys; from pathlib import Path\n"
        "from pavemap.geo.storage import Storage\n"
        "from pavemap.training.models.card import read_card\n"
        "from pavemap.training.models.model_store import ModelStore\n"
        "folder, put = Path(sys.argv[1]), Storage.put_file\n"
        f"dies = lambda self, key, path: os._exit(9) if '{dies_at}' in key else put(self, key, path)\n"
        "Storage.put_file = dies; ModelStore(Storage(sys.argv[2])).put(folder, read_card(folder))"
    )
    command = [sys.executable, "-c", code, str(folder), str(storage)]
    assert subprocess.run(command, check=False).returncode == 9
    assert sweep(storage / INCOMING) == 1
    left = {path.name for path in storage.rglob("*") if path.is_file()}
    assert left == ({WEIGHTS_FILE} if dies_at == CARD_FILE else set())


def test_one_that_nobody_stored_is_said_to_be_missing(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="register its folder again"):
        store.folder("nobody-00000000")
    assert not list((tmp_path / "cache").iterdir())


def test_weights_that_do_not_fit_their_card_are_not_stored(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model")
    (folder / WEIGHTS_FILE).write_bytes(b"other")
    with (
        pytest.raises(BadModel, match="is not the file its card describes"),
        database(engine) as connection,
    ):
        register(connection, folder, store=store)
    with pytest.raises(NotFound):
        store.folder(read_card(folder).model_id)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vectorize": {"min_lenght_m": 0.3}}, "min_lenght_m"),
        ({"vectorize": {"min_length_m": None}}, "vectorize"),
        ({"vectorize": {"sure_threshold": 7}}, "vectorize"),
        ({"architecture": "survey-unet3"}, "survey-unet3"),
        ({"metrics": {"tests": [{"data": "roads", "f1": 0.9}]}}, "metrics"),
        ({"metrics": {"tests": {"roads": 0.9}}}, "metrics"),
        ({"metrics": {"tests": [{"data": "roads", "mean": {"f1": None}}]}}, "metrics"),
        ({"metrics": {"tests": None}}, "metrics"),
        ({"metrics": {"in_use": None}}, "metrics"),
        ({"limits": "dry roads\x00"}, "code 0"),
        ({"architecture_args": {"width": 8}}, "don't fit their card"),
        ({"architecture_args": {"context": True}}, "don't fit their card"),
        ({"architecture": "fan2018"}, "don't fit their card"),
        ({"channels": 1}, "don't fit their card"),
        ({"architecture_args": {"channels": 1}}, "3 channels, its architecture_args say 1"),
        ({"architecture_args": {"width": 999_999}}, "width is 1 to"),
        ({"architecture": "fan2018", "channels": 2**62}, "channels are 1 or 3"),
        ({"metrics": {"tests": [{"data": "a", "mean": {"f1": 1}, "sha256": ["b"]}]}}, "no text"),
        ({"architecture_args": {"depth": 9}}, "no argument depth"),
        ({"reach_px": 32}, 'write "reach_px": 64'),
        ({"metrics": {"a": 10**400}}, "more than 64 bits"),
        ({"training": {"seeds": [{"a": -(2**63)}]}}, "more than 64 bits"),
        ({"metrics": {"tests": [{"data": "roads", "mean": {"f1": 7.0}}]}}, "between 0 and 1"),
        ({"calibration": (-1.0, 0.0)}, "slope -1"),
        ({"calibration": (0.0, 0.0)}, "slope 0"),
        ({"gsd_range_m": (0.004, 0.001)}, "gsd_range_m as finest and coarsest"),
        ({"gsd_range_m": (-1.0, 0.0)}, "gsd_range_m as finest and coarsest"),
        ({"gsd_range_m": (-1.0, 0.004)}, "gsd_range_m as finest and coarsest"),
        ({"gsd_m": 1.0}, "with gsd_m within"),
    ],
)
def test_a_card_that_no_survey_could_use_is_not_registered(
    store: ModelStore, engine: Engine, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder = write_model_folder(tmp_path / "model")
    write_card(read_card(folder).model_copy(update=changes), folder)
    with pytest.raises(BadModel, match=message), database(engine) as connection:
        register(connection, folder, store=store)
    assert not (tmp_path / "storage" / "models").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no safetensors",
        b"\xff" * 64,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2) + b"{}x",
    ],
)
def test_what_is_no_safetensors_is_not_registered(
    store: ModelStore, engine: Engine, tmp_path: Path, content: bytes
) -> None:
    folder = write_model_folder(tmp_path / "model")
    refuses(store, engine, folder, content, message=r"no safetensors|cut short|don't fit")
    assert not (tmp_path / "storage" / "models").exists()


def refuses(
    store: ModelStore, engine: Engine, folder: Path, content: bytes, *, message: str
) -> None:
    """A model folder with other weights, which its card knows by their digest, is not registered."""
    (folder / WEIGHTS_FILE).write_bytes(content)
    digest = file_digest(folder / WEIGHTS_FILE)
    write_card(read_card(folder).model_copy(update={"digest": digest}), folder)
    with pytest.raises(BadModel, match=message), database(engine) as connection:
        register(connection, folder, store=store)


def on_each_other(header: dict[str, Any], content: bytes) -> bytes:
    for each in header.values():
        each["data_offsets"][0] = 0
    return content


def of_no_kind(header: dict[str, Any], content: bytes) -> bytes:
    for each in header.values():
        each["dtype"] = "X9"
    return content


def not_a_number(header: dict[str, Any], content: bytes) -> bytes:
    return b"\xff" * len(content)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (on_each_other, "one behind the other"),
        (of_no_kind, "no safetensors"),
        (not_a_number, "not finite"),
    ],
)
def test_weights_that_no_survey_could_use_are_not_registered(
    store: ModelStore,
    engine: Engine,
    tmp_path: Path,
    spoil: Callable[[dict[str, Any], bytes], bytes],
    message: str,
) -> None:
    folder = write_model_folder(tmp_path / "model")
    whole = (folder / WEIGHTS_FILE).read_bytes()
    (length,) = struct.unpack_from("<Q", whole)
    header = json.loads(whole[8 : 8 + length])
    content = spoil(header, whole[8 + length :])
    said = json.dumps(header).encode()
    refuses(store, engine, folder, struct.pack("<Q", len(said)) + said + content, message=message)
    assert not (tmp_path / "storage" / "models").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"gsd_range_m": [0.001, float("inf")]},
        {"metrics": {"tests": [{"data": "roads", "mean": {"f1": float("nan")}}]}},
    ],
    ids=["a setting", "a score"],
)
def test_a_card_of_numbers_that_are_not_finite_is_not_registered(
    store: ModelStore, engine: Engine, tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = write_model_folder(tmp_path / "model")
    card = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps({**card, **changes}))
    with pytest.raises(BadModel, match="not finite"), database(engine) as connection:
        register(connection, folder, store=store)
    assert not (tmp_path / "storage" / "models").exists()


def test_the_card_of_a_version_stays_as_surveys_know_it(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model")
    card = read_card(folder)
    with database(engine) as connection:
        row = register(connection, folder, store=store)
    write_card(card.model_copy(update={"calibration": (0.5, -0.4)}), folder)
    with (
        pytest.raises(Conflict, match='give it another "name"'),
        database(engine) as connection,
    ):
        register(connection, folder, store=store)
    assert read_card(stored(tmp_path, row.id)) == card
    with database(engine) as connection:
        assert get_model(connection, row.id) == row
        write_card(read_card(folder).model_copy(update={"name": "edited"}), folder)
        edited = register(connection, folder, store=store)
    assert read_card(store.folder(row.id)).calibration is None
    assert read_card(store.folder(edited.id)).calibration == (0.5, -0.4)


def test_a_training_that_is_finished_again_is_the_same_version(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    """Its card says another time, and is compared with the version that is in use by now."""
    folder = write_model_folder(tmp_path / "model")
    card = read_card(folder)
    with database(engine) as connection:
        row = register(connection, folder, store=store)
        later = {
            "created": "2026-02-02T00:00:00+00:00",
            "training": {"seconds": 5},
            "metrics": {"in_use": {"model": row.id}},
        }
        write_card(card.model_copy(update=later), folder)
        assert register(connection, folder, store=store) == row
    assert read_card(stored(tmp_path, row.id)) == card


def test_other_weights_never_take_the_place_of_registered_ones(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model")
    card = read_card(folder)
    digest = card.digest[:8] + "0" * 56
    with database(engine) as connection:
        add_model(connection, name=card.name, digest=digest, card={}, uri="elsewhere")
        with pytest.raises(Conflict, match="other weights are registered"):
            register(connection, folder, store=store)
    assert not stored(tmp_path, card.model_id).exists()


def test_what_storage_has_lost_is_stored_again(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model")
    for file in (WEIGHTS_FILE, CARD_FILE):
        with database(engine) as connection:
            row = register(connection, folder, store=store)
            (stored(tmp_path, row.id) / file).unlink()
            assert register(connection, folder, store=store) == row
        assert CrackModel.load(stored(tmp_path, row.id)).card == read_card(folder)


def test_what_was_damaged_in_storage_is_said_and_stored_again(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model")
    with database(engine) as connection:
        row = register(connection, folder, store=store)
        weights = stored(tmp_path, row.id) / WEIGHTS_FILE
        for damaged in (b"", b"\0" * weights.stat().st_size):  # cut short, or of the same size
            weights.write_bytes(damaged)
            with pytest.raises(BadModel, match="damaged in storage; register its folder again"):
                store.folder(row.id)
            assert register(connection, folder, store=store) == row
            assert CrackModel.load(stored(tmp_path, row.id)).card == read_card(folder)


def test_a_damaged_copy_is_copied_again_and_a_whole_one_is_not(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model")
    with database(engine) as connection:
        row = register(connection, folder, store=store)
    copied = store.folder(row.id) / WEIGHTS_FILE
    copied.write_bytes(b"")
    assert CrackModel.load(store.folder(row.id)).card == read_card(folder)
    before = copied.stat()
    store.folder(row.id)
    assert copied.stat() == before


@pytest.mark.parametrize("again", [register, register_shipped])
def test_the_card_of_a_newer_package_takes_the_place_of_the_former_everywhere(
    store: ModelStore,
    engine: Engine,
    tmp_path: Path,
    again: Callable[..., ModelRow],
) -> None:
    """Its weights are read from the package; where that no longer has them, from storage."""
    older, newer = default_card().model_copy(update={"threshold": 0.9}), default_card()
    shutil.copytree(default_model_folder(), tmp_path / "older")
    write_card(older, tmp_path / "older")
    with database(engine) as connection:
        row = register(connection, tmp_path / "older", store=store)
        assert row.card["threshold"] == 0.9
        assert read_card(stored(tmp_path, row.id)) == older
        row = again(connection, default_model_folder(), store=store)
        assert row == get_model(connection, row.id)
        assert row.card == newer.model_dump(mode="json")
    assert read_card(stored(tmp_path, row.id)) == newer


def test_a_shipped_model_is_found_when_a_newer_package_has_it_no_more(
    store: ModelStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with database(engine) as connection:
        row = register_shipped(connection, default_model_folder(), store=store)
        assert register_shipped(connection, default_model_folder(), store=store) == row
    assert store.folder(row.id) == default_model_folder()
    monkeypatch.setattr(model_store, "shipped_model_folders", list)
    kept = store.folder(row.id)
    assert kept != default_model_folder()
    assert CrackModel.load(kept).card == default_card()


def test_a_shipped_model_that_an_older_package_left_unstored_is_stored(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    card = default_card()
    with database(engine) as connection:
        add_model(
            connection,
            name=card.name,
            digest=card.digest,
            card=card.model_dump(mode="json"),
            uri=f"shipped:{default_model_folder().name}",
        )
        row = register_shipped(connection, default_model_folder(), store=store)
        assert row.uri == f"storage:models/{card.model_id}"
    assert read_card(stored(tmp_path, row.id)) == card


def test_a_copy_follows_the_card_in_storage(
    store: ModelStore, engine: Engine, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model")
    with database(engine) as connection:
        row = register(connection, folder, store=store)
    assert read_card(store.folder(row.id)).threshold == 0.5
    store.complete(folder, read_card(folder).model_copy(update={"threshold": 0.7}))
    assert read_card(store.folder(row.id)).threshold == 0.7


@pytest.mark.parametrize("name", ["typo", "../../outside", "/{tmp}/typo", "nobody-00000000\n"])
def test_what_is_no_id_becomes_no_path(store: ModelStore, tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound, match="is no id of a model version"):
        store.folder(name.replace("/{tmp}", str(tmp_path)))
    assert [path.name for path in tmp_path.iterdir()] == ["storage"]
