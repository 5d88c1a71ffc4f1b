"""How much work there is in the whole database, for monitors, at the price of a few index scans."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

MOST_COUNTED = 1_000_000
"""Cells that are counted at most: a monitor waits for seconds, and more of them say no more."""


@dataclass(frozen=True, kw_only=True)
class Gauges:
    """Counts over all surveys."""

    surveys: dict[str, int]
    """Surveys by state."""
    cells: dict[str, int]
    """Cells that are not done, by state: waiting, leased, failed; each no more than MOST_COUNTED."""
    oldest_waiting_s: float
    """Seconds since the start of the first survey that has a cell waiting; 0 when none waits."""


def read_gauges(connection: Connection) -> Gauges:
    """Count. Done cells, which are most, are not looked at."""
    surveys = {row.state: row.number for row in connection.execute(_SURVEYS)}
    open_, leased, failed = connection.execute(_CELLS).one()
    return Gauges(
        surveys=surveys,
        cells={"waiting": open_ - leased, "leased": leased, "failed": failed},
        oldest_waiting_s=float(connection.scalar(_OLDEST) or 0.0),
    )


_SURVEYS = text("SELECT state, count(*) AS number FROM survey GROUP BY state")

# Index-only scans of ix_cell_open, ix_cell_lease and ix_cell_failed, whose conditions these are.
_COUNT = f"SELECT count(*) FROM (SELECT FROM cell WHERE state {{0}} LIMIT {MOST_COUNTED}) AS open"
_CELLS = text(f"""
    SELECT ({_COUNT.format("IN ('waiting', 'leased')")}) AS open,
           ({_COUNT.format("= 'leased'")}) AS leased,
           ({_COUNT.format("= 'failed'")}) AS failed
""")

# One look into ix_cell_open per survey at work, from the last cell on: done ones, which come first, leave
# index entries behind. (Of EXISTS the order would be dropped.)
_OLDEST = text("""
    SELECT extract(epoch FROM clock_timestamp() - min(started_at)) FROM survey s
    WHERE state = 'running' AND (
        SELECT true FROM cell c
        WHERE c.survey_id = s.id AND c.state = 'waiting'
        ORDER BY c.col DESC, c."row" DESC LIMIT 1)
""")
