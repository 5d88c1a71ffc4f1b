"""Road networks over HTTP: import a file, list, look at the report of the import."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pavemap.geo.errors import BadInput, NotFound
from pavemap.geo.roads.agency_pavement import read_pavement
from pavemap.geo.roads.lineage import Previous, lineage_notes
from pavemap.geo.roads.road_network import read_network
from pavemap.geo.roads.segments import cutting_length, segment_network
from pavemap.geo.store import networks as store
from pavemap.geo.store.engine import database
from pavemap.platform.api.bodies import announced_length, cut_off_told, refuse_encoded
from pavemap.platform.api.headers import LOCATION, location
from pavemap.platform.api.labels import LABEL
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.common import Printable
from pavemap.platform.api.schemas.networks import (
    ImportReport,
    NetworkOptions,
    NetworkOut,
    NetworkSummary,
)
from pavemap.platform.api.services import Services, ServicesOf
from pavemap.platform.errors import BadRequest
from pavemap.platform.uploads import check_length, guarded, receive, room_told, scratch

router = APIRouter(prefix="/networks", tags=["networks"])

Network = Annotated[Printable, PathParameter(description="id or name of a network")]

MAX_FIELDS = 40
MAX_FIELD_BYTES = 10_000

FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The file itself, or a form with it in `file` and any of the parameters as fields.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "pavement": {
                            "type": "string",
                            "format": "binary",
                            "description": "The agency's pavement polygons, in the same formats.",
                        },
                        "name": {"type": "string", "examples": ["Old town"]},
                        "road_id_field": {"type": "string", "examples": ["osm_id"]},
                    },
                    "additionalProperties": {"type": "string"},
                }
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@dataclass(frozen=True)
class NetworkFiles:
    """The files of a request, under names of ours."""

    roads: Path
    pavement: Path | None


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
        received, options = await _received(request, options, folder, services)
        network, created = await services.importing(lambda: _import(services, options, received))
    response.status_code = 201 if created else 200
    if created:
        response.headers["Location"] = location(request, "get_network", network=network.id)
    return network


@router.get("", responses=answers(), summary="List the networks")
def list_networks(services: ServicesOf) -> list[NetworkSummary]:
    """List the networks by name."""
    with database(services.engine) as connection:
        return [NetworkSummary.of(row) for row in store.list_networks(connection)]


@router.get(
    f"/{{network:{LABEL}}}", responses=answers(404), summary="A network with its import report"
)
def get_network(network: Network, services: ServicesOf) -> NetworkOut:
    """Find a network by id or name."""
    with database(services.engine) as connection:
        row = store.get_network(connection, network)
        report = store.network_report(connection, row.id)
    return NetworkOut.of(row, report=ImportReport.of(report))


@router.delete(
    f"/{{network:{LABEL}}}",
    status_code=204,
    responses=answers(404, 409),
    summary="Delete a network",
)
def delete_network(network: Network, services: ServicesOf) -> None:
    """Remove a network that no survey is of, with its roads and segments."""
    with database(services.engine) as connection:
        store.delete_network(connection, network)


async def _received(
    request: Request, options: NetworkOptions, folder: Path, services: Services
) -> tuple[NetworkFiles, NetworkOptions]:
    """Return the files of a request, under names of ours, and all its options."""
    settings = services.settings
    limit, idle_s = settings.max_network_bytes, settings.upload_idle_s
    plain, pavement = folder / "upload", None
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        expected = announced_length(request)
        with cut_off_told():
            await receive(request.stream(), plain, limit=limit, idle_s=idle_s, expected=expected)
    else:
        check_length(
            announced_length(request), limit=limit + MAX_FIELDS * MAX_FIELD_BYTES, folder=folder
        )
        async with _form(request, limit=limit, idle_s=idle_s) as form:
            file, options = _told(form, options)
            with room_told():
                await run_in_threadpool(_copy, file, plain)
                polygons = form.get("pavement")
                if isinstance(polygons, UploadFile):
                    pavement = folder / f"pavement{_suffix(polygons.filename or '')}"
                    await run_in_threadpool(_copy, polygons, pavement)
    if options.name is None:
        raise BadInput("the network needs a name: add ?name=..., or a field 'name' to the form")
    if options.filename is None:
        raise BadInput(
            "the file needs a name that tells its format: add ?filename=roads.gpkg, or send a form"
        )
    path = folder / f"roads{_suffix(options.filename)}"
    plain.rename(path)
    return NetworkFiles(path, pavement), options


def _suffix(filename: str) -> str:
    return Path(filename).suffix.lower()[:16]


@asynccontextmanager
async def _form(request: Request, *, limit: int, idle_s: float) -> AsyncIterator[FormData]:
    """Parse a form in bounded memory: its files go to temporary ones, unnamed, as they come."""
    try:
        with cut_off_told(), room_told():
            form = await MultiPartParser(
                request.headers,
                guarded(request.stream(), limit=limit, idle_s=idle_s),  # type: ignore[arg-type]
                max_files=2,
                max_fields=MAX_FIELDS,
                max_part_size=MAX_FIELD_BYTES,
            ).parse()
    except MultiPartException as exc:
        raise BadRequest(f"the form can't be read: {exc.message}") from exc
    try:
        yield form
    finally:
        await form.close()


def _told(form: FormData, options: NetworkOptions) -> tuple[UploadFile, NetworkOptions]:
    """Take a form apart; its fields overrule the query's."""
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise BadInput("the form has no file in its field 'file'; add it")
    fields = {name: value for name, value in form.items() if isinstance(value, str) and value}
    given = {"filename": file.filename or None, **options.model_dump(exclude_unset=True), **fields}
    try:
        return file, NetworkOptions.model_validate(given)
    except ValidationError as exc:
        errors = [{**error, "loc": ("body", *error["loc"])} for error in exc.errors()]
        raise RequestValidationError(errors) from exc


