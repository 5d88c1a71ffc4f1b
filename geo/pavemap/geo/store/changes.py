"""What changed between two surveys: segment by segment, crack by crack, and over the whole network.

Segments are the same where their lineage is, so that comparisons go on over imports of a network.
Densities come from what both measurings stored; cracks are compared when they are asked for, a page
of segments at a time, on the ground that both surveys have imaged.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from sqlalchemy import Connection, Row, text

from pavemap.geo.change import DetectorAccuracy, density_changes
from pavemap.geo.change_lines import LineChanges, compare_lines, default_tolerance_m
from pavemap.geo.crs import WGS84, ground_scales, reproject
from pavemap.geo.errors import BadInput, Conflict
from pavemap.geo.grid import Grid
from pavemap.geo.store.bulk import fetch_columns, from_ewkb
from pavemap.geo.store.cursors import Cursor
from pavemap.geo.store.imaged_pavement import imaged_pavement
from pavemap.geo.store.model_versions import get_model
from pavemap.geo.store.places import search_boxes
from pavemap.geo.store.segment_pages import geometries
from pavemap.geo.store.surveys import SurveyRow, get_survey

ChangeSort = Literal["density_change", "segment"]

MAX_SEGMENTS = 1000
"""Segments compared at a time: their cracks in both surveys are in memory together."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two surveys, the earlier and the later, and by how much their places may differ."""

    before: SurveyRow
    after: SurveyRow
    tolerance_m: float
    accuracy: tuple[DetectorAccuracy, DetectorAccuracy]
    """Of the detector before and after."""

    @property
    def parameters(self) -> dict[str, Any]:
        """What the statements name."""
        return {
            "before": self.before.id,
            "after": self.after.id,
            "former_network": self.before.network_id,
        }


@dataclass(frozen=True, kw_only=True)
class SegmentChange:
    """A segment in both surveys; densities in m/m2, null where nothing was imaged.

    uncertainty: 95 %, see `pavemap.geo.change`. new_m to unchanged_m: metres of crack on `common_m2`, the
    pavement that both have imaged, see `pavemap.geo.change_lines`.
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
    new_m: float
    grown_m: float
    gone_m: float
    unchanged_m: float
    widened_mm: float | None


@dataclass(frozen=True, kw_only=True)
class CrackChange:
    """A stretch of crack and what became of it; its line in degrees."""

    segment_id: int
    kind: str
    line: shapely.LineString
    length_m: float
    width_mean_mm: float
    width_before_mm: float | None


@dataclass(frozen=True, kw_only=True)
class ChangeSummary:
    """The whole network: segments that both surveys have, and the change over what both saw of them.

    worse and better count segments whose change is significant.
    """

    segments: int
    segments_compared: int
    worse: int
    better: int
    density_before_m_per_m2: float | None
    density_after_m_per_m2: float | None
    density_change_m_per_m2: float | None
    uncertainty_m_per_m2: float | None
    significant: bool
    tolerance_m: float
    precision_before: float
    recall_before: float
    precision_after: float
    recall_after: float
    accuracy_stated: bool
    """Whether both models' cards state precision and recall; otherwise 0.8 is assumed."""


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
        return [
            CrackChange(
                segment_id=self.segments[found.ground[at]].segment_id,
                kind=str(found.kind[at]),
                line=lines[at],
                length_m=float(found.length_m[at]),
                width_mean_mm=float(found.width_mm[at]),
                width_before_mm=_known(found.before_width_mm[at]),
            )
            for at in order
        ]


