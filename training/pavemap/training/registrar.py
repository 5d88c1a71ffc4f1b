"""Makes a finished model known to the platform, from wherever it was trained."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from sqlalchemy import Engine

from pavemap.geo.secrets import secret
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.promotions import promoted_model
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.model_store import ModelStore, register
from pavemap.training.registry import default_model

DATABASE_VARIABLE, STORAGE_VARIABLE = "PAVEMAP_DATABASE_URL", "PAVEMAP_STORAGE_URL"


class Registrar:
    """The platform's database and storage, as a training run needs them."""

    def __init__(self, engine: Engine, store: ModelStore) -> None:
        self._engine, self._store = engine, store

    @classmethod
    def from_environment(cls) -> Self:
        """Take both from the environment. Raises BadTrainingConfig when one is not named there."""
        url, storage = secret(DATABASE_VARIABLE), os.environ.get(STORAGE_VARIABLE)
        if not url or not storage:
            given = {
                f"{DATABASE_VARIABLE} (or {DATABASE_VARIABLE}_FILE)": url,
                STORAGE_VARIABLE: storage,
            }
            missing = " and ".join(name for name, value in given.items() if not value)
            raise BadTrainingConfig(
                f"A finished model is registered with the platform: set {missing} where the training "
                "runs, for a Ray cluster in the environment of `ray start`."
            )
        engine = make_engine(url, pool_size=1, application_name="pavemap-training")
        return cls(engine, ModelStore(Storage(storage)))

    def in_use(self) -> Path:
        """The folder of the version that new surveys use now."""
        with database(self._engine) as connection:
            promoted = promoted_model(connection)
        return default_model() if promoted is None else self._store.folder(promoted.id)

    def folder(self, model_id: str) -> Path:
        """A local folder of a model version. Raises NotFound, BadModel or Unavailable."""
        return self._store.folder(model_id)

    def register(self, folder: Path) -> str:
        """Store a model folder and register it as a model version; its id. Raises Unavailable."""
        with database(self._engine) as connection:
            return register(connection, folder, store=self._store).id
