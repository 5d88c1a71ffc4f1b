"""Model versions in the store: which weights may look at surveys, and which looked at which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from pavemap.geo.errors import Conflict, NotFound
from pavemap.geo.store.engine import lock_name
from pavemap.geo.store.tables import ModelVersion

DIGITS_IN_ID = 8


@dataclass(frozen=True, kw_only=True)
class ModelRow:
    """A registered model version; `card` is its model card, `uri` where its weights lie."""

    id: str
    name: str
    digest: str
    card: Mapping[str, Any]
    uri: str
    created_at: datetime


def lock_model(connection: Connection, *, name: str, digest: str) -> ModelRow | None:
    """Return the version of these weights, None where there is none, and keep it so for others.

    Who would register it, or give it another card, waits until the end of this. Raises Conflict when
    other weights share its id.
    """
    model_id = _model_id(name, digest)
    lock_name(connection, f"pavemap model {model_id}")
    known = find_model(connection, model_id)
    if known is not None and known.digest != digest:
        raise Conflict(f"other weights are registered as '{model_id}'; give these another name")
    return known


def add_model(
    connection: Connection, *, name: str, digest: str, card: Mapping[str, Any], uri: str
) -> ModelRow:
    """Register weights (SHA-256 `digest`) and their card under '<name>-<digest8>'; twice is once.

    Raises Conflict when other weights share that id.
    """
    known = lock_model(connection, name=name, digest=digest)
    if known is not None:
        return known
    model_id = _model_id(name, digest)
    connection.execute(
        insert(ModelVersion).values(id=model_id, name=name, digest=digest, card=dict(card), uri=uri)
    )
    return get_model(connection, model_id)


def find_model(connection: Connection, model_id: str) -> ModelRow | None:
    """Return a model version, None where there is none."""
    row = connection.execute(
        select(*ModelVersion.__table__.columns).where(ModelVersion.id == model_id)
    ).one_or_none()
    return None if row is None else _model_row(row)


def get_model(connection: Connection, model_id: str) -> ModelRow:
    """Return a model version. Raises NotFound."""
    known = find_model(connection, model_id)
    if known is None:
        raise NotFound(
            f"there is no model version '{model_id}'; list the models that are registered"
        )
    return known


def replace_card(
    connection: Connection, model_id: str, *, card: Mapping[str, Any], uri: str
) -> ModelRow:
    """Give a version a card that was made anew for the same weights, and say where those lie.

    Raises NotFound.
    """
    connection.execute(
        update(ModelVersion).where(ModelVersion.id == model_id).values(card=dict(card), uri=uri)
    )
    return get_model(connection, model_id)


def list_models(connection: Connection) -> list[ModelRow]:
    """Return all model versions, the latest first."""
    query = select(*ModelVersion.__table__.columns)
    ordered = query.order_by(ModelVersion.created_at.desc(), ModelVersion.id)
    return [_model_row(row) for row in connection.execute(ordered)]


def _model_id(name: str, digest: str) -> str:
    return f"{name}-{digest[:DIGITS_IN_ID]}"


def _model_row(row: Row[Any]) -> ModelRow:
    return ModelRow(**row._mapping)
