"""The model version for new surveys: the last one promoted, and how it came to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from pavemap.geo.errors import Conflict, NotFound
from pavemap.geo.store.engine import database
from pavemap.geo.store.model_versions import add_model
from pavemap.geo.store.promotions import list_promotions, promote, promoted_model


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A transaction on a database of the test's own."""
    with database(engine) as connection:
        yield connection


def add(connection: Connection, name: str) -> str:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return add_model(connection, name=name, digest=digest, card={"f1": 0.9}, uri="shipped").id


def test_the_last_promoted_holds_and_can_be_taken_back(connection: Connection) -> None:
    assert promoted_model(connection) is None
    first, second = add(connection, "first"), add(connection, "second")
    promote(connection, first, former_id=None, forced=False, comparison={"gain": 0.01})
    promote(connection, second, former_id=first, forced=True, comparison={"gain": -0.01})
    held = promoted_model(connection)
    assert held is not None
    assert held.id == second
    promote(connection, first, former_id=second, forced=False, comparison={})
    history = [(row.model_id, row.former_id, row.forced) for row in list_promotions(connection)]
    assert history == [(first, second, False), (second, first, True), (first, None, False)]


def test_promoting_twice_is_promoting_once(connection: Connection) -> None:
    first = add(connection, "first")
    once = promote(connection, first, former_id=None, forced=False, comparison={})
    again = promote(connection, first, former_id=first, forced=True, comparison={"other": 1})
    assert again == once


def test_a_decision_on_old_knowledge_is_refused(connection: Connection) -> None:
    first, second, third = (add(connection, name) for name in ("first", "second", "third"))
    promote(connection, first, former_id=None, forced=False, comparison={})
    promote(connection, second, former_id=first, forced=False, comparison={})
    with pytest.raises(Conflict, match="second-"):
        promote(connection, third, former_id=first, forced=False, comparison={})
    held = promoted_model(connection)
    assert held is not None
    assert held.id == second


def test_an_unknown_version_is_refused(connection: Connection) -> None:
    with pytest.raises(NotFound, match="no model version 'nobody'"):
        promote(connection, "nobody", former_id=None, forced=False, comparison={})
