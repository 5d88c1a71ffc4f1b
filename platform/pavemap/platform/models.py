"""Model versions on the platform: which is in use, and how another takes its place and gives it back."""

from __future__ import annotations

from sqlalchemy import Connection

from pavemap.geo.errors import Conflict
from pavemap.geo.store import model_versions
from pavemap.geo.store.model_versions import ModelRow
from pavemap.geo.store.promotions import PromotionRow, list_promotions, promote, promoted_model
from pavemap.training.card import ModelCard, read_card
from pavemap.training.comparison import compare
from pavemap.training.registry import default_model, shipped


def model_in_use(connection: Connection) -> ModelRow:
    """Return the version that new surveys are made with: the last promoted, else the shipped default."""
    promoted = promoted_model(connection)
    return promoted or _register_shipped(connection, default_model().name)


def find_model(connection: Connection, wanted: str | None) -> ModelRow:
    """Return a model version by id, a shipped one by name too; None is the one in use.

    Raises NotFound.
    """
    if wanted is None:
        return model_in_use(connection)
    for folder in shipped():
        if wanted in (folder.name, read_card(folder).model_id):
            return _register_shipped(connection, folder.name)
    return model_versions.get_model(connection, wanted)


def list_known(connection: Connection) -> list[ModelRow]:
    """Return all model versions, those that ship included, the latest first."""
    for folder in shipped():
        _register_shipped(connection, folder.name)
    return model_versions.list_models(connection)


def promote_model(connection: Connection, model_id: str, *, force: bool = False) -> PromotionRow:
    """Make a version the one for new surveys.

    Raises NotFound, and Conflict when it scores worse than the one in use on their common test sets, or
    has none in common with it, unless forced.
    """
    candidate, in_use = find_model(connection, model_id), model_in_use(connection)
    found = compare(_card(candidate), _card(in_use))
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


def take_back(connection: Connection) -> PromotionRow:
    """Give the last promotion's place back to the version before it. Raises Conflict without one."""
    latest = list_promotions(connection, limit=1)
    if not latest or latest[0].former_id is None:
        raise Conflict("nothing was promoted; the model that ships with pavemap is in use")
    former = model_versions.get_model(connection, latest[0].former_id)
    present = model_versions.get_model(connection, latest[0].model_id)
    return promote(
        connection,
        former.id,
        former_id=present.id,
        forced=True,
        comparison=compare(_card(former), _card(present)).to_dict(),
    )


def _register_shipped(connection: Connection, name: str) -> ModelRow:
    """Register a shipped model; where an older package left its card, this package's takes its place.

    Its weights are read from the package, whichever version that is; surveys keep the parameters that
    they were created with.
    """
    folder = next(folder for folder in shipped() if folder.name == name)
    card = read_card(folder).model_dump(mode="json")
    row = model_versions.add_model(
        connection,
        name=card["name"],
        digest=card["digest"],
        card=card,
        uri=f"shipped:{name}",
    )
    if row.card == card:
        return row
    return model_versions.replace_card(connection, row.id, card=card)


def _card(row: ModelRow) -> ModelCard:
    return ModelCard.model_validate(row.card)
