"""A Detector's models: loaded when wanted, few at once, the default never put away."""

from __future__ import annotations

from pathlib import Path

import pytest

from pavemap.geo.errors import NotFound
from pavemap.serving.shelf import ModelShelf
from pavemap.training.inference import CrackModel
from pavemap.training.models.card import read_card, write_card
from training.model_folders import write_model_folder


class Library:
    """Small models by id, and what was loaded of them."""

    def __init__(self, folder: Path) -> None:
        self.folders: dict[str, Path] = {}
        self.loaded: list[str] = []
        for name in ("a", "b", "c", "d"):
            made = write_model_folder(folder / name, arguments={"width": 4})
            card = read_card(made).model_copy(update={"name": name})
            write_card(card, made)
            self.folders[card.model_id] = made

    def id_of(self, name: str) -> str:
        return next(one for one in self.folders if one.startswith(f"{name}-"))

    def find(self, model_id: str) -> Path:
        if model_id not in self.folders:
            raise NotFound(f"no {model_id}")
        return self.folders[model_id]

    def load(self, folder: Path) -> CrackModel:
        self.loaded.append(folder.name)
        return CrackModel.load(folder, device="cpu")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def shelf_of(library: Library, *, capacity: int = 2) -> ModelShelf:
    default = library.folders[library.id_of("a")]
    return ModelShelf(default, load=library.load, find=library.find, capacity=capacity)


def test_models_are_loaded_once_and_the_default_answers_for_none(library: Library) -> None:
    shelf = shelf_of(library)
    for wanted in (None, "a", "b", "b", None):
        shelf.get(wanted and library.id_of(wanted))
    assert library.loaded == ["a", "b"]
    assert shelf.get(None).card.name == "a"


def test_the_oldest_goes_but_never_the_default(library: Library) -> None:
    shelf = shelf_of(library)
    for name in ("b", "c", "b"):
        assert shelf.get(library.id_of(name)).card.name == name
    assert library.loaded == ["a", "b", "c", "b"]
    shelf.get(None)
    assert library.loaded.count("a") == 1


def test_another_default_is_loaded_before_it_answers(library: Library) -> None:
    shelf = shelf_of(library)
    shelf.make_default(library.id_of("b"))
    assert shelf.get(None).card.name == "b"
    with pytest.raises(NotFound):
        shelf.make_default("nobody-00000000")
    assert shelf.get(None).card.name == "b"
