"""The mosaic: the ground decides what is read, not how it was cut, turned, stored or ordered."""

from __future__ import annotations

import pickle
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from pavemap.geo.errors import BadInput, DamagedRaster, Unavailable
from pavemap.geo.grid import Window
from pavemap.geo.imagery import mosaic as module
from pavemap.geo.imagery.cog import to_cog
from pavemap.geo.imagery.mosaic import Chip, Mosaic
from pavemap.geo.imagery.orthophoto import Orthophoto, common_stretch, too_coarse
from pavemap.geo.imagery.raster import inspect
from rasters import GSD, LEFT, NORTH_UP, TOP, UTM, texture, window_of, write

HEIGHT, WIDTH = 700, 900
GROUND = texture(HEIGHT, WIDTH)

Image = NDArray[np.uint8]


def at(transform: Affine, left: int, top: int) -> Affine:
    return transform @ Affine.translation(left, top)


def ground(folder: Path, image: NDArray[Any] = GROUND, **options: Any) -> Orthophoto:
    return inspect(write(folder / "whole.tif", image, **options))


def cut(
    folder: Path, columns: Sequence[int], rows: Sequence[int], *, transform: Affine = NORTH_UP
) -> list[Orthophoto]:
    """Cut the ground at these pixel columns and rows."""
    folder.mkdir()
    tiles = []
    for top, bottom in zip([0, *rows], [*rows, HEIGHT], strict=True):
        for left, right in zip([0, *columns], [*columns, WIDTH], strict=True):
            path = folder / f"tile_{top}_{left}.tif"
            image = GROUND[top:bottom, left:right]
            tiles.append(inspect(write(path, image, transform=at(transform, left, top))))
    return tiles


