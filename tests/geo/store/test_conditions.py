"""Patterns over the borders of segments: the same figures however segments fall into blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from sqlalchemy import Engine, text

import store_scene as scene
from pavemap.geo.crs import ground_scales
from pavemap.geo.measures import MeasureParams, neighbours
from pavemap.geo.measures.neighbours import Neighbours, pattern_reach_m
from pavemap.geo.store import cells, leases, measuring, surveys
from pavemap.geo.store.engine import database
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.survey_cell import CellResult
from pavemap.geo.vectorizing.trust import Trust

Ids = NDArray[np.int64]
Line = tuple[float, float, float, float]
"""x, y to x, y, from the south-west corner of the road's cells; segments part at each 100 m."""


def mesh(x: float, y: float, *, columns: int, rows: int, size: float) -> list[Line]:
    """Draw squares, each of their sides a crack of its own."""
    along = [
        (x + col * size, y + row * size, x + (col + 1) * size, y + row * size)
        for col in range(columns)
        for row in range(rows + 1)
    ]
    across = [
        (x + col * size, y + row * size, x + col * size, y + (row + 1) * size)
        for col in range(columns + 1)
        for row in range(rows)
    ]
    return along + across


def measured(engine: Engine, survey: SurveyRow, segments: Ids, lines: Sequence[Line]) -> None:
    """Survey all cells, of which each finds what of the lines lies in it, and measure."""
    drawn = shapely.linestrings(
        [
            [(scene.X + x, scene.Y + y, 4.0), (scene.X + to_x, scene.Y + to_y, 4.0)]
            for x, y, to_x, to_y in lines
        ]
    )
    with database(engine) as connection:
        for claimed in leases.claim(connection, worker="w", lease_s=60.0, limit=1000):
            parts = shapely.intersection(drawn, shapely.box(*scene.GRID.bounds(claimed.cell)))
            parts = parts[shapely.length(parts) > 0.0]
            segment = int(segments[(claimed.cell.col - scene.COL) // 10])
            result = CellResult(
                lines=parts,
                imaged={segment: scene.CELL_PAVEMENT_M2},
                imaged_m2=scene.CELL_PAVEMENT_M2,
                seconds={},
                imaged_part=None,
                trust=Trust(np.full(len(parts), 0.9), np.ones(len(parts))),
            )
            assert cells.complete(connection, claimed=claimed, result=result, worker="w")
    measure_again(engine, survey)


def measure_again(engine: Engine, survey: SurveyRow) -> None:
    with database(engine) as connection:
        measuring.measure_survey(connection, surveys.get_survey(connection, survey.id))


def figures(engine: Engine) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """Read the conditions, and the pieces with their kinds."""
    with database(engine) as connection:
        rows = connection.execute(
            text("SELECT c.*, NULL AS created_at FROM condition c ORDER BY segment_id")
        )
        pieces = connection.execute(
            text(
                "SELECT segment_id, type, severity, ST_AsText(geom, 7) FROM piece ORDER BY 1, 2, 3, 4"
            )
        )
        return [dict(row) for row in rows.mappings()], [tuple(row) for row in pieces]


def assert_alike(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    assert len(one) == len(two)
    for first, second in zip(one, two, strict=True):
        numbers = {name for name, value in first.items() if isinstance(value, float)}
        rest = first.keys() - numbers - {"r85"}
        assert {name: first[name] for name in rest} == {name: second[name] for name in rest}
        for name in numbers:
            assert second[name] == pytest.approx(first[name], rel=1e-9), name


SCENES: dict[str, list[Line]] = {
    # Three blocks of 2 m: the middle one lies on both segments, its east wall on the second alone.
    "blocks": mesh(97.0, 4.0, columns=3, rows=1, size=2.0),
    "alligator": mesh(99.55, 4.0, columns=3, rows=3, size=0.3),
    # Rows end a centimetre short of their east wall, which is on the second segment; no crack is on both.
    "nearly": [
        *[(98.0, y, 99.995, y) for y in (3.0, 4.0, 5.0, 6.0)],
        (98.0, 3.0, 98.0, 6.0),
        (100.005, 3.0, 100.005, 6.0),
    ],
    # A crack from the first segment to the third is block cracking for what closes with others there,
    # up to the border of the fourth.
    "along": [
        (90.0, 4.0, 300.5, 4.0),
        *[
            line
            for line in mesh(180.5, 4.0, columns=60, rows=1, size=2.0)
            if line[1] + line[3] > 8.0
        ],
    ],
}


@pytest.mark.parametrize("name", SCENES)
def test_patterns_over_borders_are_found_from_both_sides(
    engine: Engine,
    survey: SurveyRow,
    segments: Ids,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    measured(engine, survey, segments, SCENES[name])
    together, kinds = figures(engine)
    monkeypatch.setattr(neighbours, "SEGMENTS_AT_A_TIME", 1)
    measure_again(engine, survey)
    apart, kinds_apart = figures(engine)
    assert_alike(together, apart)
    assert kinds_apart == kinds
    patterned = {"alligator"} if name == "alligator" else {"block"}
    assert {kind for _, kind, *_ in kinds} == patterned


def test_a_block_on_a_border_is_shared_by_the_segments_it_lies_on(
    engine: Engine, survey: SurveyRow, segments: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three blocks of 4 m2 one and a half lie on the first segment, the others on the second."""
    monkeypatch.setattr(neighbours, "SEGMENTS_AT_A_TIME", 1)
    measured(engine, survey, segments, SCENES["blocks"])
    rows, _ = figures(engine)
    expected = [6.0 / scene.SCALE**2, 6.0 / scene.SCALE**2, 0.0, 0.0, 0.0]
    assert [row["block_m2"] for row in rows] == pytest.approx(expected, rel=1e-6)


def test_blocks_are_of_segments_near_each_other() -> None:
    """Two roads of six segments, 5 km apart, their ids in turn: each road is a block of its own."""
    pavements = np.array(
        [
            shapely.box(
                scene.X + 100.0 * (id_ // 2), y, scene.X + 100.0 * (id_ // 2) + 100.0, y + 8.0
            )
            for id_ in range(12)
            for y in [scene.Y + 5000.0 * (id_ % 2)]
        ],
        object,
    )
    places = Neighbours.of(np.arange(12), pavements, reach_m=9.0, grid=scene.GRID)
    assert places.ids[places.order[:6]].tolist() == [0, 2, 4, 6, 8, 10]
    assert places.beside(np.array([4])).tolist() == [2, 4, 6]
    assert places.beside(np.array([0, 11])).tolist() == [0, 2, 9, 11]


def test_what_lies_beside_reaches_as_far_as_a_patterns_cells_in_true_metres() -> None:
    reach_m = pattern_reach_m(MeasureParams())
    assert reach_m == pytest.approx(3.0 * 10.0**0.5)
    scale = float(ground_scales(scene.UTM, np.array([scene.X]), np.array([scene.Y]))[0])
    for gap_m, beside in ((reach_m - 0.01, [0, 1]), (reach_m + 0.01, [0])):
        east = scene.X + 10.0 + gap_m * scale
        pavements = np.array(
            [
                shapely.box(scene.X, scene.Y, scene.X + 10.0, scene.Y + 8.0),
                shapely.box(east, scene.Y, east + 10.0, scene.Y + 8.0),
            ],
            object,
        )
        places = Neighbours.of(np.arange(2), pavements, reach_m=reach_m, grid=scene.GRID)
        assert places.beside(np.array([0])).tolist() == beside


def test_figures_are_the_same_to_the_bit_however_the_rows_of_cells_lie(
    engine: Engine, survey: SurveyRow, segments: Ids
) -> None:
    """As when cells were surveyed in another order, or a dump was restored."""
    measured(engine, survey, segments, SCENES["blocks"])
    with database(engine) as connection:
        uneven = "imaged_m2 / (1 + (col * 7) % 10), coarse_m2 = imaged_m2 / (3 + (col * 3) % 10)"
        connection.execute(text(f"UPDATE cell_segment SET imaged_m2 = {uneven}"))
    found = set()
    for order in ("col", "col DESC", "(col * 3) % 10"):
        with database(engine) as connection:
            connection.execute(text("CREATE TABLE kept AS TABLE cell_segment"))
            connection.execute(text("DELETE FROM cell_segment"))
            connection.execute(
                text(f"INSERT INTO cell_segment SELECT * FROM kept ORDER BY {order}")
            )
            connection.execute(text("DROP TABLE kept"))
            connection.execute(text("ANALYZE cell_segment"))  # so few rows are read as they lie
        measure_again(engine, survey)
        found.add(repr(figures(engine)))
    assert len(found) == 1