def compare_surveys(
    connection: Connection,
    survey_id: uuid.UUID,
    *,
    since: uuid.UUID,
    tolerance_m: float | None = None,
) -> Comparison:
    """Prepare the comparison of a survey with an earlier one.

    The tolerance is by default that of both pixel sizes and position errors (`default_tolerance_m`).
    Raises NotFound for an unknown survey, Conflict while one of them has no figures, BadInput for a
    survey compared with itself or a tolerance that is none.
    """
    before, after = get_survey(connection, since), get_survey(connection, survey_id)
    if before.id == after.id:
        raise BadInput("a survey can't be compared with itself; name an earlier one of the network")
    for survey in (before, after):
        if survey.state != "done":
            raise Conflict(
                f"survey '{survey.name}' is {survey.state}, not done; compare it when it is measured"
            )
    if tolerance_m is None:
        tolerance_m = default_tolerance_m(
            (before.gsd_m, after.gsd_m), (before.position_rmse_m, after.position_rmse_m)
        )
    if not 0.0 < tolerance_m <= LARGEST_TOLERANCE_M:
        raise BadInput(
            f"a tolerance of {tolerance_m:g} m matches nothing or everything; give one such as 0.15"
        )
    models = [get_model(connection, survey.model_id).card for survey in (before, after)]
    return Comparison(
        before=before,
        after=after,
        tolerance_m=tolerance_m,
        accuracy=(DetectorAccuracy.from_card(models[0]), DetectorAccuracy.from_card(models[1])),
    )


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
    a bad limit or cursor.
    """
    if not 1 <= limit <= MAX_SEGMENTS:
        raise BadInput(f"a page has 1 to {MAX_SEGMENTS} segments, not {limit}")
    order = f"change-{sort}-{comparison.before.id}"
    cursor = Cursor.read(after, order=order)
    rows = connection.execute(
        text(_page_statement(sort, cursor)),
        comparison.parameters | {"limit": limit + 1, "key": cursor.key, "id": cursor.id},
    ).all()
    page = rows[:limit]
    key = None if not page or sort == "segment" else page[-1].change
    following = cursor.at(key, page[-1].segment_id) if len(rows) > limit else None
    grid = comparison.after.grid()
    pavements = np.empty(len(page), dtype=object)
    pavements[:] = geometries(page, "pavement")
    ground, scale = _common_ground(connection, comparison, pavements, grid=grid)
    lines = _compared_lines(connection, comparison, ground, scale=scale, grid=grid)
    sums = lines.by_ground(len(page))
    sums["common_m2"] = shapely.area(ground) / scale**2
    return ChangePage(_segments(page, comparison, sums), lines, grid, following)


def change_summary(connection: Connection, comparison: Comparison) -> ChangeSummary:
    """Return the change over all segments, from the figures that both measurings stored."""
    parts = [
        pd.DataFrame(dict(zip(_FIGURES, columns, strict=True)))
        for columns in fetch_columns(connection, _ALL, comparison.parameters)
    ]
    found = pd.concat([pd.DataFrame(columns=list(_FIGURES), dtype=float), *parts])
    seen = found[(found["imaged_before"] > 0.0) & (found["imaged_after"] > 0.0)]
    each = _differences(seen, comparison)
    whole = _differences(_total(seen), comparison).iloc[0]
    worse = each["significant"] & (each["density_change_m_per_m2"] > 0.0)
    total = _total(seen).iloc[0]
    first, second = comparison.accuracy
    return ChangeSummary(
        segments=len(found),
        segments_compared=len(seen),
        worse=int(worse.sum()),
        better=int((each["significant"] & ~worse).sum()),
        density_before_m_per_m2=_ratio(total["length_before"], total["imaged_before"]),
        density_after_m_per_m2=_ratio(total["length_after"], total["imaged_after"]),
        density_change_m_per_m2=_known(whole["density_change_m_per_m2"]),
        uncertainty_m_per_m2=_known(whole["uncertainty_m_per_m2"]),
        significant=bool(whole["significant"]),
        tolerance_m=comparison.tolerance_m,
        precision_before=first.precision,
        recall_before=first.recall,
        precision_after=second.precision,
        recall_after=second.recall,
        accuracy_stated=first.stated and second.stated,
    )


LARGEST_TOLERANCE_M = 5.0
"""A lane and more: beyond it anything matches anything."""

_FIGURES = (
    *("length_before", "imaged_before", "pavement_before"),
    *("length_after", "imaged_after", "pavement_after"),
)

_COLUMNS = """b.crack_length_m AS length_before, b.imaged_m2 AS imaged_before,
    b.pavement_m2 AS pavement_before, a.crack_length_m AS length_after,
    a.imaged_m2 AS imaged_after, a.pavement_m2 AS pavement_after"""

# A segment of the later survey, and the same stretch of road in the network of the earlier one.
_BOTH = """condition a JOIN segment s ON s.id = a.segment_id
    JOIN segment t ON t.network_id = {former_network}
        AND coalesce(t.lineage, t.id) = coalesce(s.lineage, s.id)
    JOIN condition b ON b.survey_id = {before} AND b.segment_id = t.id"""

_ALL = f"""SELECT {_COLUMNS}
    FROM {_BOTH.format(former_network="%(former_network)s", before="%(before)s")}
    WHERE a.survey_id = %(after)s"""

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
                {_CHANGE} AS change, {_COLUMNS}
              FROM {_BOTH.format(former_network=":former_network", before=":before")}
              WHERE {where} ORDER BY {order} LIMIT :limit) AS page
        JOIN segment s ON s.id = page.segment_id JOIN road r ON r.id = s.road_id
        ORDER BY page.place
    """


