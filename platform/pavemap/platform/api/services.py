"""What the operations of the API work with: settings, database, storage, readers, training jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self, TypeVar, cast

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from sqlalchemy import Engine

from pavemap.geo.errors import BadInput
from pavemap.geo.scratch import INCOMING, sweep
from pavemap.geo.storage import Storage
from pavemap.geo.store.engine import follow_url_file, make_engine
from pavemap.platform.jobs import TrainingJobs
from pavemap.platform.raster_readers import Readers
from pavemap.platform.settings import Settings

Result = TypeVar("Result")

CONNECTIONS = 10
"""Kept open to the database; as many more under load, and then requests wait or are told to."""


PROBE_S = 3.0
"""How long database and storage may take to say that they are well."""


@dataclass(frozen=True)
class Services:
    """Opened once per process; nothing here holds state that another process would need."""

    settings: Settings
    engine: Engine
    storage: Storage
    readers: Readers
    jobs: TrainingJobs
    probes: Engine
    """Connections of their own, with short limits, for what asks how the database is."""
    incoming: Path
    """Where uploads are gathered: on the disk of local storage, so that they are moved, not copied."""
    imports: CapacityLimiter
    """Bounds how many uploads are checked and stored at once, apart from the pool of all requests."""

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open everything that needs no other program to run; the database is connected on use."""
        if settings.database_url is None:
            raise BadInput(
                "no database is named: set PAVEMAP_DATABASE_URL, or let `pavemap up` start one"
            )
        url = settings.database_url.get_secret_value()
        engine = make_engine(
            url,
            pool_size=CONNECTIONS,
            max_overflow=CONNECTIONS,
            application_name="pavemap-api",
        )
        probes = make_engine(
            url,
            pool_size=2,
            max_overflow=0,
            statement_timeout_s=PROBE_S,
            application_name="pavemap-api probe",
        )
        if settings.database_url_file is not None:
            follow_url_file(engine, settings.database_url_file)
            follow_url_file(probes, settings.database_url_file)
        storage = Storage(settings.storage_location)
        incoming = (storage.folder or settings.home) / INCOMING
        sweep(incoming)
        return cls(
            settings=settings,
            engine=engine,
            storage=storage,
            readers=Readers(settings.readers, limit_s=settings.reader_limit_s),
            jobs=TrainingJobs.configured(settings, engine=engine),
            probes=probes,
            incoming=incoming,
            imports=CapacityLimiter(settings.readers),
        )

    def close(self) -> None:
        """Close connections and end the reader processes."""
        self.readers.close()
        self.engine.dispose()
        self.probes.dispose()

    async def importing(self, work: Callable[[], Result]) -> Result:
        """Run the heavy part of an upload in a thread, when its turn comes."""
        return await to_thread.run_sync(work, limiter=self.imports)


async def _services(request: Request) -> Services:  # not async, it would be called in a thread
    return cast(Services, request.app.state.services)


ServicesOf = Annotated[Services, Depends(_services)]
"""The parameter type by which an operation asks for the services."""
