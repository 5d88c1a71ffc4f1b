"""Label masks, drawn by hand: which pixel is crack ('#'), sound ('.') or not known ('?')."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.features import rasterize
from scipy import ndimage

from drawn_cracks import MemoryMosaic
from pavemap.geo.crs import ground_scale
from pavemap.geo.grid import Grid, Window
from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND, GroundLabels, Layer
from pavemap.geo.labels.labelled_chips import chip_grid, cut_chips
from pavemap.geo.lines.line_digest import area_digests, line_digests

UTM = CRS.from_epsg(32633)
LEFT, TOP, GSD = 500_000.0, 5_500_000.0, 0.01
SCALE = ground_scale(UTM, LEFT, TOP)
PX_MM = 1000.0 * GSD / SCALE
"""True millimetres across a pixel."""


def window(width: int, height: int) -> Window:
    return Window(UTM, LEFT, TOP, GSD, width, height)


def line(*points: tuple[float, float], px: float | tuple[float, ...]) -> shapely.LineString:
    """A line through (column, row) positions of the window, so many pixels wide at each of them."""
    widths = px if isinstance(px, tuple) else (px,) * len(points)
    return shapely.LineString(
        [
            (LEFT + column * GSD, TOP - row * GSD, width * PX_MM)
            for (column, row), width in zip(points, widths, strict=True)
        ]
    )


def layer(*shapes: shapely.Geometry) -> Layer:
    return Layer(np.array(shapes, dtype=object))


def box(left: float, top: float, right: float, bottom: float) -> shapely.Polygon:
    return shapely.box(LEFT + left * GSD, TOP - bottom * GSD, LEFT + right * GSD, TOP - top * GSD)


def drawing(mask: NDArray[np.uint8]) -> list[str]:
    marks = {CRACK: "#", SOUND: ".", IGNORE: "?"}
    return ["".join(marks[int(value)] for value in row) for row in mask]


def everywhere(width: int, height: int) -> Layer:
    return layer(window(width, height).box())


def test_a_line_is_as_wide_as_it_says_with_round_ends() -> None:
    labels = GroundLabels(everywhere(12, 6), drawn=layer(line((3, 3), (9, 3), px=4)))
    assert drawing(labels.mask(window(12, 6))) == [
        "............",
        "..########..",
        ".##########.",
        ".##########.",
        "..########..",
        "............",
    ]


def test_a_line_widens_evenly_from_vertex_to_vertex() -> None:
    labels = GroundLabels(everywhere(12, 8), drawn=layer(line((0, 4), (12, 4), px=(2, 8))))
    rows = (labels.mask(window(12, 8)) == CRACK).sum(axis=0)
    # At column centre x the line is 2 + x / 2 pixels wide; pixels come in pairs around row 4.
    assert rows.tolist() == [2, 2, 4, 4, 4, 4, 6, 6, 6, 6, 8, 8]


def test_a_line_too_thin_for_a_pixel_is_a_pixel_wide() -> None:
    labels = GroundLabels(everywhere(6, 4), drawn=layer(line((1.5, 0.5), (4.5, 3.5), px=0.1)))
    assert drawing(labels.mask(window(6, 4))) == [
        ".#....",
        "..#...",
        "...#..",
        "....#.",
    ]


@given(st.floats(0, 40), st.floats(0, 40), st.floats(0, 40), st.floats(0, 40), st.floats(0.0, 1.0))
def test_the_thinnest_line_hangs_together(
    x0: float, y0: float, x1: float, y1: float, px: float
) -> None:
    if np.hypot(x1 - x0, y1 - y0) < 1.0:
        return
    labels = GroundLabels(everywhere(40, 40), drawn=layer(line((x0, y0), (x1, y1), px=px)))
    mask = labels.mask(window(40, 40)) == CRACK
    _, parts = ndimage.label(mask, structure=np.ones((3, 3)))
    assert parts <= 1


def test_who_wins_where_labels_meet() -> None:
    across = line((0, 2.5), (20, 2.5), px=1)
    labels = GroundLabels(
        everywhere(20, 5),
        drawn=layer(line((1.5, 0), (1.5, 5), px=1)),
        confirmed=layer(line((5.5, 0), (5.5, 5), px=1)),
        unjudged=layer(line((13.5, 0), (13.5, 5), px=1)),
        rejected=layer(across),
    )
    # A rim of 2 pixels is not known around what nobody judged.
    assert drawing(labels.mask(window(20, 5))) == [
        ".#...#.....?????....",
        ".#...#.....?????....",
        ".#...?..............",
        ".#...#.....?????....",
        ".#...#.....?????....",
    ]


def test_nothing_is_known_outside_areas() -> None:
    labels = GroundLabels(layer(box(2, 1, 6, 4)), drawn=layer(line((0, 2.5), (8, 2.5), px=1)))
    assert drawing(labels.mask(window(8, 4))) == [
        "????????",
        "??....??",
        "??####??",
        "??....??",
    ]


def test_polygons_are_labels_too() -> None:
    labels = GroundLabels(everywhere(6, 4), drawn=layer(box(1, 1, 3, 3)), unjudged=layer())
    assert drawing(labels.mask(window(6, 4))) == ["......", ".##...", ".##...", "......"]


def test_a_polygon_too_thin_for_a_pixel_is_a_pixel_wide_but_an_area_is_not() -> None:
    thin = layer(box(1, 1.6, 5, 1.9))
    labels = GroundLabels(everywhere(6, 4), drawn=thin)
    assert drawing(labels.mask(window(6, 4))) == ["......", ".####.", "......", "......"]
    assert (GroundLabels(thin).mask(window(6, 4)) == IGNORE).all()


def test_a_thin_polygon_round_a_hole_is_drawn_on_both_sides_but_not_between_them() -> None:
    ring = box(1.2, 1.2, 6.8, 5.8).difference(box(1.4, 1.4, 6.6, 5.6))
    labels = GroundLabels(everywhere(8, 7), drawn=layer(ring))
    assert drawing(labels.mask(window(8, 7))) == [
        "........",
        ".######.",
        ".#....#.",
        ".#....#.",
        ".#....#.",
        ".######.",
        "........",
    ]


def test_widths_are_true_millimetres_whatever_the_scale_of_the_plane() -> None:
    """Web mercator at 60 degrees north: two of its metres are one of ground."""
    mercator = CRS.from_epsg(3857)
    top = 8_399_737.89
    assert ground_scale(mercator, 0.0, top) == pytest.approx(2.0, rel=0.01)
    area = shapely.box(0.0, top - 1.0, 1.0, top)
    crack = shapely.LineString([(-1.0, top - 0.5, 50.0), (2.0, top - 0.5, 50.0)])
    mask = GroundLabels(layer(area), drawn=layer(crack)).mask(
        Window(mercator, 0.0, top, 0.01, 100, 100)
    )
    assert (mask == CRACK).sum(axis=0).tolist() == [10] * 100  # 50 mm of ground in 5 mm pixels


def test_a_mask_does_not_depend_on_the_window_it_is_drawn_in() -> None:
    rng = np.random.default_rng(0)
    cracks = [line(*rng.uniform(0, 128, (5, 2)), px=tuple(rng.uniform(0, 6, 5))) for _ in range(8)]
    slivers = [shapely.force_2d(each).buffer(0.2 * GSD) for each in cracks[:2]]
    labels = GroundLabels(
        layer(box(7.3, 3.1, 110.7, 90.2)),
        drawn=layer(*cracks[2:3], *slivers),
        rejected=layer(*cracks[3:5]),
        unjudged=layer(*cracks[5:]),
    )
    whole = labels.mask(window(128, 128))
    for left in (0, 64):
        for top in (0, 64):
            part = Window(UTM, LEFT + left * GSD, TOP - top * GSD, GSD, 64, 64)
            assert np.array_equal(labels.mask(part), whole[top : top + 64, left : left + 64])


def test_chips_lie_on_the_worlds_grid_and_only_where_something_is_known() -> None:
    """Of an area of 100 x 40 pixels, imagery covers the right part; chips are 64 pixels wide."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(1, 255, (128, 256, 3), dtype=np.uint8)
    valid = np.ones((128, 256), np.bool_)
    valid[:, :70] = False
    left, top = round(LEFT / GSD), round(TOP / GSD)
    mosaic = MemoryMosaic(pixels, valid, left=left, top=top)
    grid = chip_grid(Grid(UTM, GSD), chip_px=64)
    assert left % 64 == top % 64 == 0
    labels = GroundLabels(layer(box(20, 20, 120, 60)), drawn=layer(line((60, 40), (90, 40), px=2)))

    (chip,) = cut_chips(labels, grid=grid, mosaic=mosaic)

    assert (chip.window.left, chip.window.top) == (LEFT + 64 * GSD, TOP)
    assert chip.name == f"{left // 64 + 1}_{top // 64 - 1}"
    assert np.array_equal(chip.pixels[:, 6:], pixels[:64, 70:128])
    assert np.array_equal(chip.pixels[:, 0], pixels[:64, 70])  # as the network sees it
    known = np.argwhere(chip.mask != IGNORE)
    # 4 pixels beside missing imagery are not believed, as in a survey.
    assert known.min(axis=0).tolist() == [20, 10]
    assert known.max(axis=0).tolist() == [59, 55]
    assert np.argwhere(chip.mask == CRACK).max(axis=0).tolist() == [40, 90 - 64]
    assert sum(chip.counts().values()) == 64 * 64