def _copy(file: UploadFile, target: Path) -> None:
    with target.open("xb") as sink:
        shutil.copyfileobj(file.file, sink, 1 << 20)


def _import(
    services: Services, options: NetworkOptions, received: NetworkFiles
) -> tuple[NetworkOut, bool]:
    settings, name = services.settings, options.name
    assert name is not None
    read = read_network(
        received.roads,
        layer=options.layer,
        fields=options.field_map(),
        default_width_m=options.default_width_m or settings.road_width_m,
        name=options.filename,
    )
    pavement = None
    if received.pavement is not None:
        pavement = read_pavement(received.pavement, layer=options.pavement_layer)
    length_m = cutting_length(
        options.segments_by, options.segment_length_m or settings.segment_length_m
    )
    known, replaced, previous = _stored(services, name, options.replaces)
    segments = segment_network(
        read, by=options.segments_by, length_m=length_m, pavement=pavement, previous=previous
    )
    notes = [*read.report, *([] if pavement is None else pavement.report)]
    if previous is not None:
        notes += lineage_notes(
            previous,
            lineage=segments["lineage"].to_numpy(object),
            segment_key=segments["segment_key"].to_numpy(object),
        )
    with database(services.engine) as connection:
        row = store.add_network(
            connection,
            name=name,
            digest=read.digest if pavement is None else f"{read.digest}+{pavement.digest}",
            source_crs=read.source_crs,
            segment_length_m=length_m,
            segments_by=options.segments_by,
            replaces=None if replaced is None else replaced.id,
            roads=read.roads,
            segments=segments,
            report=notes,
        )
        report = store.network_report(connection, row.id)
    created = known is None or known.id != row.id
    return NetworkOut.of(row, report=ImportReport.of(report)), created


def _stored(
    services: Services, name: str, replaces: str | None
) -> tuple[store.NetworkRow | None, store.NetworkRow | None, Previous | None]:
    """Return the network of a name, if there is one, and the one to be replaced with its segments."""
    with database(services.engine) as connection:
        try:
            known: store.NetworkRow | None = store.get_network(connection, name)
        except NotFound:
            known = None
        if replaces is None:
            return known, None, None
        replaced = store.get_network(connection, replaces)
        if replaced.name == name:
            raise BadInput(
                f"'{name}' can't replace itself, surveys rest on it; give the new network another name"
            )
        return known, replaced, store.previous_network(connection, replaced.id)
