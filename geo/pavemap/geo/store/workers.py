"""Which workers look for cells, and of which model versions: what a survey that waits in vain must say.

A worker is noted when it claims (it does so every few seconds) and while it keeps leases; one that stops
in good order is struck off, one that died is not believed after a while.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

PRESENT_S = 120.0
"""A worker not seen for so long is gone: idle ones look for work every few seconds."""

NOTE_EVERY_S = 10.0
"""Claims in between write nothing."""


MAX_DEATHS = 5
"""Attempts after which a cell or a measuring whose workers died without a word is failed: it may be what
kills them."""


@dataclass(frozen=True)
class Presence:
    """Workers at work or waiting for it: how many by model version, and those that take any."""

    by_model: dict[str, int]
    of_any_model: int

    def serves(self, model_id: str) -> bool:
        """Tell whether a survey of a model version has anyone to do it."""
        return self.of_any_model > 0 or model_id in self.by_model


def present_workers(connection: Connection) -> Presence:
    """Return the workers seen within PRESENT_S seconds."""
    rows = connection.execute(_PRESENT, {"within_s": PRESENT_S}).all()
    counts = {row.model_id: row.workers for row in rows}
    of_any = counts.pop(None, 0)
    return Presence(counts, of_any)


def note_seen(connection: Connection, worker: str, *, model_id: str | None) -> None:
    """Note that a worker looks for work of a model version (None: of any)."""
    made = connection.execute(
        _NOTE, {"worker": worker, "model_id": model_id, "every_s": NOTE_EVERY_S}
    ).scalar_one_or_none()
    if made:
        connection.execute(_FORGET_THE_DEAD)


def note_alive(connection: Connection, worker: str) -> None:
    """Note that a worker is still at what it claimed."""
    connection.execute(_ALIVE, {"worker": worker})


def strike_off(connection: Connection, worker: str) -> None:
    """Forget a worker that stops."""
    connection.execute(text("DELETE FROM worker WHERE name = :worker"), {"worker": worker})


_PRESENT = text("""
    SELECT model_id, count(*) AS workers FROM worker
    WHERE seen_at > clock_timestamp() - make_interval(secs => :within_s) GROUP BY model_id
""")

# xmax is 0 in a row that was inserted, not updated.
_NOTE = text("""
    INSERT INTO worker (name, model_id, seen_at) VALUES (:worker, :model_id, clock_timestamp())
    ON CONFLICT (name) DO UPDATE SET model_id = excluded.model_id, seen_at = excluded.seen_at
    WHERE worker.model_id IS DISTINCT FROM excluded.model_id
       OR worker.seen_at < clock_timestamp() - make_interval(secs => :every_s)
    RETURNING xmax = 0
""")

_ALIVE = text("UPDATE worker SET seen_at = clock_timestamp() WHERE name = :worker")

_FORGET_THE_DEAD = text("""
    DELETE FROM worker WHERE name IN (
        SELECT name FROM worker WHERE seen_at < clock_timestamp() - interval '1 day'
        FOR UPDATE SKIP LOCKED)
""")
