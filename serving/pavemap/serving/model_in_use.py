"""Follows which model version is in use, and finds the folder of any version."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from sqlalchemy import Engine

from pavemap.geo.errors import BadInput, PavemapError
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.promotions import promoted_model
from pavemap.serving.args import ServingArgs
from pavemap.training.model_store import ModelStore
from pavemap.training.registry import default_card

log = logging.getLogger(__name__)


class ModelInUse:
    """The platform's choice of a model version, as the database has it."""

    def __init__(self, engine: Engine, store: ModelStore) -> None:
        self._engine, self._store = engine, store

    @classmethod
    def configured(cls, args: ServingArgs) -> Self | None:
        """Return it where database and storage are named; None for a service that only detects."""
        try:
            url, storage = args.database(), args.storage()
        except BadInput:
            return None
        engine = make_engine(url, pool_size=1, application_name="pavemap detector")
        return cls(engine, ModelStore(Storage(storage)))

    def folder(self, model_id: str) -> Path:
        """Return a local folder of a model version. Raises NotFound or Unavailable."""
        return self._store.folder(model_id)

    def model_id(self) -> str:
        """Return the id of the version in use now. Raises Unavailable."""
        with database(self._engine) as connection:
            promoted = promoted_model(connection)
        return promoted.id if promoted else default_card().model_id

    def follow(self, changed: Callable[[str], bool], *, every_s: float) -> None:
        """Call `changed` with the version in use, every so often, until it says that it is over (False).

        What fails (the database is away, a version can't be loaded) is tried again; until then the
        Detector goes on with what it has.
        """

        def look() -> None:
            pause = threading.Event()
            while True:
                try:
                    if not changed(self.model_id()):
                        return
                except PavemapError as exc:
                    log.debug("the model in use is not known: %s", exc)
                except Exception:  # as when a GPU's memory is short for a moment
                    log.warning("the model in use can't be loaded", exc_info=True)
                pause.wait(every_s)

        threading.Thread(target=look, name="model in use", daemon=True).start()
