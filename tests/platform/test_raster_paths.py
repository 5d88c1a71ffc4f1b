"""Which files a command takes for imagery, and which it names as left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from pavemap.geo.errors import BadInput
from pavemap.platform.raster_paths import find_rasters, left_out, masks_beside


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


@pytest.mark.parametrize("ending", ["gtif", "gtiff", "GeoTIFF", "geotif"])
def test_a_geotiff_may_be_called_one(tmp_path: Path, ending: str) -> None:
    touch(tmp_path / f"a.{ending}")
    assert find_rasters([str(tmp_path)]) == [tmp_path / f"a.{ending}"]


def test_a_place_without_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no GeoTIFF at .*\*\.tif"):
        find_rasters([f"{tmp_path}/*.tif"])


def test_imagery_of_other_kinds_in_a_folder_is_not_left_out_in_silence(tmp_path: Path) -> None:
    names = ("a.tif", "b.JPG", "deep/c.ecw", "d.vrt", "e.jp2", "._f.jpg", "b.jgw", "notes.txt")
    touch(*(tmp_path / name for name in names))

    (said,) = left_out([str(tmp_path), str(tmp_path / "deep"), str(tmp_path / "e.jp2")])

    assert said.startswith("left out, as only GeoTIFFs are read: b.JPG, c.ecw, d.vrt and 1 more;")
    assert left_out([str(tmp_path / "a.tif"), f"{tmp_path}/*.jp2"]) == []
    with pytest.raises(BadInput, match=r"no GeoTIFF at .*deep; name .* \(left out, .*: c\.ecw; to"):
        find_rasters([str(tmp_path / "deep")])


def test_archives_in_a_folder_are_not_left_out_in_silence(tmp_path: Path) -> None:
    touch(*(tmp_path / name for name in ("a.tif", "north.ZIP", "south.tif.gz", "._x.zip")))

    assert left_out([str(tmp_path)]) == [
        "left out, as archives aren't looked into: north.ZIP, south.tif.gz; if there is imagery in them, "
        "unpack it"
    ]


def test_links_lead_to_files_and_folders(tmp_path: Path) -> None:
    """Of a delivery on another disk there are links; what two lead to is taken once."""
    disk, folder = tmp_path / "disk", tmp_path / "survey"
    touch(disk / "c.tif", disk / "sub/inside.tif", disk / "sub/deep/d.jpg", folder / "a.tif")
    (folder / "c.tif").symlink_to(disk / "c.tif")
    (folder / "sub").symlink_to(disk / "sub")
    (folder / "again").symlink_to(disk / "sub/deep/..")

    inside = [disk / "c.tif", disk / "sub/inside.tif", folder / "a.tif"]
    assert find_rasters([str(folder), str(disk / "sub")]) == inside
    (said,) = left_out([str(folder)])
    assert "d.jpg; to have them in" in said


def test_links_that_go_round_are_harmless_and_lead_to_no_other_survey(tmp_path: Path) -> None:
    folder, other = tmp_path / "disk/survey", tmp_path / "disk/other"
    touch(folder / "deep/a.tif", other / "b.tif")
    (folder / "here").symlink_to(folder)
    (folder / "deep/up").symlink_to(tmp_path / "disk")
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "deep/through").symlink_to(folder / "deep/round")
    (folder / "deep/round").symlink_to(folder)

    assert find_rasters([str(folder)]) == [folder / "deep/a.tif"]
    (said,) = left_out([str(folder)])
    assert "links to what isn't there: itself; mend" in said


def test_links_to_nothing_are_not_left_out_in_silence(tmp_path: Path) -> None:
    touch(tmp_path / "a.tif")
    for name in ("b.tif", "unmounted", ".#a.tif"):
        (tmp_path / name).symlink_to(tmp_path / "gone" / name)

    assert find_rasters([str(tmp_path)]) == [tmp_path / "a.tif"]
    said = "left out, as they are links to what isn't there: {}; mend them, or mount the disk that they "
    said += "lead to"
    assert left_out([str(tmp_path), str(tmp_path)]) == [said.format("b.tif, unmounted")]
    assert left_out([f"{tmp_path}/*.tif"]) == [said.format("b.tif")]
    with pytest.raises(
        BadInput, match=r"no GeoTIFF at .*b\.tif; name .* \(left out, as they are links"
    ):
        find_rasters([str(tmp_path / "b.tif")])


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
