"""A survey's imagery over HTTP: what is uploaded is checked and laid down before it is registered."""

from __future__ import annotations

import base64
import binascii
import logging
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as PathParameter
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool

from pavemap.geo.errors import NotFound, PavemapError, Unavailable
from pavemap.geo.imagery.orthophoto import Orthophoto
from pavemap.geo.storage import orthophoto_key
from pavemap.geo.store import model_versions, networks, overlap, surveys
from pavemap.geo.store import orthophotos as store
from pavemap.geo.store.engine import database, reading, wait_for_locks
from pavemap.geo.store.networks import NetworkRow
from pavemap.geo.store.surveys import SurveyRow
from pavemap.platform import imagery
from pavemap.platform.api.bodies import announced_length, cut_off_told, refuse_encoded
from pavemap.platform.api.headers import LOCATION, location
from pavemap.platform.api.labels import LABEL
from pavemap.platform.api.parameters import After, Limit, SurveyId, survey_id_of
from pavemap.platform.api.pixels import ground_gsd_m
from pavemap.platform.api.problems import answers
from pavemap.platform.api.schemas.common import MAX_NAME, printable
from pavemap.platform.api.schemas.surveys import OrthophotoOut, OrthophotoPage
from pavemap.platform.api.services import Services, ServicesOf
from pavemap.platform.errors import (
    BadName,
    BadRequest,
    NoOverlap,
    UnsupportedMedia,
    UploadDamaged,
)
from pavemap.platform.uploads import Received, check_length, receive, scratch

log = logging.getLogger(__name__)

REGISTER_WAIT_S = 300.0
"""For a survey that is being planned: a refused upload would have to be sent again, whole."""

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


@dataclass(frozen=True)
class Target:
    """What an upload is for: a survey with its network, and the pixel its model was made for."""

    survey: SurveyRow
    network: NetworkRow
    model_gsd_m: float


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
    f"/{{survey_id}}/orthophotos/{{name:{LABEL}}}",
    responses=answers(404),
    summary="An orthophoto of a survey",
)
def get_orthophoto(survey_id: SurveyId, name: Name, services: ServicesOf) -> OrthophotoOut:
    """Describe the file that stands under a name."""
    with reading(services.engine) as connection:
        row = store.get_orthophoto(connection, survey_id_of(survey_id), name=checked_name(name))
    return OrthophotoOut.of(row)


@router.put(
    f"/{{survey_id}}/orthophotos/{{name:{LABEL}}}",
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
    target = await run_in_threadpool(_target, services, survey_id_of(survey_id))
    settings, expected = services.settings, announced_length(request)
    async with contextmanager_in_threadpool(scratch(services.incoming)) as folder:
        check_length(expected, limit=settings.max_upload_bytes, folder=folder)
        with cut_off_told():
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
        row, created = await services.importing(lambda: _register(services, target, label, file))
    log.info("%s %d bytes as %s", "stored" if created else "had", file.size, row.key)
    response.status_code = 201 if created else 200
    if created:
        where = location(request, "get_orthophoto", survey_id=survey_id, name=label)
        response.headers["Location"] = where
    return OrthophotoOut.of(row)


@router.delete(
    f"/{{survey_id}}/orthophotos/{{name:{LABEL}}}",
    status_code=204,
    responses=answers(404, 409),
    summary="Remove an orthophoto",
)
def delete_orthophoto(survey_id: SurveyId, name: Name, services: ServicesOf) -> None:
    """Take a file out of a survey, and its bytes out of storage unless another name stands for them.

    What was found in it stays until the survey is run again. The last file of a survey that has run
    stays.
    """
    survey = survey_id_of(survey_id)
    with database(services.engine) as connection:
        key = store.remove_orthophoto(connection, survey, name=checked_name(name))
    _remove_replaced(services, survey, key)


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


def _target(services: Services, survey_id: uuid.UUID) -> Target:
    with database(services.engine) as connection:
        survey = surveys.get_survey(connection, survey_id)
        network = networks.get_network(connection, survey.network_id)
        card = model_versions.get_model(connection, survey.model_id).card
    return Target(survey, network, float(card["gsd_m"]))


def _register(
    services: Services, target: Target, label: str, file: Received
) -> tuple[store.OrthophotoRow, bool]:
    """Check a received file, bring it into storage and register it; the row is the last step."""
    survey_id = target.survey.id
    key = orthophoto_key(survey_id, file.sha256)
    photo = _known(services, target, file.sha256)
    if photo is None:
        photo = services.readers.inspect(file.path, name=label)
        photo.check_pixels(ground_gsd_m(target.survey, target.network))
        _require_overlap(services, target, photo)
        cog = file.path.with_name("cog.tif")
        photo = services.readers.to_cog(file.path, cog, name=label)
        services.storage.put_file(key, cog)
    with _kept_only_with(services, key), database(services.engine) as connection:
        wait_for_locks(connection, REGISTER_WAIT_S)
        surveys.lock_survey(connection, survey_id)  # no other upload comes between
        former = store.find_key(connection, survey_id, name=label)
        # Asked under the lock, as imagery is removed under it: before, it could still go.
        if not services.storage.exists(key):
            raise Unavailable("this very file was just being removed; send it again")
        registered = store.add_orthophoto(
            connection,
            survey_id=survey_id,
            name=label,
            sha256=file.sha256,
            bytes=file.size,
            key=key,
            info=photo,
            warnings=photo.warnings(target.model_gsd_m),
        )
    if former not in (None, key):
        _remove_replaced(services, survey_id, former)
    return registered


@contextmanager
def _kept_only_with(services: Services, key: str) -> Iterator[None]:
    """Take what was stored away again when its survey was deleted meanwhile."""
    try:
        yield
    except NotFound:
        services.storage.delete(key)
        raise


def _remove_replaced(services: Services, survey_id: uuid.UUID, key: str) -> None:
    """Free what the new file replaced; when that fails, the next replacement sees to it."""
    try:
        imagery.remove_replaced(services.engine, services.storage, survey_id, keys=frozenset({key}))
    except PavemapError as exc:
        log.warning("replaced imagery of survey %s is still in storage: %s", survey_id, exc)


def _known(services: Services, target: Target, sha256: str) -> Orthophoto | None:
    """Return what is known of content that this survey has, and that is still in storage."""
    with database(services.engine) as connection:
        row = store.find_orthophoto(connection, target.survey.id, sha256=sha256)
    return row.info if row is not None and services.storage.exists(row.key) else None


def _require_overlap(services: Services, target: Target, photo: Orthophoto) -> None:
    with database(services.engine) as connection:
        distance_m = overlap.distance_to_pavement_m(connection, target.network.id, photo.footprint)
    if distance_m > 0.0:
        far = f"{distance_m / 1000:,.1f} km" if distance_m >= 1000.0 else f"{distance_m:.1f} m"
        raise NoOverlap(
            f"{photo.name} lies {far} off the nearest road of network '{target.network.name}': it "
            f"spans {_degrees(photo.footprint.bounds)}, the network {_degrees(target.network.bounds)} "
            "(west, south, east, north); check the CRS of both, or name the network that it shows"
        )


def _degrees(bounds: tuple[float, float, float, float]) -> str:
    return ", ".join(f"{edge:.5f}" for edge in bounds)
