"""A survey cell by cell says what one look at the whole ground says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from drawn_cracks import MemoryMosaic, random_cracks
from pavemap.geo.arrays import Geometries
from pavemap.geo.crs import ground_scale
from pavemap.geo.grid import Cell, Grid
from pavemap.geo.imagery.mosaic import Chip
from pavemap.geo.lines.line_measures import line_stats
from pavemap.geo.survey_cell import (
    EDGE_PX,
    CellResult,
    Detect,
    Pavements,
    filled,
    imaged_mask,
    survey_cell,
)
from pavemap.geo.vectorizing.trust import Trust
from pavemap.geo.vectorizing.vectorize import VectorizeParams
from stitched import stitch

UTM = CRS.from_epsg(32633)
GSD = 0.002
LEFT, TOP = 250_000_077, 2_500_000_033  # a pixel of the world's grid, near 15 E 45 N
SCALE = ground_scale(UTM, LEFT * GSD, TOP * GSD)
PIXEL_M2 = (GSD / SCALE) ** 2


@dataclass(frozen=True)
class Survey:
    cracks: Geometries
    imaged: dict[int, float]
    imaged_m2: float

    @property
    def length_px(self) -> float:
        return float(shapely.length(self.cracks).sum() / GSD)


def red(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A detector that says what is drawn."""
    return np.ascontiguousarray(chip[:, :, 0])


