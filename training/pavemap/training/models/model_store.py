"""Where model versions are kept for everyone: object storage, under keys made of their ids.

A folder on the machine that trained is of no use to the Detectors; what is put here is. Weights are
safetensors, never pickles, and are checked against the digest in the card whenever they are loaded.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from sqlalchemy import Connection

from pavemap.geo.errors import BadInput, Conflict, NotFound
from pavemap.geo.file_digest import file_digest
from pavemap.geo.scratch import INCOMING, scratch
from pavemap.geo.storage import Storage
from pavemap.geo.store.model_versions import (
    ModelRow,
    add_model,
    find_model,
    lock_model,
    replace_card,
)
from pavemap.geo.store.storage_identity import check_identity
from pavemap.training.config import Architecture
from pavemap.training.errors import BadModel
from pavemap.training.leaves import leaves
from pavemap.training.models.card import (
    CARD_FILE,
    WEIGHTS_FILE,
    ModelCard,
    check_figures,
    check_vectorize,
    checked_weights,
    read_card,
    write_card,
)
from pavemap.training.models.comparison import IN_USE, check_scores
from pavemap.training.models.model_archive import MAX_WEIGHTS_BYTES
from pavemap.training.models.shipped_models import shipped_model_folders
from pavemap.training.models.weights_file import check_weights

PREFIX = "models"

LARGEST = 2**63
"""Integers of a card are smaller, or others could not read them."""

MODEL_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}-[0-9a-f]{8}")
"""A card's name and 8 digits of its digest; what else is asked for becomes no path."""