def smooth(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brightness of an analytic ground, x and y in metres from the corner; waves of 0.5 m and more."""
    return np.asarray(128 + 60 * np.sin(2 * np.pi * x / 0.61) + 50 * np.cos(2 * np.pi * y / 0.53))


def smooth_image(transform: Affine, height: int, width: int, to_utm: Transformer | None) -> Image:
    """Sample the analytic ground at the pixel centres of any grid."""
    column, row = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x = transform.a * column + transform.b * row + transform.c
    y = transform.d * column + transform.e * row + transform.f
    if to_utm is not None:
        x, y = to_utm.transform(x, y)
    grey = np.rint(smooth(x - LEFT, y - TOP)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def expected(window: Window) -> NDArray[np.float64]:
    """The analytic ground as a window should show it: the mean over each pixel."""
    gsd = window.gsd_m
    x = window.left + (np.arange(window.width) + 0.5) * gsd - LEFT
    y = window.top - (np.arange(window.height) + 0.5) * gsd - TOP
    fade_x, fade_y = np.sinc(gsd / 0.61), np.sinc(gsd / 0.53)
    waves_x = 60 * fade_x * np.sin(2 * np.pi * x / 0.61)
    waves_y = 50 * fade_y * np.cos(2 * np.pi * y / 0.53)
    return np.asarray(128 + waves_x[None, :] + waves_y[:, None])


def differs(one: Chip, other: Chip) -> int:
    """The largest difference in grey levels; the valid parts must be the same."""
    np.testing.assert_array_equal(one.valid, other.valid)
    return int(np.abs(one.pixels.astype(int) - other.pixels).max())


# --- plain reading ----------------------------------------------------------------------------------


def test_on_its_own_grid_a_tile_is_read_as_it_is(tmp_path: Path) -> None:
    chip = Mosaic([ground(tmp_path)], UTM).read(window_of(GROUND))
    np.testing.assert_array_equal(chip.pixels, GROUND)
    assert chip.valid.all()


@pytest.mark.parametrize(
    "other",
    [
        {"image": GROUND[1:]},
        {"image": GROUND[..., :1]},
        {"transform": NORTH_UP @ Affine.translation(0, -HEIGHT)},
    ],
    ids=["size", "bands", "place"],
)
def test_another_raster_in_the_place_of_a_file_is_not_shown_for_it(
    tmp_path: Path, other: dict[str, Any]
) -> None:
    """A restored bucket may have it so: what is read there would be laid where the first one was."""
    mosaic = Mosaic([ground(tmp_path)], UTM)
    ground(tmp_path, **other)
    for _ in range(2):
        with pytest.raises(DamagedRaster, match=r"^whole\.tif is not .* under its name; upload it"):
            mosaic.read(window_of(GROUND))
    ground(tmp_path)
    np.testing.assert_array_equal(mosaic.read(window_of(GROUND)).pixels, GROUND)


def test_around_a_tile_nothing_is_valid(tmp_path: Path) -> None:
    wide = Window(UTM, LEFT - 10 * GSD, TOP + 20 * GSD, GSD, WIDTH + 30, HEIGHT + 40)
    chip = Mosaic([ground(tmp_path)], UTM).read(wide)
    shown = np.zeros((HEIGHT + 40, WIDTH + 30), bool)
    shown[20 : 20 + HEIGHT, 10 : 10 + WIDTH] = True
    np.testing.assert_array_equal(chip.valid, shown)
    np.testing.assert_array_equal(chip.pixels[20 : 20 + HEIGHT, 10 : 10 + WIDTH], GROUND)
    assert not chip.pixels[~shown].any()


def test_without_imagery_nothing_is_valid(tmp_path: Path) -> None:
    far = Window(UTM, LEFT + 1000, TOP, GSD, 64, 32)
    for photos in ([], [ground(tmp_path)]):
        chip = Mosaic(photos, UTM).read(far)
        assert chip.pixels.shape == (32, 64, 3)
        assert not chip.valid.any()


def test_gray_becomes_three_equal_bands(tmp_path: Path) -> None:
    chip = Mosaic([ground(tmp_path, GROUND[..., :1])], UTM).read(window_of(GROUND))
    np.testing.assert_array_equal(chip.pixels, np.repeat(GROUND[..., :1], 3, axis=2))


def test_16_bit_is_stretched_the_same_in_every_window(tmp_path: Path) -> None:
    photo = ground(tmp_path, GROUND.astype(np.uint16) * 100 + 5000)
    ends = common_stretch([photo])
    assert ends is not None
    low, high = ends
    whole = Mosaic([photo], UTM).read(window_of(GROUND))
    wanted = np.clip((GROUND * 100.0 + 5000 - low) * 255 / (high - low), 0, 255)
    assert np.abs(whole.pixels - wanted).max() <= 0.51
    part = Window(UTM, LEFT + 100 * GSD, TOP - 50 * GSD, GSD, 60, 70)
    np.testing.assert_array_equal(
        Mosaic([photo], UTM).read(part).pixels, whole.pixels[50:120, 100:160]
    )


def test_another_crs_than_the_mosaics_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the mosaic in WGS 84 / UTM zone 33N"):
        Mosaic([], UTM).read(window_of(GROUND, crs=CRS.from_epsg(32632)))


def test_16_bit_looks_the_same_however_it_is_cut_into_files(tmp_path: Path) -> None:
    """Paint in one file must not darken the road in it, and not that in the next."""
    image = GROUND.astype(np.uint16) * 100 + 9000
    image[:, :60] = 50_000
    whole = Mosaic([ground(tmp_path, image)], UTM).read(window_of(image))
    halves = []
    for name, left, right in (("a", 0, WIDTH // 2), ("b", WIDTH // 2, WIDTH)):
        place = NORTH_UP @ Affine.translation(left, 0)
        halves.append(
            inspect(write(tmp_path / f"{name}.tif", image[:, left:right], transform=place))
        )
    assert halves[0].stretch != halves[1].stretch
    together = Mosaic(halves, UTM).read(window_of(image))
    np.testing.assert_array_equal(together.pixels, whole.pixels)
    alone = Mosaic(halves[1:], UTM, stretch=common_stretch(halves)).read(window_of(image))
    np.testing.assert_array_equal(alone.pixels[alone.valid], whole.pixels[alone.valid])


@pytest.mark.parametrize("bands", [1, 3])
def test_16_bit_looks_the_same_beside_a_tile_without_imagery(tmp_path: Path, bands: int) -> None:
    image = (texture(HEIGHT, WIDTH, bands=bands).astype(np.uint16) * 20) + 500
    road = ground(tmp_path, image, nodata=0)
    beside = NORTH_UP @ Affine.translation(WIDTH, 0)
    empty = inspect(write(tmp_path / "e.tif", image * 0, transform=beside, nodata=0))
    assert common_stretch([road, empty]) == common_stretch([road])
    wide = Window(UTM, LEFT, TOP, GSD, WIDTH + 200, HEIGHT)
    alone, both = (Mosaic(photos, UTM).read(wide) for photos in ([road], [road, empty]))
    np.testing.assert_array_equal(both.pixels, alone.pixels)
    np.testing.assert_array_equal(both.valid, alone.valid)


def test_16_bit_whose_stretch_is_unknown_is_read_like_the_rest(tmp_path: Path) -> None:
    """Of a corridor that no sample hits: other files of the survey say how bright it is."""
    image = GROUND.astype(np.uint16) * 20 + 500
    road = ground(tmp_path, image)
    known = Mosaic([road], UTM).read(window_of(image))
    unknown = replace(road, stretch=None)
    read = Mosaic([unknown], UTM, stretch=common_stretch([road])).read(window_of(image))
    np.testing.assert_array_equal(read.pixels, known.pixels)
    alone = Mosaic([unknown], UTM).read(window_of(image))
    assert np.abs(alone.pixels - image / 65536 * 255).max() <= 0.51


@pytest.mark.parametrize(
    ("stretches", "common"),
    [
        ([], None),
        ([None, None], None),
        ([(18_200.0, 50_000.0)], (16_640.0, 53_248.0)),
        ([(18_000.0, 35_200.0), None, (18_400.0, 50_000.0)], (16_640.0, 53_248.0)),
        ([(0.0, 4095.0)], (0.0, 4096.0)),
        ([(7.0, 8.0)], (7.0, 8.0)),
        ([(0.0, 0.0)], (0.0, 1.0)),
    ],
)
def test_what_stretches_have_in_common(
    tmp_path: Path,
    stretches: list[tuple[float, float] | None],
    common: tuple[float, float] | None,
) -> None:
    photo = ground(tmp_path)
    photos = [replace(photo, stretch=None if one is None else (one,)) for one in stretches]
    assert common_stretch(photos) == common


# --- validity ---------------------------------------------------------------------------------------


def striped() -> NDArray[np.bool_]:
    """Imagery but for a broad area, a thin line and a speck."""
    seen = np.ones((HEIGHT, WIDTH), bool)
    seen[:, 600:] = False
    seen[300, :500] = False
    seen[100:102, 200] = False
    return seen


def trimmed() -> NDArray[np.bool_]:
    """The same without the two pixels beside the broad area, where colours are often blended."""
    seen = striped()
    seen[:, 598:] = False
    return seen


def broad() -> NDArray[np.bool_]:
    """Without the broad area and its rim alone: a value may be that of no-data by chance."""
    seen = np.ones((HEIGHT, WIDTH), bool)
    seen[:, 598:] = False
    return seen


def with_nodata(path: Path) -> Path:
    return write(path, np.where(striped()[..., None], GROUND, 0), nodata=0)


def with_white_nodata_16_bit(path: Path) -> Path:
    image = np.where(striped()[..., None], GROUND.astype(np.uint16) * 200, 65535)
    return write(path, image, nodata=65535)


def with_mask(path: Path) -> Path:
    return write(path, GROUND, mask=striped())


def with_alpha(path: Path) -> Path:
    alpha = np.where(striped(), 255, 0).astype(np.uint8)
    return write(path, np.dstack([GROUND, alpha]), ALPHA="YES", photometric="rgb")


@pytest.mark.parametrize("as_cog", [False, True], ids=["as sent", "as cog"])
@pytest.mark.parametrize("make", [with_nodata, with_white_nodata_16_bit, with_mask, with_alpha])
def test_what_a_file_marks_as_no_data_is_not_valid(
    tmp_path: Path, make: Callable[[Path], Path], as_cog: bool
) -> None:
    path = make(tmp_path / "a.tif")
    if as_cog:
        to_cog(path, tmp_path / "cog.tif")
        path = tmp_path / "cog.tif"
    chip = Mosaic([inspect(path)], UTM).read(window_of(GROUND))
    by_value = make in {with_nodata, with_white_nodata_16_bit}
    np.testing.assert_array_equal(chip.valid, broad() if by_value else trimmed())
    assert not chip.pixels[~chip.valid].any()


@pytest.mark.parametrize("as_cog", [False, True], ids=["as sent", "as cog"])
@pytest.mark.parametrize("marker", ["alpha", "mask"])
def test_a_no_data_value_counts_beside_alpha_or_a_mask(
    tmp_path: Path, marker: str, as_cog: bool
) -> None:
    """The left is empty by value, the right by the marker; a thin black line is a crack."""
    image, marked, seen = GROUND.copy(), np.ones((HEIGHT, WIDTH), bool), broad()
    image[:, :300] = image[400, 300:500] = 0
    marked[:, 600:] = False
    seen[:, :302] = False
    path = tmp_path / "a.tif"
    if marker == "alpha":
        alpha = np.where(marked, 255, 0).astype(np.uint8)
        write(path, np.dstack([image, alpha]), ALPHA="YES", photometric="rgb", nodata=0)
    else:
        write(path, image, mask=marked, nodata=0)
    if as_cog:
        to_cog(path, tmp_path / "cog.tif")
        path = tmp_path / "cog.tif"
    photo = inspect(path)
    assert photo.mask_kind == marker
    assert photo.empty_border is None
    chip = Mosaic([photo], UTM).read(window_of(image))
    np.testing.assert_array_equal(chip.valid, seen)


def test_cracks_as_black_as_no_data_are_imagery(tmp_path: Path) -> None:
    image = np.where(striped()[..., None], GROUND, 0).astype(np.uint8)
    chip = Mosaic([inspect(with_nodata(tmp_path / "a.tif"))], UTM).read(window_of(GROUND))
    np.testing.assert_array_equal(chip.pixels[chip.valid], image[chip.valid])
    assert not chip.pixels[300, :500].any()


@pytest.mark.parametrize("width_px", [1, 2, 4, 9])
def test_a_strip_of_no_data_along_the_frame_is_none_however_narrow(
    tmp_path: Path, width_px: int
) -> None:
    image = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    image[:width_px] = image[:, -width_px:] = 0
    seen = np.zeros((HEIGHT, WIDTH), bool)
    seen[width_px + 2 :, : -width_px - 2] = True
    chip = Mosaic([ground(tmp_path, image, nodata=0)], UTM).read(window_of(image))
    np.testing.assert_array_equal(chip.valid, seen)


def test_one_black_band_is_not_no_data(tmp_path: Path) -> None:
    image = GROUND.copy()
    image[..., 1] = 0
    assert Mosaic([ground(tmp_path, image, nodata=0)], UTM).read(window_of(image)).valid.all()


def test_what_is_half_transparent_was_seen(tmp_path: Path) -> None:
    image = np.dstack([GROUND, np.full((HEIGHT, WIDTH), 7, np.uint8)])
    photo = ground(tmp_path, image, ALPHA="YES", photometric="rgb")
    assert Mosaic([photo], UTM).read(window_of(image)).valid.all()


@pytest.mark.parametrize("gsd", [0.004, 0.01, 0.023])
def test_no_data_does_not_bleed_into_the_picture(tmp_path: Path, gsd: float) -> None:
    image = np.full((HEIGHT, WIDTH, 3), 200, np.uint8)
    image[:, 600:] = 0
    image[300, :500] = 0
    seen = image[..., 0] > 0
    chip = Mosaic([ground(tmp_path, image, mask=seen)], UTM).read(
        Window(UTM, LEFT + 0.0037, TOP - 0.0021, gsd, int(8.9 / gsd), int(6.9 / gsd))
    )
    assert (chip.pixels[chip.valid] == 200).all()
    assert chip.valid.any(1).all()


def test_a_dark_rim_at_a_no_data_edge_is_not_laid_over_another_tile(tmp_path: Path) -> None:
    """As a rotated tile has it whose edge was blended with the black around it."""
    rimmed = np.full((HEIGHT, WIDTH, 3), 150, np.uint8)
    rimmed[:, 450:] = 0
    rimmed[:, 449] = 30
    front = inspect(write(tmp_path / "a.tif", rimmed, nodata=0))
    back = inspect(write(tmp_path / "b.tif", np.full((HEIGHT, WIDTH, 3), 160, np.uint8)))
    chip = Mosaic([front, back], UTM).read(window_of(rimmed))
    assert chip.valid.all()
    assert chip.pixels.min() == 150


# --- resampling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("gsd", [0.0034, 0.0077, 0.01, 0.0117, 0.02, 0.0311, 0.08])
@pytest.mark.parametrize(
    "turn",
    [
        Affine.identity(),
        Affine.translation(0.3, 0.7),
        Affine.rotation(27),
        Affine.scale(1, -1),
        Affine.scale(1.7, 0.6),
    ],
    ids=["north-up", "shifted", "rotated", "south-up", "oblong"],
)
def test_any_grid_shows_the_analytic_ground(tmp_path: Path, turn: Affine, gsd: float) -> None:
    transform = NORTH_UP @ turn
    image = smooth_image(transform, HEIGHT, WIDTH, None)
    photo = ground(tmp_path, image, transform=transform)
    middle = photo.outline(UTM).centroid
    side = int(1.5 / gsd)
    window = Window(UTM, middle.x - 0.75, middle.y + 0.75, gsd, side, side)
    chip = Mosaic([photo], UTM).read(window)
    assert chip.valid.all()
    # half a level from rounding in the file, half in the chip, 1 to 2 from the bilinear kernel
    assert np.abs(chip.pixels[..., 0] - expected(window)).max() < 2.5
    assert abs((chip.pixels[..., 0] - expected(window)).mean()) < 0.1


@pytest.mark.parametrize("epsg", [4326, 3857, 32632, 25833, 2180, 3034])
def test_any_crs_shows_the_same_ground(tmp_path: Path, epsg: int) -> None:
    crs = CRS.from_epsg(epsg)
    forth = Transformer.from_crs(UTM, crs, always_xy=True)
    back = Transformer.from_crs(crs, UTM, always_xy=True)
    (x0, x1, x2), (y0, y1, y2) = forth.transform([LEFT, LEFT + 8, LEFT], [TOP, TOP, TOP - 6])
    transform = Affine(
        (x1 - x0) / 800, (x2 - x0) / 600, x0, (y1 - y0) / 800, (y2 - y0) / 600, y0
    ) @ Affine.rotation(3)
    photo = ground(tmp_path, smooth_image(transform, 600, 800, back), crs=crs, transform=transform)
    assert photo.gsd_m == pytest.approx(0.01, rel=2e-3)
    middle = photo.outline(UTM).centroid
    for gsd in (0.006, 0.0101, 0.027):
        side = int(2 / gsd)
        window = Window(UTM, middle.x - 1, middle.y + 1, gsd, side, side)
        chip = Mosaic([photo], UTM).read(window)
        assert chip.valid.all()
        assert np.abs(chip.pixels[..., 0] - expected(window)).max() < 2.5


@pytest.mark.parametrize("zone", [32760, 32701])
@pytest.mark.parametrize("west", [180.0 - 400e-7, -180.0 - 400e-7])
def test_imagery_across_the_180th_meridian_reads_like_its_two_halves(
    tmp_path: Path, west: float, zone: int
) -> None:
    """One file from 179.99996 to 180.00004 degrees; cut there, the east half begins at -180."""
    utm, degrees = CRS.from_epsg(zone), CRS.from_epsg(4326)
    image = texture(300, 800)

    def file(name: str, pixels: Image, left: float) -> Orthophoto:
        transform = Affine(1e-7, 0.0, left, 0.0, -1e-7, -16.8)
        return inspect(write(tmp_path / name, pixels, crs=degrees, transform=transform))

    whole = file("whole.tif", image, west)
    halves = [file("w.tif", image[:, :400], 180.0 - 400e-7), file("e.tif", image[:, 400:], -180.0)]
    middle = whole.outline(utm).centroid
    window = Window(utm, middle.x - 3.5, middle.y + 1.2, GSD, 700, 240)
    chip = Mosaic([whole], utm).read(window)
    assert chip.valid.all()
    assert differs(chip, Mosaic(halves, utm).read(window)) <= 2


@pytest.mark.parametrize("epsg", [4326, 4807])  # degrees; grads from Paris
def test_longitudes_may_count_from_0_to_a_full_turn(tmp_path: Path, epsg: int) -> None:
    crs = CRS.from_epsg(epsg)
    turn = 360.0 if epsg == 4326 else 400.0
    west, north = -170.0 / 360.0 * turn, 10.0 / 360.0 * turn
    image = texture(300, 400)

    def read(left: float) -> Chip:
        transform = Affine(1e-7, 0.0, left, 0.0, -1e-7, north)
        path = write(tmp_path / f"{left:.0f}.tif", image, crs=crs, transform=transform)
        photo = inspect(path)
        middle = photo.outline(utm).centroid
        return Mosaic([photo], utm).read(Window(utm, middle.x - 1, middle.y + 1, GSD, 200, 200))

    utm = CRS.from_epsg(32602)
    chip = read(west + turn)
    assert chip.valid.all()
    assert differs(chip, read(west)) <= 1


def test_fine_lines_keep_their_share_when_read_coarser(tmp_path: Path) -> None:
    """A black line of one pixel in four must darken a four times coarser picture by a quarter."""
    image = np.full((400, 400, 3), 200, np.uint8)
    image[:, 2::4] = 0
    chip = Mosaic([ground(tmp_path, image)], UTM).read(
        Window(UTM, LEFT + 4 * GSD, TOP - 4 * GSD, 4 * GSD, 98, 98)
    )
    assert (chip.pixels == 150).all()


def test_absurdly_fine_imagery_is_refused(tmp_path: Path) -> None:
    mosaic = Mosaic([ground(tmp_path)], UTM)
    with pytest.raises(BadInput, match="64 times finer"):
        mosaic.read(Window(UTM, LEFT, TOP, 0.65, 32, 32))


# --- tiles ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gsd", [0.0083, 0.01, 0.0112, 0.02, 0.037])
@pytest.mark.parametrize("turn", [0.0, 19.0], ids=["north-up", "rotated"])
def test_a_cut_image_reads_like_the_uncut_one(tmp_path: Path, gsd: float, turn: float) -> None:
    transform = NORTH_UP @ Affine.rotation(turn)
    photo = ground(tmp_path, transform=transform)
    left, bottom, right, top = photo.outline(UTM).bounds
    window = Window(
        UTM,
        left - 0.3,
        top + 0.3,
        gsd,
        int((right - left + 0.6) / gsd),
        int((top - bottom + 0.6) / gsd),
    )
    whole = Mosaic([photo], UTM).read(window)
    tiles = cut(tmp_path / "tiles", [311, 312, 640], [255, 509], transform=transform)
    random.Random(0).shuffle(tiles)
    parts = Mosaic(tiles, UTM).read(window)
    assert differs(whole, parts) <= 1


@settings(max_examples=25, deadline=None)
@given(
    columns=st.sets(st.integers(1, WIDTH - 1), max_size=3),
    rows=st.sets(st.integers(1, HEIGHT - 1), max_size=2),
    gsd=st.floats(0.003, 0.06),
    x=st.floats(0.02, 7.0),
    y=st.floats(0.02, 5.0),
)
def test_no_layout_of_tiles_shows(
    tmp_path_factory: pytest.TempPathFactory,
    columns: set[int],
    rows: set[int],
    gsd: float,
    x: float,
    y: float,
) -> None:
    folder = tmp_path_factory.mktemp("layout")
    window = Window(UTM, LEFT + x, TOP - y, gsd, int(1.9 / gsd), int(1.9 / gsd))
    whole = Mosaic([ground(folder)], UTM).read(window)
    parts = Mosaic(cut(folder / "tiles", sorted(columns), sorted(rows)), UTM).read(window)
    assert whole.valid.all()
    assert differs(whole, parts) <= 1


def test_windows_fit_together(tmp_path: Path) -> None:
    """What a pixel shows doesn't depend on the window it is read in."""
    mosaic = Mosaic(
        cut(tmp_path / "tiles", [400], [300], transform=NORTH_UP @ Affine.rotation(8)), UTM
    )
    gsd = 0.0137
    left, top = round((LEFT - 0.5) / gsd) * gsd, round((TOP + 0.5) / gsd) * gsd
    whole = mosaic.read(Window(UTM, left, top, gsd, 600, 600))
    for column, row, width, height in [(0, 0, 96, 600), (96, 0, 504, 333), (217, 401, 64, 64)]:
        part = mosaic.read(Window(UTM, left + column * gsd, top - row * gsd, gsd, width, height))
        at_place = np.s_[row : row + height, column : column + width]
        same = Chip(whole.pixels[at_place], whole.valid[at_place])
        assert differs(part, same) <= 1


def test_a_hairline_between_two_tiles_does_not_show(tmp_path: Path) -> None:
    """Tiles whose grids are off by a third of a pixel leave no line without data."""
    image = np.full((300, 300, 3), 120, np.uint8)
    west = inspect(write(tmp_path / "w.tif", image))
    beside = at(NORTH_UP, 300, 0) @ Affine.translation(0.34, 0)
    east = inspect(write(tmp_path / "e.tif", image, transform=beside))
    for gsd in (0.003, 0.01, 0.03):
        window = Window(UTM, LEFT + GSD, TOP - GSD, gsd, int(5.9 / gsd), 90)
        chip = Mosaic([west, east], UTM).read(window)
        assert chip.valid.all()
        assert (chip.pixels == 120).all()


def test_where_tiles_overlap_the_finer_then_the_first_by_name_is_shown(tmp_path: Path) -> None:
    def tile(name: str, grey: int, gsd: float, left: float) -> Orthophoto:
        image = np.full((200, 200, 3), grey, np.uint8)
        return inspect(write(tmp_path / name, image, transform=Affine(gsd, 0, left, 0, -gsd, TOP)))

    tiles = [
        tile("z.tif", 50, 0.005, LEFT + 1),
        tile("b.tif", 90, 0.01, LEFT),
        tile("a.tif", 130, 0.01, LEFT + 1),
    ]
    window = Window(UTM, LEFT, TOP, 0.01, 300, 100)
    seen = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        mosaic = Mosaic([tiles[i] for i in order], UTM)
        assert [photo.name for photo in mosaic.orthophotos] == ["z.tif", "a.tif", "b.tif"]
        seen.append(mosaic.read(window).pixels[50, :, 0])
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[0], seen[2])
    assert set(seen[0][:99]) == {90}
    assert set(seen[0][101:199]) == {50}
    assert set(seen[0][201:299]) == {130}


