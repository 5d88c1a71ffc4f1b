"""Takes in what an import of a road network sends: the file itself, or a form with it and its options."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pavemap.geo.errors import BadInput
from pavemap.platform.api.bodies import announced_length, translate_disconnect
from pavemap.platform.api.schemas.networks import NetworkOptions
from pavemap.platform.api.services import Services
from pavemap.platform.errors import BadRequest, UploadCutOff
from pavemap.platform.network_import import NetworkFiles, NetworkImport
from pavemap.platform.settings import Settings
from pavemap.platform.uploads import check_length, guarded, receive, translate_disk_full

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


class FormParser(MultiPartParser):
    """Starlette's parser of forms, which by itself takes one that ends early for whole."""

    def __init__(self, headers: Headers, chunks: AsyncIterator[bytes]) -> None:
        """Take a request's headers and its body, of two files and a bounded number of fields."""
        self._ended = False
        super().__init__(
            headers,
            self._up_to_the_end(chunks),
            max_files=2,
            max_fields=MAX_FIELDS,
            max_part_size=MAX_FIELD_BYTES,
        )

    def on_end(self) -> None:
        """Note that the form's last boundary came."""
        self._ended = True

    async def _up_to_the_end(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """Pass on a body's chunks. Raises UploadCutOff after a last one that is not the form's."""
        async for chunk in chunks:
            yield chunk
        if not self._ended:
            raise UploadCutOff("the form ended before its last boundary; send it again")


async def receive_network(
    request: Request, options: NetworkOptions, folder: Path, services: Services
) -> tuple[NetworkFiles, NetworkImport]:
    """Return the files of a request, brought into a folder, and what is asked of them.

    Raises BadInput for what is missing, UploadCutOff for what did not come whole, UploadTooLarge,
    UploadStalled and StorageFull.
    """
    settings = services.settings
    limit, idle_s = settings.max_network_bytes, settings.upload_idle_s
    plain, pavement = folder / "upload", None
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        expected = announced_length(request)
        with translate_disconnect():
            await receive(request.stream(), plain, limit=limit, idle_s=idle_s, expected=expected)
    else:
        check_length(
            announced_length(request), limit=limit + MAX_FIELDS * MAX_FIELD_BYTES, folder=folder
        )
        async with _form(request, limit=limit, idle_s=idle_s) as form:
            file, options = _told(form, options)
            with translate_disk_full():
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
    return NetworkFiles(path, pavement), _wanted(options.name, options.filename, options, settings)


def _wanted(name: str, filename: str, options: NetworkOptions, settings: Settings) -> NetworkImport:
    return NetworkImport(
        name=name,
        filename=filename,
        layer=options.layer,
        fields=options.field_map(),
        default_width_m=options.default_width_m or settings.road_width_m,
        segments_by=options.segments_by,
        segment_length_m=options.segment_length_m or settings.segment_length_m,
        pavement_layer=options.pavement_layer,
        replaces=options.replaces,
    )


def _suffix(filename: str) -> str:
    return Path(filename).suffix.lower()[:16]


@asynccontextmanager
async def _form(request: Request, *, limit: int, idle_s: float) -> AsyncIterator[FormData]:
    """Parse a form in bounded memory: its files go to temporary ones, unnamed, as they come."""
    try:
        with translate_disconnect(), translate_disk_full():
            form = await FormParser(
                request.headers,
                guarded(request.stream(), limit=limit, idle_s=idle_s),
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
