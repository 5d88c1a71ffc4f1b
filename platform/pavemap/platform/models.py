"""Model versions on the platform: which is in use, and how another takes its place and gives it back.

Those that ship are registered when they are looked for; surveys keep the parameters that they were
created with when a newer package brings other cards.
"""

from __future__ import annotations

from sqlalchemy import Connection

from pavemap.geo.errors import Conflict, NotFound
from pavemap.geo.store import model_versions
from pavemap.geo.store.model_versions import ModelRow
from pavemap.geo.store.promotions import (
    PromotionRow,
    last_standing,
    promote,
    promoted_model,
    taken_back_by,
)
from pavemap.training.models.card import ModelCard, read_card
from pavemap.training.models.comparison import compare
from pavemap.training.models.model_store import ModelStore, register_shipped
from pavemap.training.models.shipped_models import default_model_folder, shipped_model_folders

NONE_LEFT = "no promotion is left to take back; the first model is in use"


def model_in_use(connection: Connection, store: ModelStore) -> ModelRow:
    """Return the version that new surveys are made with: the last promoted, else the shipped default."""
    promoted = promoted_model(connection)
    return promoted or register_shipped(connection, default_model_folder(), store=store)


def get_model_version(connection: Connection, wanted: str | None, store: ModelStore) -> ModelRow:
    """Return a model version by id, a shipped one by name too; None is the one in use.

    Raises NotFound.
    """
    if wanted is None:
        return model_in_use(connection, store)
    for folder in shipped_model_folders():
        if wanted in (folder.name, read_card(folder).model_id):
            return register_shipped(connection, folder, store=store)
    return model_versions.get_model(connection, wanted)


def list_known(connection: Connection, store: ModelStore) -> list[ModelRow]:
    """Return all model versions, those that ship included, the latest first."""
    for folder in shipped_model_folders():
        register_shipped(connection, folder, store=store)
    return model_versions.list_models(connection)


def promote_model(
    connection: Connection, model_id: str, store: ModelStore, *, force: bool = False
) -> PromotionRow:
    """Make a version the one for new surveys.

    Raises NotFound, and Conflict when it scores worse than the one in use on their common test sets, or
    has none in common with it, unless forced.
    """
    candidate, in_use = (
        get_model_version(connection, model_id, store),
        model_in_use(connection, store),
    )
    found = compare(card_of(candidate), card_of(in_use))
    refusal = found.refusal()
    if refusal and not force:
        raise Conflict(refusal)
    return promote(
        connection,
        candidate.id,
        former_id=in_use.id,
        forced=bool(refusal),
        comparison=found.to_dict(),
    )


def latest_promotion(connection: Connection) -> PromotionRow:
    """Return the promotion that would be taken back. Raises NotFound where none is left."""
    standing = last_standing(connection)
    if standing is None or standing.former_id is None:
        raise NotFound(NONE_LEFT)
    return standing


def take_back(connection: Connection, *, of: int | None = None) -> PromotionRow:
    """Give the place of the last promotion that still stands back to the version before it.

    Again, it goes further back; but `of` a promotion, once is all. Raises Conflict where no promotion is
    left, or the last one is another.
    """
    done = None if of is None else taken_back_by(connection, of)
    if done is not None:
        return done
    standing = last_standing(connection)
    if standing is None or standing.former_id is None:
        raise Conflict(NONE_LEFT)
    if of not in (None, standing.id):
        raise Conflict(
            f"promotion {of} is not the last one; '{standing.model_id}' was promoted meanwhile (promotion "
            f"{standing.id}); look at it and decide again"
        )
    former = model_versions.get_model(connection, standing.former_id)
    present = model_versions.get_model(connection, standing.model_id)
    return promote(
        connection,
        former.id,
        former_id=present.id,
        forced=True,
        comparison=compare(card_of(former), card_of(present)).to_dict(),
        takes_back=standing.id,
    )


def card_of(row: ModelRow) -> ModelCard:
    """Return what is known of a stored version besides its weights."""
    return ModelCard.model_validate(row.card)