class ModelStore:
    """Model folders in object storage, copied to a local folder when they are needed."""

    def __init__(self, storage: Storage, *, cache: Path | None = None) -> None:
        """Take the storage, and the folder for copies (PAVEMAP_MODEL_CACHE, else a temporary one)."""
        self._storage = storage
        named = os.environ.get("PAVEMAP_MODEL_CACHE")
        self._cache = cache or Path(named or tempfile.gettempdir()) / "pavemap-models"

    def check(self, connection: Connection) -> None:
        """See that this is the database's storage, before it changes. Raises Unavailable or StorageFull."""
        check_identity(connection, self._storage)

    def put(self, folder: Path, card: ModelCard) -> None:
        """Store a folder's weights, and a card for them. Raises StorageFull or Unavailable."""
        with self._scratch() as place:
            copy = place / WEIGHTS_FILE
            shutil.copyfile(folder / WEIGHTS_FILE, copy)  # storage takes a file over
            self._storage.put_file(_key(card.model_id, WEIGHTS_FILE), copy)
        self._put_card(card)  # last: where it is, the weights are

    def complete(self, folder: Path, card: ModelCard) -> None:
        """Store what storage lacks of a version that is registered with this card; the card anew.

        Weights that were damaged there are lacking too.
        """
        if self._has_weights(card):
            self._put_card(card)
        else:
            self.put(folder, card)

    def folder(self, model_id: str) -> Path:
        """Return a local folder of a model version: shipped, copied before, or copied now.

        A copy has the card that storage has now; a damaged one is copied again. Raises NotFound, BadModel
        or Unavailable.
        """
        if MODEL_ID.fullmatch(model_id) is None:
            raise NotFound(
                f"'{model_id}' is no id of a model version, as is 'survey-unet-fffb1082'; "
                "list the models that are registered"
            )
        for folder in shipped_model_folders():
            if read_card(folder).model_id == model_id:
                return folder
        try:
            return self._copied(model_id)
        except NotFound as exc:
            raise NotFound(
                f"model version '{model_id}' is not in storage; register its folder again "
                "(pavemap model register)"
            ) from exc

    def _copied(self, model_id: str) -> Path:
        target = self._cache / model_id
        self._cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._cache) as temporary:
            place, files = Path(temporary), [CARD_FILE]
            self._storage.fetch_file(_key(model_id, CARD_FILE), place / CARD_FILE)
            card = read_card(place)
            if not _are_weights(target / WEIGHTS_FILE, card):
                self._fetch_weights(card, place / WEIGHTS_FILE)
                files.insert(0, WEIGHTS_FILE)
            target.mkdir(exist_ok=True)
            for file in files:
                (place / file).replace(target / file)
        return target

    def _fetch_weights(self, card: ModelCard, path: Path) -> None:
        self._storage.fetch_file(_key(card.model_id, WEIGHTS_FILE), path)
        if not _are_weights(path, card):
            raise BadModel(
                f"the weights of model version '{card.model_id}' were damaged in storage; register its "
                "folder again (pavemap model register)"
            )

    def _has_weights(self, card: ModelCard) -> bool:
        """Whether storage has a version's weights, whole."""
        with tempfile.TemporaryDirectory() as place:
            try:
                self._fetch_weights(card, Path(place) / WEIGHTS_FILE)
            except (NotFound, BadModel):
                return False
        return True

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A folder on the disk of local storage, where the API sweeps up after killed processes."""
        if self._storage.folder is None:
            with tempfile.TemporaryDirectory() as place:
                yield Path(place)
        else:
            with scratch(self._storage.folder / INCOMING) as folder:
                yield folder

    def _put_card(self, card: ModelCard) -> None:
        with self._scratch() as place:
            write_card(card, place)
            self._storage.put_file(_key(card.model_id, CARD_FILE), place / CARD_FILE)


def register(connection: Connection, folder: Path, *, store: ModelStore) -> ModelRow:
    """Store a model folder and make it known as a model version; twice is once.

    The card of a version stays, for surveys were made by it; that of a model which ships is the
    package's (see `register_shipped`). Raises BadModel, Conflict, StorageFull or Unavailable.
    """
    card = _checked(folder)
    for one in shipped_model_folders():
        if read_card(one) == card:
            register_shipped(connection, one, store=store)
    store.check(connection)
    known = lock_model(connection, name=card.name, digest=card.digest)
    if known is None:
        store.put(folder, card)
        return _add(connection, card)
    registered = ModelCard.model_validate(known.card)
    if _lasting(registered) != _lasting(card):
        raise Conflict(
            f"these weights are registered as '{known.id}' with another card, and the card of a version "
            'stays as it is; to register this one beside it give it another "name" (in its card.json, or '
            "in the configuration, whose training then begins anew)"
        )
    store.complete(folder, registered)
    return known


def register_shipped(connection: Connection, folder: Path, *, store: ModelStore) -> ModelRow:
    """Store a shipped model and make it known: surveys need it when a newer package has others.

    Where an older package left its card, this package's takes its place. Raises StorageFull or
    Unavailable.
    """
    card = read_card(folder)
    known = find_model(connection, card.model_id)
    if known is not None and known.card == _plain(card) and known.uri == _uri(card):
        return known
    store.check(connection)
    if lock_model(connection, name=card.name, digest=card.digest) is None:
        store.put(folder, card)
        return _add(connection, card)
    store.complete(folder, card)
    return replace_card(connection, card.model_id, card=_plain(card), uri=_uri(card))


def _checked(folder: Path) -> ModelCard:
    card = read_card(folder)
    _check_storable(card)
    weights = checked_weights(folder, card)
    if weights.stat().st_size > MAX_WEIGHTS_BYTES:
        raise BadInput(f"{weights} is larger than {MAX_WEIGHTS_BYTES >> 20} MB; is it a model?")
    if card.architecture not in get_args(Architecture):
        raise BadModel.unknown(card.architecture)
    check_weights(weights, card)
    check_figures(card)
    check_vectorize(card.vectorize, threshold=card.threshold)
    check_scores(card.metrics)
    return card


def _check_storable(card: ModelCard) -> None:
    """Raise BadModel for what the database's JSON, or those who read it, can't hold."""
    plain = _plain(card)
    if any(isinstance(leaf, int) and abs(leaf) >= LARGEST for leaf in leaves(plain)):
        raise BadModel("the model card holds an integer of more than 64 bits; take it out")
    try:
        text = json.dumps(plain, allow_nan=False)
    except ValueError as exc:
        raise BadModel("the model card holds a number that is not finite; take it out") from exc
    if "\\u0000" in text:
        raise BadModel("the model card holds a character of code 0; take it out")


def _are_weights(path: Path, card: ModelCard) -> bool:
    """Whether a file is there, and the one that its card describes."""
    return path.is_file() and file_digest(path) == card.digest


def _lasting(card: ModelCard) -> ModelCard:
    """The card without what a training that is finished again says anew: when, how long, beside what."""
    metrics = {name: value for name, value in card.metrics.items() if name != IN_USE}
    return card.model_copy(update={"created": "", "training": {}, "metrics": metrics})


def _add(connection: Connection, card: ModelCard) -> ModelRow:
    uri, plain = _uri(card), _plain(card)
    return add_model(connection, name=card.name, digest=card.digest, card=plain, uri=uri)


def _uri(card: ModelCard) -> str:
    return f"storage:{PREFIX}/{card.model_id}"


def _plain(card: ModelCard) -> dict[str, Any]:
    return card.model_dump(mode="json")


def _key(model_id: str, file: str) -> str:
    return f"{PREFIX}/{model_id}/{file}"