def _common_ground(
    connection: Connection,
    comparison: Comparison,
    pavements: NDArray[np.object_],
    *,
    grid: Grid,
) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Return the part of pavements (degrees) that both surveys imaged, in the grid's CRS, and its scale."""
    before, after = (
        _imaged(connection, survey, pavements, crs=grid.crs)
        for survey in (comparison.before, comparison.after)
    )
    ground: NDArray[np.object_] = shapely.intersection(before, after)
    middle = shapely.get_coordinates(shapely.centroid(reproject(pavements, WGS84, grid.crs)))
    return ground, ground_scales(grid.crs, middle[:, 0], middle[:, 1])


def _imaged(
    connection: Connection, survey: SurveyRow, pavements: NDArray[np.object_], *, crs: CRS
) -> NDArray[np.object_]:
    grid = survey.grid()
    moved = reproject(pavements, WGS84, grid.crs)
    seen = imaged_pavement(connection, survey.id, moved, grid=grid)
    return reproject(seen, grid.crs, crs)


def _compared_lines(
    connection: Connection,
    comparison: Comparison,
    ground: NDArray[np.object_],
    *,
    scale: NDArray[np.float64],
    grid: Grid,
) -> LineChanges:
    areas = shapely.box(*shapely.bounds(ground[~shapely.is_empty(ground)]).reshape(-1, 4).T)
    near = shapely.buffer(areas, 2.0 * comparison.tolerance_m, join_style="mitre")
    boxes = search_boxes(np.asarray(near, dtype=object), grid.crs)
    before, after = (
        reproject(_cracks_in(connection, survey.id, boxes), WGS84, grid.crs)
        for survey in (comparison.before, comparison.after)
    )
    return compare_lines(
        before, after, ground=ground, tolerance_m=comparison.tolerance_m, scale=scale
    )


def _cracks_in(
    connection: Connection, survey_id: uuid.UUID, boxes: NDArray[np.float64]
) -> NDArray[np.object_]:
    """Return, in degrees, the cracks of a survey whose bounds meet any of (N, 4) boxes."""
    west, south, east, north = boxes.T.tolist()
    found = [np.empty(0, dtype=object)]
    for (block,) in fetch_columns(
        connection,
        """
            SELECT ST_AsBinary(c.geom) FROM crack c
            WHERE c.survey_id = %(survey_id)s AND c.id IN (
                SELECT near.id
                FROM unnest(%(west)s::float8[], %(south)s::float8[],
                            %(east)s::float8[], %(north)s::float8[])
                     AS box(west, south, east, north)
                JOIN crack near ON near.survey_id = %(survey_id)s AND near.geom
                     && ST_MakeEnvelope(box.west, box.south, box.east, box.north, 4326))
            ORDER BY c.id
        """,
        {"survey_id": survey_id, "west": west, "south": south, "east": east, "north": north},
    ):
        found.append(from_ewkb(block))
    return np.concatenate(found)


def _segments(
    page: Sequence[Row[Any]], comparison: Comparison, sums: pd.DataFrame
) -> list[SegmentChange]:
    figures = pd.DataFrame(
        [[getattr(row, name) for name in _FIGURES] for row in page],
        columns=list(_FIGURES),
        dtype=np.float64,
    )
    table = pd.concat([_differences(figures, comparison), sums], axis=1)
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


def _differences(figures: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    before, after = (
        pd.DataFrame(
            {
                "crack_length_m": figures[f"length_{when}"],
                "imaged_m2": figures[f"imaged_{when}"],
                "coverage": (figures[f"imaged_{when}"] / figures[f"pavement_{when}"]).clip(upper=1),
            }
        )
        for when in ("before", "after")
    )
    return density_changes(before, after, accuracy=comparison.accuracy)


def _total(figures: pd.DataFrame) -> pd.DataFrame:
    return figures.sum().to_frame().T


def _ratio(length_m: float, imaged_m2: float) -> float | None:
    return float(length_m / imaged_m2) if imaged_m2 > 0.0 else None


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _plain(value: Any) -> Any:
    return bool(value) if isinstance(value, bool | np.bool_) else _known(value)
