"""Which files an upload takes, and under which names."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import pytest

from pavemap.geo.errors import BadInput, Conflict
from pavemap.platform.transfer import again_if_changed, find_rasters, labelled, unchanged


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


def test_files_that_no_folder_tells_apart_have_names_of_their_own_all_the_same() -> None:
    paths = [Path(path) for path in ("/t/a_b/c.tif", "/t/q/c.tif", "/t/a/b_c.tif", "/t/q/b_c.tif")]
    labels = [upload.label for upload in labelled(paths)]
    assert len(set(labels)) == 4
    assert labels == [upload.label for upload in labelled(paths)]


def test_what_is_measured_anew_while_it_is_read_is_read_again() -> None:
    moments = iter(["8:00", "8:05", "8:05", "8:05"])
    client = Mock(survey=lambda _: {"finished_at": next(moments)})
    read: list[int] = []

    def work() -> int:
        with unchanged(client, "spring"):
            read.append(len(read))
        return read[-1]

    assert again_if_changed(work) == 1
    changing = iter(range(9))
    client.survey = lambda _: {"finished_at": next(changing)}
    with pytest.raises(Conflict, match="measured anew"):
        again_if_changed(work)
