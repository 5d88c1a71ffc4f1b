"""Cracks run on over cells, whatever order the cells come in."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS

from drawn_cracks import clipped
from pavemap.geo.arrays import Geometries
from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.stitching.stitch import Block, Stitcher, stitch_blocks, sweep_by_rows
from pavemap.geo.vectorizing.trust import Trust
from stitched import stitch

UTM = CRS.from_epsg(32633)
PX = 0.01
GRID = Grid(UTM, PX, cell_px=1024, halo_px=64)
SIDE = GRID.cell_m

# Cell (0, 0) of a UTM zone is off the map; these tests lie around a corner of cells near 15 E, 45 N.
CORNER_X, CORNER_Y = 48_900 * SIDE, 487_000 * SIDE
WEST_SOUTH, EAST_SOUTH, WEST_NORTH, EAST_NORTH = (
    (48_900 + col, 487_000 + row) for row in (-1, 0) for col in (-1, 0)
)

Point = tuple[float, float, float]


def line(*points: Point) -> shapely.LineString:
    """A line, in metres from the corner, z in millimetres."""
    return shapely.LineString([(CORNER_X + x, CORNER_Y + y, z) for x, y, z in points])


def here(crack: shapely.LineString) -> list[Point]:
    points = shapely.get_coordinates(crack, include_z=True) - (CORNER_X, CORNER_Y, 0)
    return [(x, y, z) for x, y, z in points.round(6).tolist()]


def array(*lines: shapely.LineString) -> Geometries:
    return np.array(lines, object)


def cells_of(*cells: tuple[int, int]) -> NDArray[np.int64]:
    return np.array(cells, np.int64).reshape(-1, 2)


def cut(cracks: Geometries) -> tuple[Geometries, NDArray[np.int64]]:
    """Cut cracks by cells, as surveying cell by cell does."""
    pieces, cells = [], []
    for cell in GRID.cells_meeting(shapely.buffer(cracks, PX)):
        own = clipped(cracks, GRID.bounds(cell))
        pieces.append(own)
        cells += [(cell.col, cell.row)] * len(own)
    return np.concatenate(pieces), cells_of(*cells)


def test_a_crack_over_two_cells_is_one() -> None:
    cracks, index = stitch(
        array(line((-2, 1, 4), (0, 1, 6)), line((3, 2, 8), (0, 1, 6))),
        cells_of(WEST_NORTH, EAST_NORTH),
        grid=GRID,
    )
    assert [here(crack) for crack in cracks] == [[(-2, 1, 4), (0, 1, 6), (3, 2, 8)]]
    assert index.tolist() == [0, 0]


def test_ends_a_pixel_apart_meet_in_the_middle() -> None:
    (crack,), _ = stitch(
        array(line((-2, 1, 4), (0, 1, 4)), line((0, 1 + PX, 6), (2, 1, 6))),
        cells_of(WEST_NORTH, EAST_NORTH),
        grid=GRID,
    )
    assert here(crack) == [(-2, 1, 4), (0, 1 + PX / 2, 5), (2, 1, 6)]


@pytest.mark.parametrize(
    ("other", "cell"),
    [
        (line((0, 1 + 2 * PX, 4), (2, 1, 4)), EAST_NORTH),  # two pixels apart
        (line((PX, 1, 4), (2, 1, 4)), EAST_NORTH),  # a crack of its own that begins past the side
        (line((0, 1, 4), (-2, 2, 4)), WEST_NORTH),  # of the same cell
    ],
)
def test_what_is_not_one_stays_two(other: shapely.LineString, cell: tuple[int, int]) -> None:
    cracks, index = stitch(
        array(line((-2, 1, 4), (0, 1, 4)), other), cells_of(WEST_NORTH, cell), grid=GRID
    )
    assert len(cracks) == 2
    assert sorted(index) == [0, 1]


def test_the_nearest_ends_are_joined() -> None:
    lines = array(
        line((-1, 1, 4), (0, 1, 4)),
        line((-1, 1 + PX, 4), (0, 1 + PX, 4)),
        line((0, 1 + 0.9 * PX, 4), (1, 1 + PX, 4)),
        line((0, 1 - 0.1 * PX, 4), (1, 1, 4)),
    )
    _, index = stitch(lines, cells_of(WEST_NORTH, WEST_NORTH, EAST_NORTH, EAST_NORTH), grid=GRID)
    assert index[0] == index[3] != index[1] == index[2]


def test_three_branches_that_meet_on_a_side_stay_branches() -> None:
    lines = array(
        line((-1, 1, 4), (0, 1, 4)),
        line((0, 1, 4), (1, 0.5, 4)),
        line((0, 1, 4), (1, 1.5, 4)),
    )
    cracks, _ = stitch(lines, cells_of(WEST_NORTH, EAST_NORTH, EAST_NORTH), grid=GRID)
    assert len(cracks) == 3


def test_a_loop_over_four_cells_is_closed() -> None:
    t = np.linspace(0, 2 * np.pi, 90)
    ring = line(*((np.cos(a), np.sin(a), 5.0) for a in t[:-1]), (1.0, 0.0, 5.0))
    pieces, cells = cut(array(ring))
    assert len(pieces) == 4
    (crack,), _ = stitch(pieces, cells, grid=GRID)
    assert crack.is_ring
    assert crack.length == pytest.approx(ring.length)


def test_a_crack_through_a_corner_of_cells_is_one() -> None:
    pieces, cells = cut(array(line((-1, -1, 4), (1, 1, 4)), line((-1, 0.5, 4), (0.501, -1, 4))))
    cracks, _ = stitch(pieces, cells, grid=GRID)
    assert sorted(shapely.length(cracks)) == pytest.approx([np.hypot(1.501, 1.5), np.sqrt(8)])


def test_degrees_between_cells_and_stitching_make_no_difference() -> None:
    pieces, cells = cut(array(line((-25, -14, 4), (31, 17, 4)), line((-30, 3, 4), (12, 5, 4))))
    stored = reproject(reproject(pieces, UTM, WGS84), WGS84, UTM)
    cracks, _ = stitch(stored, cells, grid=GRID)
    assert sorted(shapely.length(cracks)) == pytest.approx(
        [np.hypot(42, 2), np.hypot(56, 31)], rel=1e-7
    )


wandering = st.lists(
    st.tuples(st.integers(-2500, 2500), st.integers(-2500, 2500)),
    min_size=2,
    max_size=6,
    unique=True,
)


@settings(max_examples=50, deadline=None)
@given(paths=st.lists(wandering, min_size=1, max_size=4), seed=st.integers(0, 1000))
def test_the_order_of_fragments_changes_nothing(
    paths: list[list[tuple[int, int]]], seed: int
) -> None:
    cracks = array(*(line(*((x / 100, y / 100, 4) for x, y in path)) for path in paths))
    pieces, cells = cut(cracks)
    shuffled = np.random.default_rng(seed).permutation(len(pieces))
    one, index_one = stitch(pieces, cells, grid=GRID)
    two, index_two = stitch(pieces[shuffled], cells[shuffled], grid=GRID)
    assert [crack.wkb for crack in one] == [crack.wkb for crack in two]
    assert [one[k].wkb for k in index_one[shuffled]] == [two[k].wkb for k in index_two]
    assert shapely.length(one).sum() == pytest.approx(shapely.length(cracks).sum())


def test_short_networks_go_only_when_all_of_them_is_known() -> None:
    lines = array(
        line((-0.3, 1, 4), (0, 1, 4)),  # 0.3 + 0.4 over a side
        line((0, 1, 4), (0.4, 1, 4)),
        line((1, 1, 4), (1.5, 1, 4)),  # 0.5 alone
        line((3, 1, 4), (3.2, 1, 4)),  # three short ones that meet
        line((3.2, 1, 4), (3.4, 1.1, 4)),
        line((3.2, 1, 4), (3.4, 0.9, 4)),
    )
    cells = cells_of(WEST_NORTH, *[EAST_NORTH] * 5)
    cracks, index = stitch(lines, cells, grid=GRID, min_length_m=0.6)
    assert len(cracks) == 4
    assert index[0] == index[1]
    assert index[2] == -1
    assert len(set(index[3:])) == 3


def test_only_what_is_sure_counts_towards_the_length_of_a_network() -> None:
    lines = array(
        line((-0.6, 1, 4), (0, 1, 4)),  # 0.6 of which a half is sure, and 0.4 all sure, over a side
        line((0, 1, 4), (0.4, 1, 4)),
        line((1, 1, 4), (3, 1, 4)),  # long, and sure nowhere but at its end
    )
    cells = cells_of(WEST_NORTH, EAST_NORTH, EAST_NORTH)
    trust = Trust(np.full(3, 0.5), np.array([0.5, 1.0, 0.25]))
    for least, kept in ((0.45, [0, 0, 1]), (0.6, [0, 0, -1]), (0.75, [-1, -1, -1])):
        _, index = stitch(lines, cells, grid=GRID, min_length_m=least, trust=trust)
        assert index.tolist() == kept


def test_the_confidence_of_a_crack_is_that_of_its_parts_by_length() -> None:
    lines = array(
        line((-0.6, 1, 4), (0, 1, 4)), line((0, 1, 4), (0.2, 1, 4)), line((1, 1, 4), (3, 1, 4))
    )
    cells = cells_of(WEST_NORTH, EAST_NORTH, EAST_NORTH)
    trust = Trust(np.array([0.9, 0.5, np.nan]), np.ones(3))
    (found,) = (
        some for some in stitch_blocks([(lines, cells, trust)], grid=GRID) if len(some) == 2
    )
    by_length = dict(zip(shapely.length(found.lines).round(3), found.confidence, strict=True))
    assert by_length[0.8] == pytest.approx((0.9 * 0.6 + 0.5 * 0.2) / 0.8)
    assert np.isnan(by_length[2.0])


def in_blocks(
    pieces: Geometries,
    cells: NDArray[np.int64],
    *,
    size: int,
    by_rows: bool,
    least: float = 0.0,
    trust: Trust,
) -> list[str]:
    """Stitch in a sweep, so many lines at a time; the cracks as sorted WKB."""
    order = np.lexsort(cells[:, [0, 1]].T if by_rows else cells[:, [1, 0]].T)
    blocks = (
        (pieces[some], cells[some], Trust(trust.confidence[some], trust.sure[some]))
        for start in range(0, len(order), size)
        for some in [order[start : start + size]]
    )
    found = stitch_blocks(blocks, grid=GRID, min_length_m=least, by_rows=by_rows)
    return sorted(crack.wkb_hex for block in found for crack in block.lines)


@settings(max_examples=60, deadline=None)
@given(
    paths=st.lists(wandering, min_size=1, max_size=5),
    size=st.integers(1, 9),
    by_rows=st.booleans(),
    least=st.sampled_from([0.0, 12.0, 30.0]),
    seed=st.integers(0, 5),
)
def test_a_sweep_in_blocks_finds_what_one_look_finds(
    paths: list[list[tuple[int, int]]], size: int, by_rows: bool, least: float, seed: int
) -> None:
    cracks = array(*(line(*((x / 100, y / 100, 4) for x, y in path)) for path in paths))
    pieces, cells = cut(cracks)
    random = np.random.default_rng(seed)
    trust = Trust(np.full(len(pieces), 0.5), random.uniform(0.3 if seed else 1, 1, len(pieces)))
    whole, _ = stitch(pieces, cells, grid=GRID, min_length_m=least, trust=trust)
    found = in_blocks(pieces, cells, size=size, by_rows=by_rows, least=least, trust=trust)
    assert found == sorted(crack.wkb_hex for crack in whole)


def test_a_short_line_waits_for_its_network_and_no_longer() -> None:
    """Cells west to east: a speck that is alone, and one on a crack that only grows long later."""
    sweep = Stitcher(GRID, min_length_m=5.0)
    west = array(
        line((-9, 5, 4), (-8, 5, 4)),
        line((-1, 1, 4), (0, 1, 4)),
        line((-1, 1, 4), (-1, 2, 4)),
    )
    row = EAST_NORTH[1]
    assert len(sweep.add(west, cells_of(*[WEST_NORTH] * 3), Trust.unknown(3))) == 0
    east = array(line((0, 1, 4), (6, 1, 4)))
    (branch,) = sweep.add(east, cells_of(EAST_NORTH), Trust.unknown(1)).lines
    assert branch.length == pytest.approx(1)
    (held,) = deepcopy(sweep).finish().lines  # of the crack's last cell more may come
    assert held.length == pytest.approx(7)
    far = cells_of((EAST_NORTH[0] + 1, row))
    last = array(line((12, 1, 4), (13, 1, 4)))
    (crack,) = sweep.add(last, far, Trust.unknown(1)).lines
    assert crack.length == pytest.approx(7)
    assert len(sweep.finish()) == 0


SHORT = 80


def street(columns: int, rows: int) -> Iterator[Block]:
    """Cells of a drawn survey, column by column: a crack through each row, and short ones in each."""
    random = np.random.default_rng(7)
    for col in range(columns):
        cells = cells_of(*((WEST_SOUTH[0] + col, WEST_SOUTH[1] + row) for row in range(rows)))
        low = cells * SIDE
        left = np.column_stack([low[:, 0], low[:, 1] + SIDE / 2])
        through = np.stack([left, left + (SIDE, 0.0)], axis=1)
        start = np.repeat(low, SHORT, axis=0)
        start += random.uniform(0.1, 0.8, start.shape) * SIDE
        short = np.stack([start, start + random.uniform(-1, 1, start.shape)], axis=1)
        points = np.concatenate([through, short])
        z = np.full((*points.shape[:2], 1), 4.0)
        lines = np.asarray(shapely.linestrings(np.concatenate([points, z], axis=2)), object)
        of_lines = np.concatenate([cells, np.repeat(cells, SHORT, axis=0)])
        yield lines, of_lines, Trust.unknown(len(lines))


def test_memory_does_not_grow_with_the_survey_but_with_its_seam() -> None:
    def peak(columns: int, rows: int) -> tuple[int, int]:
        tracemalloc.start()
        count = 0
        for cracks in stitch_blocks(street(columns, rows), grid=GRID, min_length_m=0.5):
            count += len(cracks)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return count, most

    peak(80, 10)  # compiles, and fills numpy's caches of small arrays
    few, many = peak(10, 10), peak(80, 10)
    assert many[0] > 7 * few[0]
    assert many[1] < 1.25 * few[1]  # ten cracks through all columns have grown by 70 vertices each


def test_a_sweep_goes_along_the_longer_side() -> None:
    assert sweep_by_rows(cells_of((3, 0), (3, 9), (4, 2)))
    assert not sweep_by_rows(cells_of((0, 3), (9, 3), (2, 4)))
    assert not sweep_by_rows(cells_of())


def test_nothing_to_stitch() -> None:
    cracks, index = stitch(np.empty(0, object), np.empty((0, 2), np.int64), grid=GRID)
    assert len(cracks) == len(index) == 0


def test_a_hundred_thousand_fragments_take_seconds() -> None:
    rows, columns = 100, 1000
    cell = cells_of(*((c, r) for r in range(rows) for c in range(columns)))
    cell += cells_of(WEST_SOUTH)
    start = np.column_stack([cell[:, 0] * SIDE, (cell[:, 1] + 0.5) * SIDE, np.full(len(cell), 4.0)])
    fragments = np.asarray(
        shapely.linestrings(np.stack([start, start + (SIDE, 0, 0)], axis=1)), object
    )
    shuffled = np.random.default_rng(0).permutation(len(fragments))
    stitch(fragments[:2], cell[:2], grid=GRID)  # compiles
    begun = time.perf_counter()
    cracks, _ = stitch(fragments[shuffled], cell[shuffled], grid=GRID)
    assert len(cracks) == rows
    assert shapely.length(cracks) == pytest.approx(columns * SIDE)
    assert time.perf_counter() - begun < 20
