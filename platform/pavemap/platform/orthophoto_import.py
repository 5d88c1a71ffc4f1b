"""Takes an orthophoto into a survey: checked, brought into storage, registered; and out of it again."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Self

from sqlalchemy import Engine

from pavemap.geo.errors import NotFound, PavemapError, Unavailable
from pavemap.geo.imagery.orthophoto import Orthophoto
from pavemap.geo.storage import Storage, orthophoto_key
from pavemap.geo.store import model_versions, networks, overlap, surveys
from pavemap.geo.store import orthophotos as store
from pavemap.geo.store.engine import database, wait_for_locks
from pavemap.geo.store.networks import NetworkRow
from pavemap.geo.store.orthophotos import OrthophotoRow
from pavemap.geo.store.surveys import SurveyRow
from pavemap.platform import stored_imagery
from pavemap.platform.errors import NoOverlap
from pavemap.platform.models import card_of
from pavemap.platform.raster_readers import Readers
from pavemap.platform.uploads import Received

log = logging.getLogger(__name__)

REGISTER_WAIT_S = 300.0
"""For a survey that is being planned: a refused upload would have to be sent again, whole."""


@dataclass(frozen=True)
class UploadTarget:
    """What an upload is for: a survey with its network, and the pixel its model was made for."""

    survey: SurveyRow
    network: NetworkRow
    model_gsd_m: float

    @classmethod
    def of(cls, engine: Engine, survey_id: uuid.UUID) -> Self:
        """Look a survey up. Raises NotFound."""
        with database(engine) as connection:
            survey = surveys.get_survey(connection, survey_id)
            network = networks.get_network(connection, survey.network_id)
            model = model_versions.get_model(connection, survey.model_id)
        return cls(survey, network, card_of(model).gsd_m)


def register_orthophoto(
    engine: Engine,
    storage: Storage,
    readers: Readers,
    *,
    target: UploadTarget,
    label: str,
    file: Received,
) -> tuple[OrthophotoRow, bool]:
    """Check a received file, bring it into storage and register it; return it and whether it is new.

    The row is the last step: until then nothing is visible. Raises BadInput for a file that can't be used,
    NoOverlap, NotFound for a survey deleted meanwhile, StorageFull and Unavailable.
    """
    survey_id = target.survey.id
    key = orthophoto_key(survey_id, file.sha256)
    photo = _known(engine, storage, survey_id, file.sha256)
    if photo is None:
        photo = readers.inspect(file.path, name=label)
        photo.check_pixels(target.survey.ground_gsd_m(target.network.bounds))
        _require_overlap(engine, target.network, photo)
        cog = file.path.with_name("cog.tif")
        photo = readers.to_cog(file.path, cog, name=label)
        stored_imagery.require_storage(engine, storage)  # once more: imagery takes its time
        storage.put_file(key, cog)
    with _kept_only_with_survey(storage, key), database(engine) as connection:
        wait_for_locks(connection, REGISTER_WAIT_S)
        surveys.lock_survey(connection, survey_id)  # no other upload comes between
        former = store.find_key(connection, survey_id, name=label)
        # Asked under the lock, as imagery is removed under it: before, it could still go.
        size = storage.size(key)
        if size is None:
            raise Unavailable("this very file was just being removed; send it again")
        registered = store.add_orthophoto(
            connection,
            survey_id=survey_id,
            name=label,
            sha256=file.sha256,
            bytes=file.size,
            key=key,
            info=replace(photo, stored_bytes=size),
            warnings=photo.warnings(target.model_gsd_m),
        )
    if former not in (None, key):
        _free(engine, storage, survey_id, key=former)
    return registered


def remove_orthophoto(
    engine: Engine, storage: Storage, survey_id: uuid.UUID, *, label: str
) -> None:
    """Take what stands under a name out of a survey, and its bytes unless another name needs them.

    Raises NotFound, Conflict for the last file of a survey that has run, and Unavailable.
    """
    stored_imagery.require_storage(engine, storage)
    with database(engine) as connection:
        key = store.remove_orthophoto(connection, survey_id, name=label)
    _free(engine, storage, survey_id, key=key)


@contextmanager
def _kept_only_with_survey(storage: Storage, key: str) -> Iterator[None]:
    """Take what was stored away again when its survey was deleted meanwhile."""
    try:
        yield
    except NotFound:
        storage.delete(key)
        raise


def _free(engine: Engine, storage: Storage, survey_id: uuid.UUID, *, key: str) -> None:
    """Remove bytes that no name stands for any more; when that fails, the next replacement sees to it."""
    try:
        stored_imagery.remove_unused(engine, storage, survey_id, keys=frozenset({key}))
    except PavemapError as exc:
        log.warning("replaced imagery of survey %s is still in storage: %s", survey_id, exc)


def _known(
    engine: Engine, storage: Storage, survey_id: uuid.UUID, sha256: str
) -> Orthophoto | None:
    """Return what is known of content that a survey has, and that is still whole in storage.

    Of a file that was stored before its size was noted nobody can tell, so it is stored anew.
    """
    with database(engine) as connection:
        row = store.find_orthophoto(connection, survey_id, sha256=sha256)
    if row is None or row.info.stored_bytes is None:
        return None
    return row.info if storage.size(row.key) == row.info.stored_bytes else None


def _require_overlap(engine: Engine, network: NetworkRow, photo: Orthophoto) -> None:
    with database(engine) as connection:
        distance_m = overlap.distance_to_pavement_m(connection, network.id, photo.footprint)
    if distance_m > 0.0:
        far = f"{distance_m / 1000:,.1f} km" if distance_m >= 1000.0 else f"{distance_m:.1f} m"
        raise NoOverlap(
            f"{photo.name} lies {far} off the nearest road of network '{network.name}': it spans "
            f"{_degrees(photo.footprint.bounds)}, the network {_degrees(network.bounds)} (west, south, "
            "east, north); check the CRS of both, or name the network that it shows"
        )


def _degrees(bounds: tuple[float, float, float, float]) -> str:
    return ", ".join(f"{edge:.5f}" for edge in bounds)
