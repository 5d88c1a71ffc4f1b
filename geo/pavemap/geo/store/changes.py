"""What changed between two surveys, segment by segment and crack by crack.

Densities come from what both measurings stored; cracks are compared when they are asked for, a page
of segments at a time, on the ground that both surveys have imaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import shapely
from sqlalchemy import Connection, Row, text

from pavemap.geo.arrays import object_array
from pavemap.geo.change_lines import KINDS, LineChanges
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.store.bulk import geometries
from pavemap.geo.store.changed_cracks import common_ground, compared_lines
from pavemap.geo.store.comparison import BOTH, COLUMNS, FIGURES, Comparison, differences, known
from pavemap.geo.store.cursors import MAX_COMPARED, Cursor, check_limit
from pavemap.geo.store.surveys import survey_version

ChangeSort = Literal["density_change", "segment"]

LENGTHS = [f"{kind}_m" for kind in KINDS]


@dataclass(frozen=True, kw_only=True)
class SegmentChange:
    """A segment in both surveys; densities in m/m2, null where nothing was imaged.

    uncertainty: 95 %, see `pavemap.geo.change`. new_m to unchanged_m: metres of crack on `common_m2`, the
    pavement that both have imaged, see `pavemap.geo.change_lines`; null where there is none.
    """

    segment_id: int
    segment_key: str
    road_key: str
    name: str
    from_m: float
    to_m: float
    length_m: float
    line: shapely.LineString
    pavement: shapely.MultiPolygon
    density_before_m_per_m2: float | None
    density_after_m_per_m2: float | None
    density_change_m_per_m2: float | None
    uncertainty_m_per_m2: float | None
    significant: bool
    coverage_before: float
    coverage_after: float
    common_m2: float
    new_m: float | None
    grown_m: float | None
    gone_m: float | None
    unchanged_m: float | None
    widened_mm: float | None


@dataclass(frozen=True, kw_only=True)
class CrackChange:
    """A stretch of crack and what became of it; its line in degrees."""

    segment_id: int
    segment_key: str
    kind: str
    line: shapely.LineString
    length_m: float
    width_mean_mm: float
    width_before_mm: float | None


@dataclass(frozen=True)
class ChangePage:
    """Segments in order, what became of each crack on them, and the cursor of the next page or None."""

    segments: list[SegmentChange]
    lines: LineChanges
    grid: Grid
    following: str | None

    @cached_property
    def cracks(self) -> list[CrackChange]:
        """The stretches of crack, segment by segment."""
        lines = reproject(self.lines.lines, self.grid.crs, WGS84)
        found = self.lines
        order = np.argsort(found.ground, kind="stable")
        segments = [self.segments[at] for at in found.ground]
        return [
            CrackChange(
                segment_id=segments[at].segment_id,
                segment_key=segments[at].segment_key,
                kind=str(found.kind[at]),
                line=lines[at],
                length_m=float(found.length_m[at]),
                width_mean_mm=float(found.width_mm[at]),
                width_before_mm=known(found.before_width_mm[at]),
            )
            for at in order
        ]


def changes_page(
    connection: Connection,
    comparison: Comparison,
    *,
    sort: ChangeSort = "density_change",
    limit: int = 100,
    after: str | None = None,
) -> ChangePage:
    """Return a page of segments that both surveys have, the worst change first, or by segment.

    Segments without a change to speak of (nothing imaged in one survey) come last. Raises BadInput for
    a bad limit or cursor, Conflict where a survey was measured anew since the page before, or meanwhile.
    """
    check_limit(limit, most=MAX_COMPARED)
    order = f"change-{sort}-{comparison.before.id}"
    cursor = Cursor.read(after, order=order, version=_version(connection, comparison))
    rows = connection.execute(
        text(_page_statement(sort, cursor)),
        comparison.parameters | {"limit": limit + 1, "key": cursor.key, "id": cursor.id},
    ).all()
    page = rows[:limit]
    key = None if not page or sort == "segment" else page[-1].change
    following = cursor.at(key, page[-1].segment_id) if len(rows) > limit else None
    grid = comparison.after.grid()
    pavements = object_array(geometries(page, "pavement"))
    ground, scale = common_ground(connection, comparison, pavements, grid=grid)
    lines = compared_lines(connection, comparison, ground, scale=scale, grid=grid)
    cursor.check(_version(connection, comparison))  # measured anew while this was read?
    sums = lines.by_ground(len(page))
    sums["common_m2"] = shapely.area(ground) / scale**2
    sums.loc[sums["common_m2"] == 0.0, LENGTHS] = np.nan
    return ChangePage(_segments(page, comparison, sums), lines, grid, following)


def _version(connection: Connection, comparison: Comparison) -> str:
    both = (comparison.before, comparison.after)
    return ", ".join(survey_version(connection, survey.id) for survey in both)


_CHANGE = "a.density_m_per_m2 - b.density_m_per_m2"


def _page_statement(sort: ChangeSort, cursor: Cursor) -> str:
    later, order = [], "a.segment_id"
    if sort == "segment":
        later = [] if cursor.id is None else ["a.segment_id > :id"]
    else:
        order = f"{_CHANGE} DESC NULLS LAST, a.segment_id DESC"
        if cursor.key is not None:
            later = [f"(({_CHANGE}, a.segment_id) < (:key, :id) OR {_CHANGE} IS NULL)"]
        elif cursor.id is not None:
            later = [f"{_CHANGE} IS NULL AND a.segment_id < :id"]
    where = " AND ".join(["a.survey_id = :after", *later])
    return f"""
        SELECT page.*, s.segment_key, r.road_key, s.name, s.from_m, s.to_m, s.length_m,
            ST_AsBinary(s.geom) AS line, ST_AsBinary(s.pavement) AS pavement
        FROM (SELECT row_number() OVER (ORDER BY {order}) AS place, a.segment_id,
                a.coverage AS coverage_after, b.coverage AS coverage_before,
                a.density_m_per_m2 AS density_after, b.density_m_per_m2 AS density_before,
                {_CHANGE} AS change, {COLUMNS}
              FROM {BOTH.format(former_network=":former_network", before=":before")}
              WHERE {where} ORDER BY {order} LIMIT :limit) AS page
        JOIN segment s ON s.id = page.segment_id JOIN road r ON r.id = s.road_id
        ORDER BY page.place
    """


def _segments(
    page: Sequence[Row[Any]], comparison: Comparison, sums: pd.DataFrame
) -> list[SegmentChange]:
    figures = pd.DataFrame(
        [[getattr(row, name) for name in FIGURES] for row in page],
        columns=list(FIGURES),
        dtype=np.float64,
    )
    table = pd.concat([differences(figures, comparison), sums], axis=1)
    lines, pavements = geometries(page, "line"), geometries(page, "pavement")
    return [
        SegmentChange(
            line=line,
            pavement=pavement,
            density_before_m_per_m2=row.density_before,
            density_after_m_per_m2=row.density_after,
            **{name: getattr(row, name) for name in _AS_STORED},
            **{str(name): _plain(value) for name, value in known.items()},
        )
        for row, line, pavement, known in zip(
            page, lines, pavements, table.to_dict("records"), strict=True
        )
    ]


_AS_STORED = (
    *("segment_id", "segment_key", "road_key", "name", "from_m", "to_m", "length_m"),
    *("coverage_before", "coverage_after"),
)


def _plain(value: Any) -> Any:
    return bool(value) if isinstance(value, bool | np.bool_) else known(value)
