"""Segments in a box by density, in SQL: from whichever of two indexes has less to read.

The worst hundred in a box are found in two ways. A box with few segments is read from
`ix_condition_place`, and what was found is sorted. A box with many is found by walking
`ix_condition_density` from the top: one in so many rows lies in the box. Either reads its index alone.
Among a million segments a walk to the hundredth passes 100 million / n rows for a box with n, so the
dearest box has some ten thousand: hence MANY.

How many there are is estimated from PostGIS's statistics of segments (right to a sixth in nine of ten
boxes). A wrong estimate costs time and nothing else: a box is read up to a bound, twice MANY or, where
many are expected, FEW, and walked for only when it turns out to hold more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pavemap.geo.store.bulk import geometry_value
from pavemap.geo.store.places import Bbox, box_area

MANY = 8_000
"""Segments in a box above which the density's index is walked."""

FEW = 1_000
"""Read in any case: a walk to find no more than these would be the longest."""

MEETS = """CROSS JOIN LATERAL (
    SELECT FROM segment s
    WHERE s.id = c.segment_id AND ST_Intersects(s.geom, CAST(:area AS geometry)) OFFSET 0) AS met"""
"""Keeps rows of `c` whose centre-line meets the area. OFFSET keeps the planner from turning it round."""


@dataclass(frozen=True)
class BoxFilter:
    """A box in degrees as SQL on `condition c`, and the parameters of it and of MEETS."""

    sql: str
    parameters: dict[str, Any]

    @classmethod
    def of(cls, bbox: Bbox) -> BoxFilter:
        """Take a box that may cross the 180th meridian. Raises BadInput for what is none."""
        area = box_area(bbox)
        parts = [part.bounds for part in getattr(area, "geoms", [area])]
        tests = [f"c.place && CAST(:place_{number} AS box)" for number in range(len(parts))]
        places = {
            f"place_{number}": f"({east},{north}),({west},{south})"
            for number, (west, south, east, north) in enumerate(parts)
        }
        return cls(f"({' OR '.join(tests)})", {"area": geometry_value(area), **places})


@dataclass(frozen=True)
class Order:
    """An order by a figure, and which of its rows are wanted."""

    direction: str
    """DESC or ASC."""
    wanted: Sequence[str] = ()
    """Conditions on c.segment_id and on '{key}', which stands for the figure's column."""

    def rows(self, key: str) -> str:
        """Return the conditions on the figure's column."""
        return " AND ".join(self.wanted or ["true"]).format(key=key)

    def by(self, key: str) -> str:
        """Return the ORDER BY of the figure's column."""
        return f"ORDER BY {key} {self.direction}, c.segment_id {self.direction}"


SEEN, UNSEEN = "{key} IS NOT NULL", "{key} IS NULL"
"""The rows that have the figure, and those that come after them."""


def ranked(order: Order, source: str, *, key: str) -> str:
    """Return the CTE `page(segment_id, sort_key)` of :limit rows of `FROM ... WHERE ...`."""
    return f"""page AS MATERIALIZED (
        SELECT c.segment_id, {key} AS sort_key FROM {source} AND {order.rows(key)}
        {order.by(key)} LIMIT :limit)"""


def ranked_in_box(
    orders: Sequence[Order], box: BoxFilter, *, exact: bool = True, many: int | None = None
) -> str:
    """Return CTEs, the last `page(segment_id, sort_key)`, of :limit rows of :survey_id by density.

    The rows of the first order; those of the next only fill up the page. exact: centre-lines meet the
    box; else their bounds do, which takes no look at the lines. many: MANY for another limit.
    """
    many = MANY if many is None else many
    parts = ""
    for number, order in enumerate(orders):
        room = [f"(SELECT count(*) FROM part_{number - 1}) < :limit"] if number else []
        wanted = Order(order.direction, [*order.wanted, *room])
        found = _either(wanted, box, MEETS if exact else "")
        parts += f"part_{number} AS MATERIALIZED ({found}),"
    rows = " UNION ALL ".join(f"SELECT * FROM part_{number}" for number in range(len(orders)))
    return f"""
        bound AS MATERIALIZED (
            SELECT CASE WHEN network.segment_count
                * share_of_segments(CAST(:area AS geometry)) > {many}
                THEN {min(FEW, many)} ELSE {2 * many} END AS rows
            FROM survey JOIN network ON network.id = survey.network_id WHERE survey.id = :survey_id),
        near AS MATERIALIZED (
            SELECT c.segment_id, c.density_m_per_m2 AS sort_key FROM condition c
            WHERE c.survey_id = :survey_id AND {box.sql} LIMIT (SELECT rows + 1 FROM bound)),
        few AS MATERIALIZED (SELECT (SELECT count(*) FROM near) <= rows AS so FROM bound),
        {parts}
        page AS ({rows} LIMIT :limit)"""


def _either(order: Order, box: BoxFilter, meets: str) -> str:
    """Return rows from `near` when that is all there is, or else from a walk.

    Each half has a condition on `few` alone, so the server runs one of them. IS TRUE hides the box from
    its planner, which would else read and sort all that lies there.
    """
    near, density = "c.sort_key", "c.density_m_per_m2"
    return f"""
        (SELECT c.segment_id, c.sort_key
         FROM (SELECT * FROM near c
               WHERE (SELECT so FROM few) AND {order.rows(near)} {order.by(near)} OFFSET 0) c
         {meets} {order.by(near)} LIMIT :limit)
        UNION ALL
        (SELECT c.segment_id, {density} FROM condition c {meets}
         WHERE NOT (SELECT so FROM few) AND c.survey_id = :survey_id AND {box.sql} IS TRUE
           AND {order.rows(density)} {order.by(density)} LIMIT :limit)"""