@pytest.mark.parametrize("finer", [(4.001, 3.998), (5.0, 1.0)])
def test_blocks_of_other_sizes_leave_what_lies_above_them_as_it_is(
    tmp_path: Path, finer: tuple[float, float]
) -> None:
    """Tiles nearly alike may be read in blocks of 512 and of 256 pixels, the finest laid first."""
    gsd = 0.005
    left, top = 512 * 195313 * gsd, 512 * 2_000_000 * gsd
    tiles = []
    for number, (times, across_m) in enumerate(zip(finer, (1.6, 4.0), strict=True)):
        size = round(across_m * times / gsd)
        placed = Affine(gsd / times, 0, left - 0.05, 0, -gsd / times, top + 0.05)
        image = np.full((size, size, 3), 150, np.uint8)
        tiles.append(inspect(write(tmp_path / f"{number}.tif", image, transform=placed)))
    chip = Mosaic(tiles, UTM).read(Window(UTM, left, top, gsd, 512, 512))
    assert chip.valid.all()
    assert chip.pixels.min() == 150


def test_a_hole_is_filled_from_the_tile_below(tmp_path: Path) -> None:
    image = GROUND.copy()
    image[200:400, 200:400] = 0
    front = inspect(write(tmp_path / "a.tif", image, nodata=0))
    back = inspect(write(tmp_path / "b.tif", GROUND))
    chip = Mosaic([back, front], UTM).read(window_of(GROUND))
    np.testing.assert_array_equal(chip.pixels, GROUND)
    assert chip.valid.all()