def test_a_chip_is_painted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four chips that all are imaged, of one area and one line, so two layers each."""
    painted = 0

    def counted(*shapes: Any, **options: Any) -> Any:
        nonlocal painted
        painted += 1
        return rasterize(*shapes, **options)

    monkeypatch.setattr("pavemap.geo.labels.ground_labels.rasterize", counted)
    pixels, valid = np.full((128, 128, 3), 9, np.uint8), np.ones((128, 128), np.bool_)
    mosaic = MemoryMosaic(pixels, valid, left=round(LEFT / GSD), top=round(TOP / GSD))
    labels = GroundLabels(everywhere(128, 128), drawn=layer(line((0, 0), (128, 128), px=90)))
    chips = list(cut_chips(labels, grid=chip_grid(Grid(UTM, GSD), chip_px=64), mosaic=mosaic))
    assert (len(chips), painted) == (4, 2 * 4)


def test_a_line_is_the_same_turned_round_and_rounded_but_not_moved() -> None:
    points = np.array([[14.123456789123, 50.2, 3.0], [14.2, 50.1234567893, 4.0], [14.3, 50.3, 5.0]])
    rounded = np.round(points[::-1, :2], 9)
    moved = points + [0.0, 2e-9, 0.0]
    lines = [shapely.LineString(each) for each in (points, rounded, moved)]
    first, second, third = line_digests(np.array(lines, dtype=object))
    assert first == second != third
    assert line_digests(np.empty(0, object)) == []


def test_an_area_is_the_same_from_whichever_corner_it_is_told() -> None:
    ring = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    areas = [shapely.Polygon(ring), shapely.Polygon(np.roll(ring, 1, axis=0)[::-1])]
    first, second = area_digests(np.array(areas, dtype=object))
    assert first == second
