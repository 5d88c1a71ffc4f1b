"""How much work there is in the whole database, for monitors, at the price of a few index scans."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text


@dataclass(frozen=True, kw_only=True)
class Gauges:
    """Counts over all surveys."""

    surveys: dict[str, int]
    """Surveys by state."""
    cells: dict[str, int]
    """Cells that are not done, by state: waiting, leased, failed."""
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
_CELLS = text("""
    SELECT (SELECT count(*) FROM cell WHERE state IN ('waiting', 'leased')) AS open,
           (SELECT count(*) FROM cell WHERE state = 'leased') AS leased,
           (SELECT count(*) FROM cell WHERE state = 'failed') AS failed
""")

# One look into ix_cell_open per survey at work.
_OLDEST = text("""
    SELECT extract(epoch FROM clock_timestamp() - min(started_at)) FROM survey s
    WHERE state = 'running' AND EXISTS (
        SELECT FROM cell c WHERE c.survey_id = s.id AND c.state = 'waiting')
""")