def test_of_each_pixel_it_is_known_whether_coarse_imagery_shows_it(tmp_path: Path) -> None:
    """The fine tile has a hole, with the rim of such, and ends 30 pixels before the coarse one."""
    image = GROUND[:, : WIDTH - 30].copy()
    image[200:400, 200:400] = 0
    fine = inspect(write(tmp_path / "b.tif", image, nodata=0))
    coarse = inspect(
        write(tmp_path / "a.tif", GROUND[::2, ::2], transform=NORTH_UP @ Affine.scale(2.0))
    )
    expected = np.zeros((HEIGHT, WIDTH), np.bool_)
    expected[198:402, 198:402] = True
    expected[:, WIDTH - 30 :] = True
    chip = Mosaic([coarse, fine], UTM, coarsest_m=0.015).read(window_of(GROUND))
    assert chip.coarse is not None
    np.testing.assert_array_equal(chip.coarse, expected)
    whole = Mosaic([coarse, ground(tmp_path)], UTM, coarsest_m=0.015).read(window_of(GROUND))
    assert whole.coarse is None  # of which none is shown
    assert Mosaic([coarse, fine], UTM).read(window_of(GROUND)).coarse is None


def test_imagery_is_too_coarse_beyond_what_a_map_does_to_pixels() -> None:
    assert too_coarse([0.002, 0.0041, 0.0043], coarsest_m=0.004).tolist() == [False, False, True]
    assert not too_coarse([9.0], coarsest_m=None).any()


