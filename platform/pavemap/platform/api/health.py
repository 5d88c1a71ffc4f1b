"""Alive and ready: what a load balancer asks."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from pavemap.geo.errors import Unavailable
from pavemap.geo.store.schema import is_current
from pavemap.platform.api.probe import Probe
from pavemap.platform.api.problems import answers
from pavemap.platform.api.services import PROBE_S, Services
from pavemap.platform.stored_imagery import check_storage

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    """Database and storage are there and fit to use."""

    status: Literal["ready"] = "ready"


@router.get("/healthz", responses=answers(), summary="Whether the process answers")
async def healthz() -> Alive:
    """Answer without asking anything of the database or the storage."""
    return Alive()


class Readiness:
    """Asks database and storage how they are, at most once at a time, and never waits long."""

    def __init__(self, services: Services) -> None:
        """Take the services; nothing is asked yet."""
        self._schema = Probe(
            lambda: is_current(services.probes), subject="the database", limit_s=PROBE_S
        )
        self._storage = Probe(
            lambda: check_storage(services.probes, services.storage),
            subject="the storage",
            limit_s=PROBE_S,
            keep_s=60.0,  # where a bucket has versioning, each check leaves a version
        )

    def check(self) -> None:
        """Raise Unavailable or StorageFull unless requests can be served."""
        if not self._schema.answer():
            raise Unavailable(
                "the database's schema is not this version's; migrate it (`pavemap migrate`; "
                "`pavemap up` does so itself)"
            )
        self._storage.answer()


@router.get("/readyz", responses=answers(507), summary="Whether requests can be served")
def readyz(request: Request) -> Ready:
    """Check that the schema is this version's, and that the storage is the right one and can be written."""
    readiness: Readiness = request.app.state.readiness
    readiness.check()
    return Ready()
