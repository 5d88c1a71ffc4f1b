"""A survey's imagery over HTTP: what is uploaded is checked and laid down before it is registered."""

from __future__ import annotations

import base64
import binascii
import logging
import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool

from pavemap.geo.scratch import scratch
from pavemap.geo.store import orthophotos as store
from pavemap.geo.store.engine import reading
from pavemap.platform.api.bodies import announced_length, refuse_encoded, translate_disconnect
from pavemap.platform.api.convertors import ANY_TEXT
from pavemap.platform.api.headers import LOCATION, location
from pavemap.platform.api.parameters import After, Limit, SurveyId, survey_id_of
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.common import MAX_NAME, printable
from pavemap.platform.api.schemas.orthophotos import OrthophotoOut, OrthophotoPage
from pavemap.platform.api.services import ServicesOf
from pavemap.platform.errors import BadName, BadRequest, UnsupportedMedia, UploadDamaged
from pavemap.platform.orthophoto_import import (
    UploadTarget,
    register_orthophoto,
    remove_orthophoto,
)
from pavemap.platform.stored_imagery import require_storage
from pavemap.platform.uploads import check_length, receive

log = logging.getLogger(__name__)

router = APIRouter(prefix="/surveys", tags=["surveys"])

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The GeoTIFF itself (GeoTIFF, COG, BigTIFF; gray or RGB, 8 or 16 bit).",
        "content": {
            "image/tiff": {"schema": {"type": "string", "format": "binary"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

Name = Annotated[
    str,
    PathParameter(
        description="a label of the file within the survey, no path", examples=["strip_03.tif"]
    ),
]
ContentSha256 = Annotated[
    str | None,
    Header(
        description="SHA-256 of the file in hex: what arrives otherwise is refused",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]
ReprDigest = Annotated[
    str | None,
    Header(
        description="the same as RFC 9530 has it",
        examples=["sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:"],
    ),
]


@router.get("/{survey_id}/orthophotos", responses=answers(404), summary="Orthophotos of a survey")
def list_orthophotos(
    request: Request,
    survey_id: SurveyId,
    services: ServicesOf,
    limit: Limit = 1000,
    after: After = None,
) -> OrthophotoPage:
    """List a survey's files by name, each once however many names stand for it."""
    with reading(services.engine) as connection:
        rows, following = store.orthophotos_page(
            connection, survey_id_of(survey_id), limit=limit, after=after
        )
    href = None if following is None else str(request.url.include_query_params(after=following))
    return OrthophotoPage(orthophotos=[OrthophotoOut.of(row) for row in rows], next=href)


@router.get(
    f"/{{survey_id}}/orthophotos/{{name:{ANY_TEXT}}}",
    responses=answers(404),
    summary="An orthophoto of a survey",
)
def get_orthophoto(survey_id: SurveyId, name: Name, services: ServicesOf) -> OrthophotoOut:
    """Describe the file that stands under a name."""
    with reading(services.engine) as connection:
        row = store.get_orthophoto(connection, survey_id_of(survey_id), name=checked_name(name))
    return OrthophotoOut.of(row)


@router.put(
    f"/{{survey_id}}/orthophotos/{{name:{ANY_TEXT}}}",
    status_code=201,
    response_model=OrthophotoOut,
    responses={
        200: {"model": OrthophotoOut, "description": "This very file was there already."},
        201: {"headers": LOCATION},
        **answers(400, 404, 408, 413, 415, 507),
    },
    openapi_extra=BODY,
    summary="Upload an orthophoto",
)
async def put_orthophoto(
    survey_id: SurveyId,
    name: Name,
    request: Request,
    response: Response,
    services: ServicesOf,
    content_sha256: ContentSha256 = None,
    repr_digest: ReprDigest = None,
) -> OrthophotoOut:
    """Add a GeoTIFF to a survey, or put another in the place of the one that has this name.

    What was last sent under each name is in the survey. The same file twice is one file, under
    several names too: `names` has all, `name` is the first of them. What can't be used is refused at
    once and nothing is kept; `warnings` say what the model won't see in these pixels.
    """
    label = checked_name(name)
    wanted = _wanted_digest(content_sha256, repr_digest)
    refuse_encoded(request)
    if request.headers.get("content-type", "").startswith("multipart/"):
        raise UnsupportedMedia("send the file as the body itself, not in a form")
    target = await run_in_threadpool(UploadTarget.of, services.engine, survey_id_of(survey_id))
    # Before the body comes: it may be large, and is gathered on the storage's disk.
    await run_in_threadpool(require_storage, services.engine, services.storage)
    settings, expected = services.settings, announced_length(request)
    async with contextmanager_in_threadpool(scratch(services.incoming)) as folder:
        check_length(expected, limit=settings.max_upload_bytes, folder=folder)
        with translate_disconnect():
            file = await receive(
                request.stream(),
                folder / "upload.tif",
                limit=settings.max_upload_bytes,
                idle_s=settings.upload_idle_s,
                expected=expected,
            )
        if wanted not in (None, file.sha256):
            raise UploadDamaged(
                f"the file arrived with SHA-256 {file.sha256}, not the {wanted} that was announced; "
                "send it again"
            )
        row, created = await services.importing(
            lambda: register_orthophoto(
                services.engine,
                services.storage,
                services.readers,
                target=target,
                label=label,
                file=file,
            )
        )
    log.info("%s %d bytes as %s", "stored" if created else "had", file.size, row.key)
    response.status_code = 201 if created else 200
    if created:
        where = location(request, "get_orthophoto", survey_id=survey_id, name=label)
        response.headers["Location"] = where
    return OrthophotoOut.of(row)


@router.delete(
    f"/{{survey_id}}/orthophotos/{{name:{ANY_TEXT}}}",
    status_code=204,
    responses=answers(404, 409),
    summary="Remove an orthophoto",
)
def delete_orthophoto(survey_id: SurveyId, name: Name, services: ServicesOf) -> None:
    """Take a file out of a survey, and its bytes out of storage unless another name stands for them.

    What was found in it stays until the survey is run again. The last file of a survey that has run
    stays.
    """
    remove_orthophoto(
        services.engine, services.storage, survey_id_of(survey_id), label=checked_name(name)
    )


def checked_name(name: str) -> str:
    """Return a label of a file. Raises BadName for what looks like a path or can't be shown."""
    try:
        label = printable(name).strip()
    except ValueError as exc:
        raise BadName(f"the name of an orthophoto can't be used: {exc}") from exc
    if not label or len(label) > MAX_NAME:
        raise BadName(f"an orthophoto needs a name of 1 to {MAX_NAME} characters")
    if re.search(r"[/\\]|\.\.|^\.$", label):
        raise BadName("the name of an orthophoto is a label, no path; leave out '/', '\\' and '..'")
    return label


def _wanted_digest(content_sha256: str | None, repr_digest: str | None) -> str | None:
    """Return the SHA-256 (hex) that the client announces in either header. Raises BadRequest."""
    if content_sha256 is not None:
        if re.fullmatch(r"[0-9a-fA-F]{64}", content_sha256.strip()) is None:
            raise BadRequest("Content-SHA256 must be 64 hexadecimal digits")
        return content_sha256.strip().lower()
    found = re.search(r"(?:^|,)\s*sha-256=:([^:]*):", repr_digest or "")
    if found is None:
        return None  # other algorithms may be ignored (RFC 9530, section 3)
    try:
        digest = base64.b64decode(found[1], validate=True)
    except binascii.Error as exc:
        raise BadRequest("Repr-Digest's sha-256 is no base64 between colons (RFC 9530)") from exc
    return digest.hex()
