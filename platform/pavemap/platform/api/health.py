"""Alive and ready: what a load balancer asks."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from pavemap.geo.errors import Unavailable
from pavemap.geo.store.schema import is_current
from pavemap.platform.api.problems import answers
from pavemap.platform.api.services import ServicesOf

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


@router.get("/readyz", responses=answers(507), summary="Whether requests can be served")
def readyz(services: ServicesOf) -> Ready:
    """Check that the schema is this version's and that the storage can be written."""
    if not is_current(services.engine):
        raise Unavailable(
            "the database's schema is not this version's; migrate it (`alembic upgrade head`; "
            "`pavemap up` does so itself)"
        )
    services.storage.check_writable()
    return Ready()
