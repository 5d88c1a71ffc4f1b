"""Which files a command takes for imagery, and which it names as left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pavemap.geo.errors import BadInput
from pavemap.platform.raster_paths import find_rasters, masks_beside, other_images


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_folders_and_patterns_name_each_file_once(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.tif", "deep/b.TIFF", "c.tif", "d.txt")]
    touch(*files)

    assert find_rasters([str(tmp_path), str(tmp_path / "a.tif")]) == sorted(files[:3])
    assert find_rasters([f"{tmp_path}/*.tif"]) == [files[0], files[2]]
    assert find_rasters([str(files[3])]) == [files[3]]  # named outright: the server judges it


def test_a_place_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no GeoTIFF at .*\*\.tif"):
        find_rasters([f"{tmp_path}/*.tif"])


def test_imagery_of_other_kinds_in_a_folder_is_not_left_out_in_silence(tmp_path: Path) -> None:
    names = ("a.tif", "b.JPG", "deep/c.ecw", "d.vrt", "e.jp2", "._f.jpg", "b.jgw", "notes.txt")
    touch(*(tmp_path / name for name in names))

    said = other_images([str(tmp_path), str(tmp_path / "deep"), str(tmp_path / "e.jp2")])

    assert said.startswith("left out, as only GeoTIFFs are read: b.JPG, c.ecw, d.vrt and 1 more;")
    assert other_images([str(tmp_path / "a.tif"), f"{tmp_path}/*.jp2"]) == ""
    with pytest.raises(BadInput, match=r"no GeoTIFF at .*deep; name .* \(left out, .*: c\.ecw; to"):
        find_rasters([str(tmp_path / "deep")])


def test_hidden_files_and_nameless_places_are_no_imagery(tmp_path: Path) -> None:
    tile, beside = tmp_path / "a.tif", tmp_path / "._a.tif"  # as macOS leaves one
    for path in (tile, beside):
        touch(path)
    (tmp_path / "folder.tif").mkdir()
    assert find_rasters([str(tmp_path)]) == [tile]
    with pytest.raises(BadInput, match="is empty; name files"):
        find_rasters([""])
    touch(tmp_path / "Stra\udcdfe.tif")  # of another system's ZIP
    with pytest.raises(BadInput, match="is no UTF-8"):
        find_rasters([str(tmp_path)])


def test_masks_in_files_of_their_own_are_not_left_unread_in_silence(tmp_path: Path) -> None:
    tiles = [tmp_path / f"{name}.tif" for name in "abcde"]
    touch(*tiles, *(tmp_path / f"{name}.tif.msk" for name in "abd"), tmp_path / "c.tif.MSK")
    assert masks_beside(tiles[4:]) == ""
    said = masks_beside(tiles)
    assert "counts as imaged: a.tif, b.tif, c.tif and 1 more; put them into" in said
    assert "gdal_translate --config GDAL_TIFF_INTERNAL_MASK YES in.tif out.tif" in said
