"""Which model version new surveys are made with: promoted, taken back, never forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from pavemap.geo.errors import Conflict
from pavemap.geo.store.engine import lock_name
from pavemap.geo.store.model_versions import ModelRow, get_model
from pavemap.geo.store.tables import ModelPromotion


@dataclass(frozen=True, kw_only=True)
class PromotionRow:
    """That `model_id` took the place of `former_id` (None: of the model that ships with pavemap).

    A rollback is one too: `takes_back` is the promotion that it undid.
    """

    id: int
    model_id: str
    former_id: str | None
    forced: bool
    comparison: Mapping[str, Any]
    takes_back: int | None
    promoted_at: datetime


def promoted_model(connection: Connection) -> ModelRow | None:
    """Return the model version that was promoted last, or None where none ever was."""
    latest = list_promotions(connection, limit=1)
    return get_model(connection, latest[0].model_id) if latest else None


def list_promotions(connection: Connection, *, limit: int = 100) -> list[PromotionRow]:
    """Return the promotions, the latest first."""
    query = select(*ModelPromotion.__table__.columns).order_by(ModelPromotion.id.desc())
    return [PromotionRow(**row._mapping) for row in connection.execute(query.limit(limit))]


def last_standing(connection: Connection) -> PromotionRow | None:
    """Return the latest promotion that no rollback has undone, None where there is none.

    One that made the model of the package, which was in use, stay so leaves nothing to go back to.
    """
    undone = select(ModelPromotion.takes_back).where(ModelPromotion.takes_back.is_not(None))
    query = (
        select(*ModelPromotion.__table__.columns)
        .where(
            ModelPromotion.takes_back.is_(None),
            ModelPromotion.id.not_in(undone),
            ModelPromotion.model_id.is_distinct_from(ModelPromotion.former_id),
        )
        .order_by(ModelPromotion.id.desc())
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else PromotionRow(**row._mapping)


def taken_back_by(connection: Connection, promotion_id: int) -> PromotionRow | None:
    """Return the rollback that undid a promotion, None where it stands."""
    columns = ModelPromotion.__table__.columns
    query = select(*columns).where(ModelPromotion.takes_back == promotion_id)
    row = connection.execute(query.order_by(ModelPromotion.id).limit(1)).one_or_none()
    return None if row is None else PromotionRow(**row._mapping)


def promote(
    connection: Connection,
    model_id: str,
    *,
    former_id: str | None,
    forced: bool,
    comparison: Mapping[str, Any],
    takes_back: int | None = None,
) -> PromotionRow:
    """Make a model version the one for new surveys; the same one again changes nothing.

    `former_id` is the version that `comparison` was made with, `takes_back` the promotion that this one
    undoes. Raises NotFound for an unknown model, and
    Conflict when another has taken the former's place meanwhile.
    """
    lock_name(connection, "pavemap model promotion")
    get_model(connection, model_id)
    latest = list_promotions(connection, limit=1)
    if latest and latest[0].model_id == model_id:
        return latest[0]
    if latest and latest[0].model_id != former_id:
        raise Conflict(
            f"'{latest[0].model_id}' was promoted meanwhile; look at it and decide again"
        )
    row = connection.execute(
        insert(ModelPromotion)
        .values(
            model_id=model_id,
            former_id=former_id,
            forced=forced,
            comparison=dict(comparison),
            takes_back=takes_back,
        )
        .returning(*ModelPromotion.__table__.columns)
    ).one()
    return PromotionRow(**row._mapping)