def never(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    raise AssertionError("there was nothing to detect")


def on_the_ground(drawn: NDArray[np.uint8], valid: NDArray[np.bool_] | None = None) -> MemoryMosaic:
    everywhere = np.ones(drawn.shape, np.bool_)
    pixels = np.repeat(drawn[:, :, None], 3, axis=2)
    return MemoryMosaic(pixels, everywhere if valid is None else valid, LEFT, TOP)


def box_px(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    """A polygon given by columns and rows of the drawn picture."""
    return shapely.box(
        (LEFT + left) * GSD, (TOP - bottom) * GSD, (LEFT + right) * GSD, (TOP - top) * GSD
    )


def cell_at(grid: Grid, col: int, row: int) -> Cell:
    """The cell that holds the middle of a pixel of the drawn picture."""
    (cell,) = grid.cells_meeting([box_px(col, row, col + 1, row + 1).centroid])
    return cell


def survey(
    mosaic: MemoryMosaic,
    *,
    cell_px: int,
    pavements: Pavements | None = None,
    detect: Detect = red,
    params: VectorizeParams | None = None,
) -> Survey:
    grid = Grid(UTM, GSD, cell_px=cell_px)
    params = params or VectorizeParams()
    height, width = mosaic.valid.shape
    results: list[CellResult] = []
    places: list[tuple[int, int]] = []
    for cell in grid.cells_meeting([box_px(0, 0, width, height)]):
        result = survey_cell(
            cell, grid=grid, mosaic=mosaic, pavements=pavements, detect=detect, params=params
        )
        results.append(result)
        places += [(cell.col, cell.row)] * len(result.lines)
    cracks, _ = stitch(
        np.concatenate([result.lines for result in results]),
        np.array(places, np.int64).reshape(-1, 2),
        grid=grid,
        min_length_m=params.min_length_m,
        trust=Trust.together([result.trusted() for result in results]),
    )
    return Survey(
        cracks,
        _sum([result.imaged for result in results]),
        sum(result.imaged_m2 for result in results),
    )


def _sum(parts: Sequence[dict[int, float]]) -> dict[int, float]:
    keys = sorted({key for part in parts for key in part})
    return {key: sum(part.get(key, 0.0) for part in parts) for key in keys}


@pytest.mark.parametrize("seed", [3, 4])
def test_cells_of_any_size_find_the_same_cracks(seed: int) -> None:
    mosaic = on_the_ground(random_cracks(1200, cracks=9, seed=seed))
    params = VectorizeParams(min_length_m=0.02)
    whole, large, small = (survey(mosaic, cell_px=size, params=params) for size in (4096, 512, 256))
    for cut in (large, small):
        assert cut.length_px == pytest.approx(whole.length_px, rel=0.001)
        assert len(cut.cracks) == len(whole.cracks)
        assert line_stats(cut.cracks)["area_m2"].sum() == pytest.approx(
            line_stats(whole.cracks)["area_m2"].sum(), rel=0.002
        )
    assert whole.length_px > 3000


def faded(drawn: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    """The picture with cracks that are faint here and there, as networks see them."""
    coarse = np.random.default_rng(seed).uniform(0.3, 1.0, (24, 24)).astype(np.float32)
    height, width = drawn.shape
    strength = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.rint(drawn * strength), np.uint8)


def short_sighted(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A detector to which a window's border is a sight of its own: cracks end before it."""
    return np.pad(red(chip)[24:-24, 24:-24], 24)


@pytest.mark.parametrize("detect", [red, short_sighted])
@pytest.mark.parametrize("seed", [5, 9])
def test_cells_of_any_size_believe_the_same_cracks(seed: int, detect: Detect) -> None:
    mosaic = on_the_ground(faded(random_cracks(1200, cracks=14, seed=seed), seed))
    plain = VectorizeParams(low_threshold=0.35)
    sure = replace(plain, min_length_m=0.06, sure_threshold=0.75)
    road = [(1, box_px(0, 0, 1200, 1200))]
    found = [
        survey(mosaic, cell_px=size, pavements=road, params=sure, detect=detect)
        for size in (4096, 512, 256)
    ]
    assert len({len(one.cracks) for one in found}) == 1
    for cut in found[1:]:
        assert cut.length_px == pytest.approx(found[0].length_px, rel=0.001)
    everything = survey(mosaic, cell_px=512, pavements=road, params=plain)
    assert 0.2 < found[0].length_px / everything.length_px < 0.98


def test_weak_pixels_carry_lines_and_are_no_cracked_area() -> None:
    drawn = np.zeros((256, 256), np.uint8)
    drawn[100:104, 20:100] = 200
    drawn[100:104, 100:106] = 90  # a faint stretch between two clear ones
    drawn[100:104, 106:200] = 200
    params = VectorizeParams(threshold=0.5, low_threshold=0.3)
    road = [(1, box_px(0, 0, 256, 256))]
    found = survey(on_the_ground(drawn), cell_px=256, pavements=road, params=params)
    assert len(found.cracks) == 1
    strong = VectorizeParams(threshold=0.5)
    without = survey(on_the_ground(drawn), cell_px=256, pavements=road, params=strong)
    assert len(without.cracks) == 2
    np.testing.assert_array_equal(params.crack_mask(drawn), strong.crack_mask(drawn))


@pytest.mark.parametrize("offset", [-1, 0, 1])
def test_a_crack_along_the_side_of_cells_is_counted_once(offset: int) -> None:
    drawn = np.zeros((400, 700), np.uint8)
    row = TOP % 256 + offset  # where two rows of cells meet, seen from the picture's top
    drawn[row - 2 : row + 2, 50:650] = 255
    found = survey(on_the_ground(drawn), cell_px=256)
    assert len(found.cracks) == 1
    assert found.length_px == pytest.approx(600, rel=0.002)


def test_pavement_is_counted_by_its_pixels_whatever_the_cells() -> None:
    drawn = random_cracks(700, cracks=6, seed=1)
    # Corners on pixel sides, on pixel centres and anywhere; two share a border.
    pavements: Pavements = [
        (11, box_px(50, 50, 300, 400.5)),
        (12, box_px(300, 50, 555.5, 400.5)),
        (
            13,
            shapely.Polygon(
                [
                    (LEFT * GSD, TOP * GSD - 1.3),
                    (LEFT * GSD + 1, TOP * GSD - 1.1),
                    (LEFT * GSD + 0.7, TOP * GSD - 0.9),
                ]
            ),
        ),
    ]
    one, other = (
        survey(on_the_ground(drawn), cell_px=size, pavements=pavements) for size in (256, 4096)
    )
    assert one.imaged == pytest.approx(other.imaged, rel=1e-6)
    assert set(one.imaged) == {11, 12, 13}
    assert one.imaged[11] == pytest.approx(250 * 350 * PIXEL_M2, rel=0.003)
    assert one.imaged_m2 == pytest.approx(sum(one.imaged.values()))


def test_a_pixel_on_a_common_border_belongs_to_one_segment() -> None:
    drawn = np.zeros((300, 300), np.uint8)
    halves: Pavements = [(1, box_px(50, 50, 150.5, 250)), (2, box_px(150.5, 50, 250, 250))]
    found = survey(on_the_ground(drawn), cell_px=256, pavements=halves)
    assert found.imaged_m2 == pytest.approx(200 * 200 * PIXEL_M2)


def test_cracks_far_from_pavement_are_left_out_and_those_on_it_reach_its_border() -> None:
    drawn = np.zeros((500, 500), np.uint8)
    drawn[100:104, 50:450] = 255  # crosses the pavement
    drawn[300:400, 30:34] = 255  # 66 pixels beside it
    pavement = box_px(100, 0, 200, 500)
    found = survey(on_the_ground(drawn), cell_px=256, pavements=[(5, pavement)])
    (crack,) = found.cracks
    assert crack.intersection(pavement).length / GSD == pytest.approx(100)


def test_the_edge_of_imagery_is_no_crack_and_not_imaged() -> None:
    valid = np.zeros((400, 400), np.bool_)
    valid[60:340, 60:340] = True
    valid[200:204, 60:340] = False

    def edges(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """See a crack wherever the chip has a step in brightness."""
        step = np.abs(np.diff(chip[:, :, 0].astype(int), axis=0, prepend=chip[:1, :, 0]))
        return np.where(step > 20, 255, 0).astype(np.uint8)

    found = survey(
        on_the_ground(np.full((400, 400), 200, np.uint8), valid), cell_px=256, detect=edges
    )
    assert len(found.cracks) == 0
    side = 280 - 2 * EDGE_PX
    assert found.imaged_m2 == pytest.approx(side * (side - 4 - 2 * EDGE_PX) * PIXEL_M2, rel=0.001)


def test_what_was_imaged_of_a_cell_is_outlined() -> None:
    drawn = np.zeros((700, 1000), np.uint8)
    valid = np.ones(drawn.shape, np.bool_)
    valid[:, 500:] = False
    mosaic = on_the_ground(drawn, valid)
    grid = Grid(UTM, GSD, cell_px=256)
    cells = [cell_at(grid, 300 + 256 * at, 350) for at in range(3)]
    whole, part, nothing = (
        survey_cell(
            cell, grid=grid, mosaic=mosaic, pavements=None, detect=red, params=VectorizeParams()
        ).imaged_part
        for cell in cells
    )
    assert whole is None
    assert nothing is not None
    assert nothing.is_empty
    west, south, _, north = grid.bounds(cells[1])
    east = (LEFT + 500 - EDGE_PX) * GSD
    assert part is not None
    assert part.bounds == pytest.approx((west, south, east, north), abs=1e-6)
    assert part.area == pytest.approx((east - west) * grid.cell_m)


def test_a_crack_over_missing_ground_is_two() -> None:
    drawn = np.zeros((200, 600), np.uint8)
    drawn[98:102, 50:550] = 255
    valid = np.ones(drawn.shape, np.bool_)
    valid[:, 290:310] = False
    found = survey(on_the_ground(drawn, valid), cell_px=256)
    assert len(found.cracks) == 2
    assert found.length_px == pytest.approx(500 - 20 - 2 * EDGE_PX, abs=2)


def test_nothing_imaged_or_paved_asks_no_detector() -> None:
    drawn = np.zeros((300, 300), np.uint8)
    grid = Grid(UTM, GSD, cell_px=256)
    cell = cell_at(grid, 150, 150)
    unseen = on_the_ground(drawn, np.zeros(drawn.shape, np.bool_))
    far: Pavements = [(1, box_px(5000, 0, 5100, 100))]
    for mosaic, pavements in ((unseen, None), (on_the_ground(drawn), far)):
        result = survey_cell(
            cell,
            grid=grid,
            mosaic=mosaic,
            pavements=pavements,
            detect=never,
            params=VectorizeParams(),
        )
        assert len(result.lines) == 0
        assert result.imaged_m2 == 0
        assert result.imaged == {}
        assert set(result.seconds) == {"read", "detect", "vectorize"}


@pytest.mark.parametrize("seed", range(4))
def test_a_network_is_shown_what_reaches_pixels_that_count_and_no_more(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With imagery that ends within the reach of what counts, too; the outcome is that of the window."""
    rng = np.random.default_rng(seed)
    drawn = random_cracks(2000, cracks=80, seed=seed)
    valid = np.ones(drawn.shape, np.bool_)
    valid[:, : int(rng.integers(200, 700))] = False
    valid[int(rng.integers(400, 1600)) :, int(rng.integers(800, 1900)) :] = False
    grid = Grid(UTM, GSD, cell_px=1024, halo_px=64)
    cell = cell_at(grid, 1000, 1000)
    window = grid.window(cell)
    # What counts begins 40 pixels after a multiple of 256, so that no rounding hides a margin too small.
    left = round(window.left / GSD) - LEFT + 24 + 40 + 256 * int(rng.integers(1, 3))
    top = TOP - round(window.top / GSD) + 24 + 40 + 256 * int(rng.integers(1, 3))
    pavements = [(7, box_px(left, top, left + 300, top + 500))]
    shown: list[tuple[int, ...]] = []

    def far_sighted(chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
        shown.append(chip.shape[:2])
        seen = np.pad(chip[:, :, 0], grid.halo_px)
        return np.maximum(seen[:-128, :-128], seen[128:, 128:])

    def found() -> CellResult:
        return survey_cell(
            cell,
            grid=grid,
            mosaic=on_the_ground(drawn, valid),
            pavements=pavements,
            detect=far_sighted,
            params=VectorizeParams(min_length_m=0.02),
        )

    part = found()
    monkeypatch.setattr(
        "pavemap.geo.survey_cell.around", lambda wanted, _: tuple(map(slice, [0, 0], wanted.shape))
    )
    whole = found()
    assert len(part.lines) > 0
    assert shapely.to_wkb(part.lines).tolist() == shapely.to_wkb(whole.lines).tolist()
    assert (part.imaged, part.imaged_m2) == (whole.imaged, whole.imaged_m2)
    assert max(shown[0]) < 1152 == max(shown[1])
    assert {size % 32 for size in shown[0]} == {0}


def test_lines_lie_in_the_cell_with_widths_in_true_millimetres() -> None:
    drawn = np.zeros((600, 600), np.uint8)
    drawn[:, 298:303] = 255
    grid = Grid(UTM, GSD, cell_px=256)
    cell = cell_at(grid, 300, 300)
    result = survey_cell(
        cell,
        grid=grid,
        mosaic=on_the_ground(drawn),
        pavements=None,
        detect=red,
        params=VectorizeParams(),
    )
    (crack,) = result.lines
    assert grid.box(cell).buffer(1e-9).covers(crack)
    assert crack.length == pytest.approx(grid.cell_m)
    assert crack.coords[0][2] == pytest.approx(5 * GSD / SCALE * 1000)


def test_missing_pixels_take_the_colour_of_the_nearest() -> None:
    pixels = np.zeros((5, 9, 3), np.uint8)
    pixels[:, 0], pixels[:, 8] = (10, 20, 30), (90, 80, 70)
    valid = np.zeros((5, 9), np.bool_)
    valid[:, [0, 8]] = True
    shown = filled(Chip(pixels, valid))
    assert (shown[:, :4] == (10, 20, 30)).all()
    assert (shown[:, 5:] == (90, 80, 70)).all()
    assert (filled(Chip(pixels, np.zeros_like(valid))) == 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_fill_is_the_same_in_any_window_that_knows_the_nearest_pixel(seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 255, (200, 200, 3), np.uint8)
    valid = random.random((200, 200)) < 0.02
    valid[::13, ::13] = True  # the nearest is never more than 10 pixels away
    whole = filled(Chip(pixels, valid))
    part = filled(Chip(pixels[40:160, 30:150], valid[40:160, 30:150]))
    assert (part[20:-20, 20:-20] == whole[60:140, 50:130]).all()


def test_belief_ends_some_pixels_before_imagery_but_not_at_the_window() -> None:
    valid = np.ones((40, 40), np.bool_)
    valid[20, 20] = False
    believed = imaged_mask(valid)
    assert believed[:, : 20 - EDGE_PX].all()
    assert not believed[20, 20 - EDGE_PX : 21 + EDGE_PX].any()
    assert believed[0, 0]
