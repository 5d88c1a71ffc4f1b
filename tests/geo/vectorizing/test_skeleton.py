"""Thinning keeps what is connected and what is enclosed, and sees no farther than a crack is wide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from drawn_cracks import drawing, picture, random_cracks, unpacked
from pavemap.geo.vectorizing.bitmap import BIT_NUMBERS, Bitmap, neighbours, pixels_of
from pavemap.geo.vectorizing.skeleton import thin

CORNERS_TOO = np.ones((3, 3), np.int64)


def skeleton_of(text: str, *, max_hole_px: int = 0) -> list[str]:
    return drawing(unpacked(thin(picture(text) > 0, max_hole_px=max_hole_px).lines))


def blobs(seed: int, size: int = 48) -> NDArray[np.bool_]:
    random = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(random.normal(size=(size, size)), random.uniform(0.5, 2.0))
    return np.asarray(noise > random.uniform(-0.1, 0.1) * noise.std())


@pytest.mark.parametrize("shape", [(1, 1), (3, 63), (3, 64), (5, 65), (2, 200)])
def test_masks_of_any_width_are_packed(shape: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).random(shape) < 0.5
    packed = Bitmap.pack(mask)
    assert (
        np.argwhere(mask) == np.column_stack(packed.places(pixels_of(packed.words, BIT_NUMBERS)))
    ).all()


def test_a_bar_becomes_its_middle_line() -> None:
    assert skeleton_of("""
        .........
        .#######.
        .#######.
        .#######.
        .........
    """) == [
        ".........",
        ".........",
        "..#####..",
        ".........",
        ".........",
    ]


def test_a_line_of_one_pixel_stays_as_it_is() -> None:
    line = """
        #......
        .#.....
        ..###..
        .....#.
        .....#.
    """
    assert skeleton_of(line) == drawing(picture(line) > 0)


def test_a_frame_stays_a_ring() -> None:
    frame = picture("""
        #########
        #########
        ###...###
        ###...###
        #########
        #########
    """)
    skeleton = unpacked(thin(frame > 0).lines)
    assert ndimage.label(~np.pad(skeleton, 1))[1] == 2
    assert skeleton.sum() < 25


def test_a_disc_becomes_one_pixel() -> None:
    y, x = np.mgrid[:31, :31]
    assert unpacked(thin((x - 15) ** 2 + (y - 15) ** 2 < 150).lines).sum() == 1


def test_empty_ground_has_no_skeleton() -> None:
    assert len(thin(np.zeros((5, 7), np.bool_)).pixels) == 0


def test_a_picture_that_is_all_crack_ends() -> None:
    assert 1 <= len(thin(np.ones((700, 900), np.bool_)).pixels) <= 900


@pytest.mark.parametrize("seed", range(40))
def test_pieces_and_holes_stay_as_many(seed: int) -> None:
    mask = blobs(seed)
    skeleton = unpacked(thin(mask).lines)
    assert not (skeleton & ~mask).any()
    assert ndimage.label(skeleton, CORNERS_TOO)[1] == ndimage.label(mask, CORNERS_TOO)[1]
    assert ndimage.label(~np.pad(skeleton, 1))[1] == ndimage.label(~np.pad(mask, 1))[1]


@pytest.mark.parametrize("seed", range(10))
def test_no_block_of_four_has_a_pixel_to_spare(seed: int) -> None:
    skeleton = unpacked(thin(blobs(seed)).lines)
    blocks = skeleton[1:, 1:] & skeleton[1:, :-1] & skeleton[:-1, 1:] & skeleton[:-1, :-1]
    pieces = ndimage.label(skeleton, CORNERS_TOO)[1]
    holes = ndimage.label(~np.pad(skeleton, 1))[1]
    for row, col in np.argwhere(blocks):
        for corner in ((row, col), (row, col + 1), (row + 1, col), (row + 1, col + 1)):
            less = skeleton.copy()
            less[corner] = False
            joined = ndimage.label(less, CORNERS_TOO)[1] == pieces
            assert not (joined and ndimage.label(~np.pad(less, 1))[1] == holes)


@pytest.mark.parametrize("seed", range(5))
def test_codes_say_which_neighbours_are_set(seed: int) -> None:
    lines = thin(blobs(seed, 150)).lines
    pixels = pixels_of(lines.words, BIT_NUMBERS)
    codes = np.array([neighbours(lines.words, lines.stride, pixel) for pixel in pixels])
    for bit, step in enumerate(lines.steps()):
        assert ((codes >> bit & 1) == np.isin(pixels + step, pixels)).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), down=st.integers(0, 9), right=st.integers(0, 9))
def test_the_window_may_start_anywhere(seed: int, down: int, right: int) -> None:
    mask = blobs(seed, 30)
    here = np.pad(mask, 10)
    there = np.roll(here, (down, right), axis=(0, 1))
    shifted = np.roll(unpacked(thin(here).lines), (down, right), axis=(0, 1))
    assert (unpacked(thin(there).lines) == shifted).all()


def test_what_lies_a_halo_away_makes_no_difference() -> None:
    cracks = random_cracks(400, cracks=8, seed=1)
    other = random_cracks(400, cracks=8, seed=2)
    near = np.zeros((400, 400), np.bool_)
    near[64:-64, 64:-64] = True
    changed = np.where(near, cracks, other)
    core = (slice(128, -128), slice(128, -128))
    one, two = (unpacked(thin(p >= 128, max_hole_px=9).lines)[core] for p in (cracks, changed))
    assert one.any()
    assert (one == two).all()


def test_a_pinhole_is_filled_and_a_larger_hole_is_kept() -> None:
    text = """
        ###########
        ###########
        ##.#####..#
        ########..#
        ###########
        ###########
    """
    skeleton = thin(picture(text) > 0, max_hole_px=3)
    assert np.column_stack(skeleton.mask.places(skeleton.filled)).tolist() == [[2, 2]]
    assert ndimage.label(~np.pad(unpacked(skeleton.lines), 1))[1] == 2


def test_any_number_of_pinholes_is_filled() -> None:
    mask = np.ones((60, 90), bool)
    mask[1:-1:2, 1:-1:2] = False
    skeleton = thin(mask, max_hole_px=1)
    assert len(skeleton.filled) == (~mask).sum() > 1000
    assert not mask[tuple(np.column_stack(skeleton.mask.places(skeleton.filled)).T)].any()


def test_a_hole_with_two_upper_corners_is_filled_once() -> None:
    holed = picture("""
        ########
        ##.##.##
        ##....##
        ########
        ########
    """)
    skeleton = thin(holed > 0, max_hole_px=9)
    assert len(skeleton.filled) == 6
    assert len(np.unique(skeleton.pixels)) == len(skeleton.pixels)


def test_a_bay_at_the_picture_s_border_is_no_hole() -> None:
    text = """
        ###.###
        ###.###
        #######
    """
    assert len(thin(picture(text) > 0, max_hole_px=9).filled) == 0
