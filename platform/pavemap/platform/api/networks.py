"""Road networks over HTTP: import a file, list, look at the report of the import."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import contextmanager_in_threadpool

from pavemap.geo.scratch import scratch
from pavemap.geo.store import networks as store
from pavemap.geo.store.engine import database
from pavemap.platform import network_import
from pavemap.platform.api.bodies import refuse_encoded
from pavemap.platform.api.convertors import ANY_TEXT
from pavemap.platform.api.headers import LOCATION, location
from pavemap.platform.api.network_form import FORM, receive_network
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.common import Printable
from pavemap.platform.api.schemas.networks import (
    ImportReport,
    NetworkOptions,
    NetworkOut,
    NetworkSummary,
)
from pavemap.platform.api.services import ServicesOf

router = APIRouter(prefix="/networks", tags=["networks"])

Network = Annotated[Printable, PathParameter(description="id or name of a network")]


@router.post(
    "",
    status_code=201,
    response_model=NetworkOut,
    responses={
        201: {"headers": LOCATION},
        200: {"model": NetworkOut, "description": "This very network was there already."},
        **answers(400, 404, 408, 409, 413, 415, 507),
    },
    openapi_extra=FORM,
    summary="Import a road network",
)
async def import_network(
    request: Request,
    response: Response,
    options: Annotated[NetworkOptions, Query()],
    services: ServicesOf,
) -> NetworkOut:
    """Read road lines, cut them into segments with their pavement, and store them under a name.

    GeoPackage, GeoJSON, a Shapefile in a zip, GeoParquet, in any CRS. The same network under the
    same name is one; another network under that name is refused. `replaces` makes it the next version
    of an older network, whose segments keep their keys and histories where they are found again.
    """
    refuse_encoded(request)
    async with contextmanager_in_threadpool(scratch(services.incoming)) as folder:
        files, wanted = await receive_network(request, options, folder, services)
        made = await services.importing(
            lambda: network_import.import_network(services.engine, files, wanted)
        )
    response.status_code = 201 if made.created else 200
    if made.created:
        response.headers["Location"] = location(request, "get_network", network=made.row.id)
    return NetworkOut.of(made.row, report=ImportReport.of(made.report))


@router.get("", responses=answers(), summary="List the networks")
def list_networks(services: ServicesOf) -> list[NetworkSummary]:
    """List the networks by name."""
    with database(services.engine) as connection:
        return [NetworkSummary.of(row) for row in store.list_networks(connection)]


@router.get(
    f"/{{network:{ANY_TEXT}}}", responses=answers(404), summary="A network with its import report"
)
def get_network(network: Network, services: ServicesOf) -> NetworkOut:
    """Find a network by id or name."""
    with database(services.engine) as connection:
        row = store.get_network(connection, network)
        report = store.network_report(connection, row.id)
    return NetworkOut.of(row, report=ImportReport.of(report))


@router.delete(
    f"/{{network:{ANY_TEXT}}}",
    status_code=204,
    responses=answers(404, 409),
    summary="Delete a network",
)
def delete_network(network: Network, services: ServicesOf) -> None:
    """Remove a network that no survey is of, with its roads and segments."""
    with database(services.engine) as connection:
        store.delete_network(connection, network)
