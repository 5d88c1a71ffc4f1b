"""Where model versions are kept for everyone: object storage, under keys made of their ids.

A folder on the machine that trained is of no use to the Detectors; what is put here is. Weights are
safetensors, never pickles, and are checked against the digest in the card whenever they are loaded.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from sqlalchemy import Connection

from pavemap.geo.errors import BadInput, NotFound
from pavemap.geo.storage import Storage
from pavemap.geo.store.model_versions import ModelRow, add_model
from pavemap.training.card import CARD_FILE, WEIGHTS_FILE, ModelCard, checked_weights, read_card
from pavemap.training.model_archive import MAX_WEIGHTS_BYTES
from pavemap.training.registry import shipped

PREFIX = "models"


class ModelStore:
    """Model folders in object storage, copied to a local folder when they are needed."""

    def __init__(self, storage: Storage, *, cache: Path | None = None) -> None:
        """Take the storage, and the folder for copies (PAVEMAP_MODEL_CACHE, else a temporary one)."""
        self._storage = storage
        named = os.environ.get("PAVEMAP_MODEL_CACHE")
        self._cache = cache or Path(named or tempfile.gettempdir()) / "pavemap-models"

    def put(self, folder: Path) -> ModelCard:
        """Store a model folder; again changes nothing. Raises BadModel, StorageFull or Unavailable."""
        card = read_card(folder)
        weights = checked_weights(folder, card)
        if weights.stat().st_size > MAX_WEIGHTS_BYTES:
            raise BadInput(f"{weights} is larger than {MAX_WEIGHTS_BYTES >> 20} MB; is it a model?")
        # The card comes last: where it is, the weights are.
        for file in (WEIGHTS_FILE, CARD_FILE):
            with tempfile.TemporaryDirectory(dir=self._storage.folder) as place:
                copy = Path(place) / file
                shutil.copyfile(folder / file, copy)  # storage takes a file over
                self._storage.put_file(_key(card.model_id, file), copy)
        return card

    def folder(self, model_id: str) -> Path:
        """Return a local folder of a model version: shipped, copied before, or copied now.

        Raises NotFound, BadModel or Unavailable.
        """
        for folder in shipped():
            if read_card(folder).model_id == model_id:
                return folder
        target = self._cache / model_id
        if not (target / CARD_FILE).is_file():
            self._copy(model_id, target)
        return target

    def _copy(self, model_id: str, target: Path) -> None:
        target.mkdir(parents=True, exist_ok=True)
        try:
            for file in (WEIGHTS_FILE, CARD_FILE):
                self._storage.fetch_file(_key(model_id, file), target / file)
        except NotFound as exc:
            raise NotFound(
                f"model version '{model_id}' is not in storage; register its folder again "
                "(pavemap model register)"
            ) from exc


def register(connection: Connection, folder: Path, *, store: ModelStore) -> ModelRow:
    """Store a model folder and make it known as a model version; twice is once.

    Raises BadModel, Conflict, StorageFull or Unavailable.
    """
    card = store.put(folder)
    return add_model(
        connection,
        name=card.name,
        digest=card.digest,
        card=card.model_dump(mode="json"),
        uri=f"storage:{PREFIX}/{card.model_id}",
    )


def _key(model_id: str, file: str) -> str:
    return f"{PREFIX}/{model_id}/{file}"
