"""Model versions in object storage: put once, copied where they are needed, checked when loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine

from pavemap.geo.errors import NotFound
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import database
from pavemap.geo.store.model_versions import get_model
from pavemap.training.card import WEIGHTS_FILE, read_card
from pavemap.training.errors import BadModel
from pavemap.training.inference import CrackModel
from pavemap.training.model_store import ModelStore, register
from pavemap.training.registry import default_card, default_model
from training.models import write_model_folder


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(Storage(str(tmp_path / "storage")), cache=tmp_path / "cache")


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


def test_a_shipped_model_needs_no_storage(store: ModelStore) -> None:
    assert store.folder(default_card().model_id) == default_model()


def test_one_that_nobody_stored_is_said_to_be_missing(store: ModelStore) -> None:
    with pytest.raises(NotFound, match="register its folder again"):
        store.folder("nobody-00000000")


def test_weights_that_do_not_fit_their_card_are_not_stored(
    store: ModelStore, tmp_path: Path
) -> None:
    folder = write_model_folder(tmp_path / "model")
    (folder / WEIGHTS_FILE).write_bytes(b"other")
    with pytest.raises(BadModel, match="is not the file its card describes"):
        store.put(folder)
    with pytest.raises(NotFound):
        store.folder(read_card(folder).model_id)
