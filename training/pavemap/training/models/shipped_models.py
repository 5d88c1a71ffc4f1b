"""The models that ship with pavemap, and which of them is used when none is named."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pavemap.training.errors import BadModel
from pavemap.training.models.card import CARD_FILE, ModelCard, read_card

DEFAULT_NAMES = ("survey-context", "survey-unet", "fan2018")  # the first that is there


def shipped_model_folders() -> list[Path]:
    """The folders of the shipped models, by name."""
    home = Path(str(files("pavemap.training"))) / "weights"
    return sorted(path.parent for path in home.glob(f"*/{CARD_FILE}"))


def default_model_folder() -> Path:
    """The folder of the model that surveys use unless told otherwise."""
    there = {folder.name: folder for folder in shipped_model_folders()}
    for name in DEFAULT_NAMES:
        if name in there:
            return there[name]
    raise BadModel(
        "no model is shipped with this installation; reinstall pavemap or name a model folder"
    )


def default_card() -> ModelCard:
    """The card of the default model."""
    return read_card(default_model_folder())


def find_model_folder(name_or_path: str | Path | None = None) -> Path:
    """A model's folder by shipped name ('fan2018'), by model id, or by path; None is the default.

    Raises BadModel when there is none, naming those that ship.
    """
    if name_or_path is None:
        return default_model_folder()
    for folder in shipped_model_folders():
        if str(name_or_path) in (folder.name, read_card(folder).model_id):
            return folder
    path = Path(name_or_path)
    if (path / CARD_FILE).is_file():
        return path
    names = ", ".join(folder.name for folder in shipped_model_folders()) or "none"
    raise BadModel(
        f"there is no model {name_or_path!s}: neither a folder with {CARD_FILE} nor a shipped one ({names})"
    )
