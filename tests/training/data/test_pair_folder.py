"""Folders of training data with a manifest: the same bytes each time, whole or absent, and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pavemap.geo.grid import Cell, Window
from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND
from pavemap.geo.labels.labelled_chips import LabelledChip
from pavemap.training.data.datasets import (
    check_sources,
    fingerprint,
    list_pairs,
    read_pair,
    read_source,
)
from pavemap.training.data.manifest import MANIFEST_FILE, read_manifest
from pavemap.training.data.pair_folder import LabelledFile, new_folder, packed, write_folder
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingData
from pavemap.training.finish import described
from scenes import UTM
from training.drawing import write_png

Files = list[tuple[str, bytes]]


def chips() -> Iterator[LabelledFile]:
    """Two squares of noise; columns 0-3 of their masks are crack, 4-7 not known, the rest sound."""
    for number in range(2):
        rng = np.random.default_rng(number)
        mask = np.full((32, 32), SOUND, np.uint8)
        mask[:, :4], mask[:, 4:8] = CRACK, IGNORE
        window = Window(UTM, 500_000.0 + number, 5e6, 0.01, 32, 32)
        pixels = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
        yield LabelledFile.of_chip(LabelledChip(Cell(number, -3), window, pixels, mask))


def files() -> Files:
    return list(packed(chips(), source={"kind": "test"}, gsd_m=0.01))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(files(), tmp_path / "set")
    return tmp_path / "set"


def test_it_is_read_as_it_was_made_without_a_word_on_what_masks_mean(folder: Path) -> None:
    images = read_source(DataSource(folder=folder))
    assert [image.name for image in images] == ["0_-3", "1_-3"]
    for number, image in enumerate(images):
        rng = np.random.default_rng(number)
        assert np.array_equal(image.pixels, rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
        assert image.crack.sum(axis=1).tolist() == [4] * 32
        assert image.crack[:, :4].all()
        assert image.ignore[:, 4:8].all()
        assert image.ignore.sum() == 32 * 4
    assert check_sources([DataSource(folder=folder)]) == 2


def test_a_models_card_names_the_very_set_it_was_taught(folder: Path) -> None:
    digest = hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest()
    source = DataSource(folder=folder, licence="ours")
    assert described(source) == f"set (2 images, ours, manifest {digest})"
    (folder / MANIFEST_FILE).unlink()
    assert described(source) == "set (2 images, ours)"


def test_the_manifest_says_what_is_there(folder: Path) -> None:
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.source == {"kind": "test"}
    assert manifest.pixels() == {"crack": 256, "ignore": 256, "sound": 1536}
    window = manifest.by_name["1_-3"].window
    assert window is not None
    assert (window.left, window.top, window.width_px) == (500_001.0, 5e6, 32)


def test_made_twice_it_is_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_folder(files(), tmp_path / "again")
    for path in sorted(folder.rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(folder)).read_bytes()
    assert len(list((tmp_path / "again").rglob("*.*"))) == 5


@pytest.mark.parametrize("part", ["images", "masks"])
def test_a_file_that_was_changed_since_is_named(folder: Path, part: str) -> None:
    write_png(folder / part / "1_-3.png", np.zeros((32, 32, 3), np.uint8))
    source = DataSource(folder=folder)
    with pytest.raises(BadTrainingData, match=rf"{part}/1_-3\.png is not the file that manifest"):
        check_sources([source])
    first, second = list_pairs(source)
    read_pair(first, source)
    with pytest.raises(BadTrainingData, match=rf"{part}/1_-3\.png is not the file"):
        read_pair(second, source)


def test_a_file_that_the_manifest_does_not_know_is_named(folder: Path) -> None:
    for part in ("images", "masks"):
        write_png(folder / part / "more.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(BadTrainingData, match=r"more\.png or its mask is not in"):
        list_pairs(DataSource(folder=folder))


def test_a_file_that_is_missing_is_named(folder: Path) -> None:
    (folder / "masks" / "1_-3.png").unlink()
    with pytest.raises(BadTrainingData, match="masks lacks 1 of 2 files"):
        check_sources([DataSource(folder=folder)])


def test_without_its_manifest_it_is_a_folder_like_any(folder: Path) -> None:
    (folder / MANIFEST_FILE).unlink()
    image = read_source(DataSource(folder=folder, ignore_values=(IGNORE,)))[0]
    assert image.crack.sum() == image.ignore.sum() == 128


@pytest.mark.parametrize(
    "change",
    [
        {"format": "something else"},
        {"images": []},
        {"images": [{"name": "../a"}]},
        {"more": 1},
    ],
)
def test_a_broken_manifest_is_told(folder: Path, change: dict[str, object]) -> None:
    document = json.loads((folder / MANIFEST_FILE).read_text()) | change
    (folder / MANIFEST_FILE).write_text(json.dumps(document))
    with pytest.raises(BadTrainingData, match=r"is no manifest .* \(.+\); export or import"):
        list_pairs(DataSource(folder=folder))


def without_manifest() -> Files:
    return files()[:-1]


def with_another_file() -> Files:
    return [("images/more.png", b"x"), *files()]


def with_a_file_outside() -> Files:
    return [("images/../../escaped", b"x"), *files()]


def with_changed_bytes() -> Files:
    name, content = files()[0]
    return [(name, content + b"x"), *files()[1:]]


def test_a_fingerprint_is_of_what_is_ignored_whoever_says_so(folder: Path) -> None:
    plain, ignoring = DataSource(folder=folder), DataSource(folder=folder, ignore_values=(IGNORE,))
    told = fingerprint([plain])
    assert fingerprint([ignoring]) == told
    (folder / MANIFEST_FILE).unlink()
    assert fingerprint([ignoring]) == told
    assert fingerprint([plain]) != told


def test_a_link_to_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk")
    write_folder(files(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert check_sources([DataSource(folder=tmp_path / "disk")]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link"]


def test_a_mount_point_is_refused_at_once() -> None:
    with pytest.raises(BadTrainingData, match="name a folder inside it"):
        write_folder(iter(()), Path("/proc"))


@pytest.mark.parametrize(
    "broken", [without_manifest, with_another_file, with_a_file_outside, with_changed_bytes]
)
def test_an_unfit_set_leaves_nothing_behind(tmp_path: Path, broken: object) -> None:
    assert callable(broken)
    with pytest.raises(BadTrainingData):
        write_folder(broken(), tmp_path / "set")
    assert list(tmp_path.iterdir()) == []
    assert not (tmp_path.parent / "escaped").exists()


def test_what_is_there_is_never_overwritten(folder: Path) -> None:
    before = (folder / MANIFEST_FILE).read_bytes()
    with pytest.raises(BadTrainingData, match="is there already"):
        write_folder(files(), folder)
    assert (folder / MANIFEST_FILE).read_bytes() == before


def test_what_comes_there_meanwhile_is_not_overwritten_either(tmp_path: Path) -> None:
    target = tmp_path / "set"

    def made() -> None:
        with new_folder(target):
            target.mkdir()
            (target / "another's").write_bytes(b"work")

    with pytest.raises(BadTrainingData, match="is there already"):
        made()
    assert [each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()] == [b"work"]


def test_nothing_labelled_is_no_set(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match="nothing labelled"):
        write_folder(packed(iter(()), source={}, gsd_m=None), tmp_path / "set")
