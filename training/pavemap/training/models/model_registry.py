"""The platform's model versions as a process beside it meets them: where they are, and which is in use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

from sqlalchemy import Engine

from pavemap.geo.secrets import secret
from pavemap.geo.storage import STORAGE_VARIABLE, Storage
from pavemap.geo.store.engine import DATABASE_VARIABLE, database, make_engine
from pavemap.geo.store.promotions import promoted_model
from pavemap.training.errors import BadTrainingConfig
from pavemap.training.models.model_store import ModelStore, register
from pavemap.training.models.shipped_models import default_card


class ModelRegistry:
    """Model versions: rows in the platform's database, folders in its storage."""

    def __init__(self, engine: Engine, store: ModelStore) -> None:
        self._engine, self._store = engine, store

    @classmethod
    def connect(cls, database_url: str, storage: str, *, application_name: str) -> Self:
        """Take both by their locations; the database is told `application_name`."""
        engine = make_engine(database_url, pool_size=1, application_name=application_name)
        return cls(engine, ModelStore(Storage(storage)))

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
                f"a finished model is registered with the platform: set {missing} where the training "
                "runs, for a Ray cluster in the environment of `ray start`"
            )
        return cls.connect(url, storage, application_name="pavemap-training")

    def id_in_use(self) -> str:
        """The id of the version that new surveys use now. Raises Unavailable."""
        with database(self._engine) as connection:
            promoted = promoted_model(connection)
        return default_card().model_id if promoted is None else promoted.id

    def folder_in_use(self) -> Path:
        """A local folder of that version. Raises NotFound, BadModel or Unavailable."""
        return self.folder(self.id_in_use())

    def folder(self, model_id: str) -> Path:
        """A local folder of a model version. Raises NotFound, BadModel or Unavailable."""
        return self._store.folder(model_id)

    def register(self, folder: Path) -> str:
        """Store a model folder and register it as a model version; its id. Raises Unavailable."""
        with database(self._engine) as connection:
            return register(connection, folder, store=self._store).id