@given(seed=st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_a_window_finds_what_a_look_at_every_tile_finds(tmp_path_factory: Any, seed: int) -> None:
    """Tiles of any pixel size within and without reach, one of them without an end in this CRS."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-20.0, 20.0, (2, 40))
    footprints = shapely.box(x, y, x + rng.uniform(0.1, 3.0, 40), y + rng.uniform(0.1, 3.0, 40))
    footprints[7] = shapely.Polygon([(0, 0), (np.inf, 0), (1, 1), (0, 1)])
    gsd_m = rng.choice([0.002, 0.03, 0.8], 40)
    window = Window(UTM, 0.0, 4.0, 0.002, 2000, 2000)
    with np.errstate(invalid="ignore"):
        away = shapely.distance(footprints, window.box())
        expected = np.flatnonzero(away <= 2.0 * np.maximum(gsd_m, window.gsd_m))
        found = module._Places.of(footprints, gsd_m.tolist())
        assert pickle.loads(pickle.dumps(found)).near(window) == expected.tolist()  # noqa: S301


def test_what_a_window_costs_does_not_grow_with_the_tiles_elsewhere() -> None:
    def seconds(tiles: int) -> float:
        x, y = 10.0 * np.arange(tiles), np.zeros(tiles)
        places = module._Places.of(shapely.box(x, y, x + 10.0, y + 10.0), [0.002] * tiles)
        window = Window(UTM, 100.0, 5.0, 0.002, 2048, 2048)
        assert places.near(window) == [9, 10]
        started = time.process_time()
        for _ in range(20):
            places.near(window)
        return time.process_time() - started

    assert min(seconds(20_000) for _ in range(3)) < 5 * min(seconds(200) for _ in range(3)) + 0.01


# --- files and threads ------------------------------------------------------------------------------


def test_few_files_stay_open_and_old_ones_are_closed(tmp_path: Path) -> None:
    tiles = cut(tmp_path / "tiles", list(range(40, 900, 40)), [])
    mosaic = Mosaic(tiles, UTM)
    for _ in range(2):
        np.testing.assert_array_equal(mosaic.read(window_of(GROUND)).pixels, GROUND)
    assert len(module._files._open) == module.MAX_OPEN_FILES


def test_a_replaced_file_is_read_anew(tmp_path: Path) -> None:
    before = Mosaic([ground(tmp_path)], UTM).read(window_of(GROUND))
    after = Mosaic([ground(tmp_path, 255 - GROUND)], UTM).read(window_of(GROUND))
    np.testing.assert_array_equal(after.pixels, 255 - before.pixels)


def test_threads_read_the_same(tmp_path: Path) -> None:
    mosaic = pickle.loads(pickle.dumps(Mosaic(cut(tmp_path / "t", [450], [350]), UTM)))  # noqa: S301
    windows = [
        Window(UTM, LEFT + i * 0.31, TOP - i * 0.17, 0.007 + 0.002 * (i % 3), 256, 256)
        for i in range(12)
    ]
    alone = [mosaic.read(window) for window in windows]
    results: dict[tuple[int, int], Chip] = {}

    def work(thread: int) -> None:
        for index in random.Random(thread).sample(range(12), 12):
            results[thread, index] = mosaic.read(windows[index])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 48
    for (_, index), chip in results.items():
        assert differs(chip, alone[index]) == 0


def test_damage_found_on_reading_names_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", GROUND, compress="deflate", tiled=True)
    photo = inspect(path)
    content = bytearray(path.read_bytes())
    content[600:200_000] = b"\xff" * (200_000 - 600)
    path.write_bytes(content)
    with pytest.raises(DamagedRaster, match=r"a\.tif is damaged"):
        Mosaic([photo], UTM).read(window_of(GROUND))


def test_damage_of_one_file_is_not_blamed_on_the_next(tmp_path: Path) -> None:
    whole = ground(tmp_path, compress="deflate")
    content = Path(whole.path).read_bytes()
    damaged = whole.at(str(tmp_path / "damaged.tif"))
    middle = len(content) // 2
    spoilt = content[:middle] + b"\xff" * 100_000 + content[middle + 100_000 :]
    Path(damaged.path).write_bytes(spoilt)
    Mosaic([whole], UTM).read(window_of(GROUND))
    with pytest.raises(DamagedRaster):
        Mosaic([damaged], UTM).read(window_of(GROUND))
    np.testing.assert_array_equal(Mosaic([whole], UTM).read(window_of(GROUND)).pixels, GROUND)


def test_a_file_that_is_gone_is_storage_that_is_away(tmp_path: Path) -> None:
    photo = ground(tmp_path)
    Path(photo.path).unlink()
    with pytest.raises(Unavailable, match=r"whole\.tif can't be read"):
        Mosaic([photo], UTM).read(window_of(GROUND))


def test_tiles_of_one_flight_are_ordered_by_name_wherever_they_lie(tmp_path: Path) -> None:
    """The map's scale varies by a millionth from tile to tile; it must not order them."""
    tiles = [
        inspect(write(tmp_path / f"{name}.tif", GROUND, transform=at(NORTH_UP, place, 0)))
        for name, place in zip("dacb", (0, 4_000_000, 8_000_000, 12_000_000), strict=True)
    ]
    assert len({tile.gsd_m for tile in tiles}) == 4
    assert [tile.name for tile in Mosaic(tiles, UTM).orthophotos] == [f"{n}.tif" for n in "abcd"]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 700), (900, 1), (2, 3)])
@pytest.mark.parametrize("gsd", [0.0031, 0.01, 0.04])
def test_the_smallest_rasters_are_read(tmp_path: Path, width: int, height: int, gsd: float) -> None:
    photo = ground(tmp_path, GROUND[:height, :width])
    assert photo.gsd_m == pytest.approx(0.01 / 0.9996, rel=1e-4)
    chip = Mosaic([photo], UTM).read(Window(UTM, LEFT - 0.4, TOP + 0.4, gsd, 333, 340))
    if gsd < 0.01:
        assert chip.valid.any()
    to_cog(photo.path, tmp_path / "cog.tif")
    again = Mosaic([photo.at(str(tmp_path / "cog.tif"))], UTM)
    assert differs(chip, again.read(Window(UTM, LEFT - 0.4, TOP + 0.4, gsd, 333, 340))) == 0
