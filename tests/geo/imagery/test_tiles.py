"""Deliveries: all of their tiles are checked before any is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from pavemap.geo.errors import BadInput, NotGeoreferenced
from pavemap.geo.imagery.raster import inspect
from pavemap.geo.imagery.tiles import inspect_tiles
from rasters import texture, write

SMALL = texture(30, 40)


def placeless(folder: Path, count: int) -> list[Path]:
    return [
        write(folder / f"placeless_{number:02}.tif", SMALL, crs=None) for number in range(count)
    ]


def empty(path: Path) -> Path:
    path.touch()
    return path


def test_good_tiles_are_described_as_each_is_alone(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, SMALL) for name in ("b.tif", "a.tif")]
    assert inspect_tiles(paths) == [inspect(path) for path in paths]


def test_one_bad_tile_is_refused_as_it_is_alone(tmp_path: Path) -> None:
    (bad,) = placeless(tmp_path, 1)
    with pytest.raises(NotGeoreferenced) as alone:
        inspect(bad, name=str(bad))
    with pytest.raises(NotGeoreferenced) as among_others:
        inspect_tiles([write(tmp_path / "good.tif", SMALL), bad])
    assert str(among_others.value) == str(alone.value)


def test_all_bad_tiles_are_listed_by_what_is_wrong_with_them(tmp_path: Path) -> None:
    first, second = placeless(tmp_path, 2)
    nothing = empty(tmp_path / "nothing.tif")
    with pytest.raises(BadInput) as said:
        inspect_tiles([first, write(tmp_path / "good.tif", SMALL), nothing, second])
    assert str(said.value).split("\n") == [
        "3 of 4 files can't be used:",
        f"  {first}, {second}: each has no CRS; assign the one it was made in: "
        "gdal_edit.py -a_srs EPSG:<code>",
        f"  {nothing} is empty; send it again",
    ]


def test_of_very_many_bad_tiles_some_are_named(tmp_path: Path) -> None:
    same = placeless(tmp_path, 12)
    with pytest.raises(BadInput) as said:
        inspect_tiles(same)
    assert str(said.value).startswith("12 of 12 files can't be used:\n")
    assert f"{same[9]} and 2 more: each has no CRS" in str(said.value)


def test_of_very_many_reasons_some_are_told(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.tif", texture(60, 80)).read_bytes()
    cut_off = [tmp_path / f"cut_{number:02}.tif" for number in range(13)]
    for number, path in enumerate(cut_off):
        path.write_bytes(whole[: len(whole) - 100 - number])
    with pytest.raises(BadInput) as said:
        inspect_tiles(cut_off)
    lines = str(said.value).split("\n")
    assert len(lines) == 1 + 10 + 1
    assert lines[1].startswith(f"  {cut_off[0]} is cut off: ")
    assert lines[-1] == "  and 3 more"
