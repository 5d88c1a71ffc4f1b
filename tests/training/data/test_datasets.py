"""Folders of labelled images: what is read, and what is refused before anything starts."""

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pavemap.training.data.datasets import (
    check_sources,
    fingerprint,
    list_pairs,
    read_pair,
    read_source,
)
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingData
from training.drawing import (
    draw_image,
    png_chunk,
    turned_file,
    write_indexed_png,
    write_png,
    write_set,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set")


def test_a_list_file_chooses_the_images(folder: Path) -> None:
    assert [pair.name for pair in list_pairs(DataSource(folder=folder))] == [
        "000",
        "001",
        "002",
        "003",
    ]
    assert [pair.name for pair in list_pairs(DataSource(folder=folder, list="test"))] == ["003"]
    assert [pair.name for pair in list_pairs(DataSource(folder=folder, list="test.txt"))] == ["003"]


def test_pixels_are_rgb_and_cracks_are_where_they_were_drawn(folder: Path) -> None:
    drawn = draw_image(0)
    image = read_source(DataSource(folder=folder))[0]
    assert np.array_equal(image.pixels, drawn.pixels)
    assert np.array_equal(image.crack, drawn.crack)
    assert not image.ignore.any()


def test_grey_images_have_one_channel(folder: Path) -> None:
    source = DataSource(folder=folder)
    assert read_pair(list_pairs(source)[0], source, channels=1).pixels.shape == (96, 128, 1)


def test_inverted_masks_draw_cracks_black_on_white_as_aiglern_does(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "aiglern", inverted=True)
    image = read_source(DataSource(folder=folder, inverted=True), channels=1)[0]
    assert np.array_equal(image.crack, draw_image(0).crack)


def test_crack_and_ignore_values_of_a_mask_with_many_classes(folder: Path) -> None:
    mask = np.zeros((96, 128), np.uint8)
    mask[10, :], mask[20, :], mask[30, :] = 30, 60, 150
    write_png(folder / "masks" / "000.png", mask)
    source = DataSource(folder=folder, crack_values=(30,), ignore_values=(150,))
    image = read_pair(list_pairs(source)[0], source)
    assert np.flatnonzero(image.crack[:, 0]).tolist() == [10]
    assert np.flatnonzero(image.ignore[:, 0]).tolist() == [30]


def test_what_is_to_be_ignored_is_no_crack_however_bright_its_value(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    mask = np.zeros((96, 128), np.uint8)
    mask[10], mask[20:24] = 255, 128
    write_png(folder / "masks" / "000.png", mask)
    image = read_source(DataSource(folder=folder, ignore_values=(128,)))[0]
    assert image.crack.sum() == 128
    assert image.crack[10].all()
    assert image.ignore.sum() == 4 * 128


def indexed(folder: Path) -> Path:
    """Masks with a palette in place of plain ones: cracks of index 1 in dark red, index 2 in white."""
    for mask in (folder / "masks").iterdir():
        indices = np.where(draw_image(int(mask.stem)).crack, 1, 0).astype(np.uint8)
        indices[0] = 2
        write_indexed_png(mask, indices, (0, 0, 0), (128, 0, 0), (255, 255, 255))
    return folder


def test_the_values_of_a_mask_with_a_palette_are_its_indices(folder: Path) -> None:
    drawn = draw_image(0).crack
    source = DataSource(folder=indexed(folder), crack_values=(1,), ignore_values=(2,))
    image = read_source(source)[0]
    assert np.array_equal(image.crack, drawn)
    assert np.flatnonzero(image.ignore[:, 0]).tolist() == [0]


def test_a_mask_with_a_palette_is_read_by_its_brightness_where_no_value_is_named(
    folder: Path,
) -> None:
    for mask in (folder / "masks").iterdir():
        indices = np.where(draw_image(int(mask.stem)).crack, 0, 1).astype(np.uint8)
        write_indexed_png(mask, indices, (255, 255, 255), (0, 0, 0))
    assert check_sources([DataSource(folder=folder)]) == 4
    assert np.array_equal(read_source(DataSource(folder=folder))[0].crack, draw_image(0).crack)


@pytest.mark.parametrize(("value", "named"), [(255, ()), (65535, ()), (1, (1,)), (300, (300,))])
def test_masks_of_16_bits_keep_their_values(
    folder: Path, value: int, named: tuple[int, ...]
) -> None:
    mask = draw_image(0).crack * np.uint16(value)
    assert cv2.imwrite(str(folder / "masks" / "000.png"), mask)
    source = DataSource(folder=folder, crack_values=named)
    assert np.array_equal(read_source(source)[0].crack, draw_image(0).crack)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_an_image_of_more_than_8_bits_is_refused(folder: Path, dtype: type) -> None:
    (folder / "images" / "000.png").unlink()
    pixels: NDArray[Any] = draw_image(0).pixels.astype(dtype) * 16  # 12 bits of 16: nearly black
    assert cv2.imwrite(str(folder / "images" / "000.tif"), pixels)
    with pytest.raises(BadTrainingData, match=r"000\.tif holds values of .*import-gis"):
        check_sources([DataSource(folder=folder)])


@pytest.mark.parametrize("channels", [1, 3])
def test_nothing_is_known_where_an_image_is_transparent(folder: Path, channels: int) -> None:
    drawn = draw_image(0)
    alpha = np.full(drawn.crack.shape, 255, np.uint8)
    alpha[:, :40] = 0
    write_png(folder / "images" / "000.png", np.dstack([drawn.pixels[:, :, ::-1], alpha]))
    image = read_source(DataSource(folder=folder), channels=channels)[0]
    assert np.array_equal(image.ignore, alpha == 0)
    assert np.array_equal(image.crack, drawn.crack & (alpha > 0))
    if channels == 3:
        assert np.array_equal(image.pixels, drawn.pixels)


def test_a_set_without_any_crack_is_refused_by_what_its_masks_hold(folder: Path) -> None:
    for mask in (folder / "masks").iterdir():
        write_png(mask, draw_image(0).crack.astype(np.uint8))
    with pytest.raises(BadTrainingData, match=r"hold 0, 1, .* of 128 or more .* in crack_values"):
        check_sources([DataSource(folder=folder)])
    assert check_sources([DataSource(folder=folder, crack_values=(1,))]) == 4
    with pytest.raises(BadTrainingData, match=r"hold 0, 1, .* a value 3 was looked for"):
        check_sources([DataSource(folder=folder, crack_values=(3,))])
    with pytest.raises(BadTrainingData, match=r"hold 0, 1, 2, .* a value 9"):
        check_sources([DataSource(folder=indexed(folder), crack_values=(9,))])


def test_a_set_that_is_sound_altogether_may_be_taught(folder: Path) -> None:
    for mask in (folder / "masks").iterdir():
        write_png(mask, np.zeros((96, 128), np.uint8))
    assert check_sources([DataSource(folder=folder)]) == 4


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("way", [3, 6])
def test_an_image_that_is_turned_for_show_is_refused(folder: Path, suffix: str, way: int) -> None:
    """Its mask isn't turned, and which way up that was drawn nobody says."""
    (folder / "images" / "000.png").unlink()
    content = turned_file(suffix, draw_image(0).pixels, way=way)
    (folder / "images" / f"000{suffix}").write_bytes(content)
    with pytest.raises(BadTrainingData, match=r"EXIF orientation.*save it upright"):
        check_sources([DataSource(folder=folder)])
    upright = turned_file(suffix, draw_image(0).pixels, way=1)
    (folder / "images" / f"000{suffix}").write_bytes(upright)
    assert check_sources([DataSource(folder=folder)]) == 4


def test_the_fingerprint_notices_a_label_that_was_moved_in_a_file_of_the_same_size(
    folder: Path,
) -> None:
    before = fingerprint([DataSource(folder=folder)])
    mask = folder / "masks" / "000.png"
    size = mask.stat().st_size
    content = bytearray(mask.read_bytes())
    content[-20] ^= 1
    mask.write_bytes(bytes(content))
    assert mask.stat().st_size == size
    assert fingerprint([DataSource(folder=folder)]) != before


def test_the_fingerprint_of_a_set_is_of_what_is_in_it_not_of_where_it_lies(folder: Path) -> None:
    before = fingerprint([DataSource(folder=folder)])
    moved = folder.rename(folder.with_name("elsewhere"))
    assert fingerprint([DataSource(folder=moved, weight=3.0)]) == before
    assert fingerprint([DataSource(folder=moved, inverted=True)]) != before
    assert fingerprint([DataSource(folder=moved, list="test")]) != before
    write_png(moved / "masks" / "000.png", np.zeros((96, 128), np.uint8))
    assert fingerprint([DataSource(folder=moved)]) != before


def test_left_out_images_and_the_others_are_a_partition(folder: Path) -> None:
    used = DataSource(folder=folder, leave_out_every=2)
    kept = DataSource(folder=folder, leave_out_every=2, left_out=True)
    assert [pair.name for pair in list_pairs(used)] == ["000", "002"]
    assert [pair.name for pair in list_pairs(kept)] == ["001", "003"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match=r"nowhere/images is missing"):
        check_sources([DataSource(folder=tmp_path / "nowhere")])


def test_a_missing_list_is_named(folder: Path) -> None:
    with pytest.raises(BadTrainingData, match=r"val\.txt"):
        check_sources([DataSource(folder=folder, list="val")])


def test_an_empty_list_is_refused(folder: Path) -> None:
    (folder / "empty.txt").write_text("\n\n")
    with pytest.raises(BadTrainingData, match="names no image"):
        check_sources([DataSource(folder=folder, list="empty")])


def test_a_missing_mask_is_named(folder: Path) -> None:
    (folder / "masks" / "002.png").unlink()
    with pytest.raises(BadTrainingData, match=r"masks lacks 1 of 4 files, the first is 002"):
        check_sources([DataSource(folder=folder)])


def test_a_mask_of_another_size_is_refused(folder: Path) -> None:
    write_png(folder / "masks" / "000.png", np.zeros((10, 20), np.uint8))
    with pytest.raises(BadTrainingData, match="20x10 pixels but its image is 128x96"):
        check_sources([DataSource(folder=folder)])


def test_a_file_that_is_no_image_is_refused(folder: Path) -> None:
    (folder / "images" / "000.png").write_bytes(b"not a picture")
    with pytest.raises(BadTrainingData, match="can't be read as an image"):
        check_sources([DataSource(folder=folder)])


@pytest.mark.shared
def test_the_papers_set_has_the_papers_crack_pixels(shared: Path) -> None:
    """Table I: 185,483 positives in 72 training images, 107,112 in 46 test images."""
    for name, images, positives in (("train", 72, 185_483), ("test", 46, 107_112)):
        found = read_source(DataSource(folder=shared / "data" / "cfd", list=name))
        assert len(found) == images
        assert sum(int(image.crack.sum()) for image in found) == positives


def test_two_files_of_one_name_are_refused_where_it_is_used(folder: Path) -> None:
    for part, name in (("images", "000.jpg"), ("masks", "003.bmp")):
        write_png(folder / part / name, np.zeros((96, 128), np.uint8))
    with pytest.raises(BadTrainingData, match=r"images has 000\.jpg and 000\.png; keep one"):
        list_pairs(DataSource(folder=folder))
    (folder / "some.txt").write_text("001\n002\n")
    assert len(list_pairs(DataSource(folder=folder, list="some"))) == 2
    with pytest.raises(BadTrainingData, match=r"masks has 003\.bmp and 003\.png"):
        list_pairs(DataSource(folder=folder, list="test"))


def test_an_image_that_a_list_names_twice_counts_once(folder: Path) -> None:
    (folder / "some.txt").write_text("\ufeff001.png\r\n001\n002.jpg\n", encoding="utf-8")
    pairs = list_pairs(DataSource(folder=folder, list="some"))
    assert [pair.name for pair in pairs] == ["001", "002"]


def test_a_list_that_is_no_utf8_is_refused(folder: Path) -> None:
    (folder / "some.txt").write_bytes("Straße\n".encode("latin-1"))
    with pytest.raises(BadTrainingData, match=r"some\.txt is no text in UTF-8"):
        list_pairs(DataSource(folder=folder, list="some"))


@pytest.mark.parametrize("part", ["images", "masks"])
@pytest.mark.parametrize("side", [40_000, 2**31 - 1])
def test_an_image_is_not_decoded_when_its_header_says_that_it_is_huge(
    folder: Path, part: str, side: int
) -> None:
    """A PNG of 400 kB may unfold to gigabytes."""
    file = folder / part / "000.png"
    content = file.read_bytes()
    header = struct.pack(">II", side, side) + content[24:29]
    file.write_bytes(content[:8] + png_chunk(b"IHDR", header) + content[33:])
    source = DataSource(folder=folder)
    with pytest.raises(BadTrainingData, match=r"at most 150 million|can't be read as an image"):
        read_pair(list_pairs(source)[0], source)
