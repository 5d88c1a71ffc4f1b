"""Folders of images and masks get a manifest; their images keep their bytes, their cracks their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pavemap.training.data.datasets import check_sources, read_source
from pavemap.training.data.pair_folder import write_folder
from pavemap.training.data.pair_import import pair_files
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingData
from training.drawing import draw_image, turned_file, write_png, write_set


def test_masks_of_any_coding_become_ours(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", inverted=True)
    manifest = write_folder(
        pair_files(DataSource(folder=folder, list="train", inverted=True), gsd_m=0.002),
        tmp_path / "made",
    )
    assert (manifest.source["kind"], manifest.gsd_m) == ("pairs", 0.002)
    assert manifest.source["masks"]["inverted"] is True
    made = DataSource(folder=tmp_path / "made")
    assert check_sources([made]) == 3
    for number, image in enumerate(read_source(made)):
        assert np.array_equal(image.crack, draw_image(number).crack)
        path = Path("images") / f"{image.name}.png"
        assert (tmp_path / "made" / path).read_bytes() == (folder / path).read_bytes()


def test_many_classes_become_three(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", count=1)
    mask = np.zeros((96, 128), np.uint8)
    mask[10], mask[20], mask[30] = 30, 60, 150
    write_png(folder / "masks" / "000.png", mask)
    source = DataSource(folder=folder, crack_values=(30,), ignore_values=(150,))
    write_folder(pair_files(source), tmp_path / "made")
    (image,) = read_source(DataSource(folder=tmp_path / "made"))
    assert np.flatnonzero(image.crack[:, 0]).tolist() == [10]
    assert np.flatnonzero(image.ignore[:, 0]).tolist() == [30]


def test_masks_in_which_nothing_is_crack_are_refused_by_what_they_hold(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", count=1)
    write_png(folder / "masks" / "000.png", draw_image(0).crack.astype(np.uint8))
    with pytest.raises(BadTrainingData, match=r"hold 0, 1, .*--crack-value"):
        write_folder(pair_files(DataSource(folder=folder)), tmp_path / "made")
    assert not (tmp_path / "made").exists()
    manifest = write_folder(
        pair_files(DataSource(folder=folder, crack_values=(1,))), tmp_path / "made"
    )
    assert manifest.pixels()["crack"] == draw_image(0).crack.sum()


def test_an_image_that_is_turned_for_show_is_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", count=1)
    turned = turned_file(".png", draw_image(0).pixels)
    (folder / "images" / "000.png").write_bytes(turned)
    with pytest.raises(BadTrainingData, match="save it upright"):
        write_folder(pair_files(DataSource(folder=folder)), tmp_path / "made")


def test_names_that_would_be_one_are_refused(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set", count=1)
    for part in ("images", "masks"):
        for name in ("a b", "a_b"):
            write_png(folder / part / f"{name}.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(BadTrainingData, match="can't keep its name"):
        write_folder(pair_files(DataSource(folder=folder)), tmp_path / "made")
    assert not (tmp_path / "made").exists()
