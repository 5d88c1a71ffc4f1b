"""Which files an upload takes, and under which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from pavemap.geo.errors import BadInput
from pavemap.platform.transfer import find_rasters, labelled


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


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("x/day1/t.tif", "y/day1/t.tif", "y/day2/t.tif", "u.tif")]

    labels = [upload.label for upload in labelled(paths)]

    assert labels == ["x_day1_t.tif", "y_day1_t.tif", "day2_t.tif", "u.tif"]
