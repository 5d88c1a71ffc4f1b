"""COCO labels become masks, pixel by pixel; hostile ones are refused and leave nothing behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND
from pavemap.training.data import coco, coco_masks
from pavemap.training.data.coco import _free_name, coco_files
from pavemap.training.data.datasets import read_source
from pavemap.training.data.manifest import Manifest
from pavemap.training.data.pair_folder import write_folder
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingData
from training.drawing import turned_file, write_png

Json = dict[str, Any]
WIDTH, HEIGHT = 9, 7


def pixels(seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def document(*annotations: Json, **changes: Any) -> Json:
    """Labels of one image of 9 x 7 pixels; category 1 is crack, 2 is pothole."""
    return {
        "images": [{"id": 1, "file_name": "road.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "Crack"}, {"id": 2, "name": "pothole"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, **each}
            for number, each in enumerate(annotations)
        ],
    } | changes


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    write_png(folder / "road.png", pixels())
    return folder


@pytest.fixture
def imported(images: Path, tmp_path: Path) -> Callable[..., Manifest]:
    def imported(labels: Json, **options: Any) -> Manifest:
        path = tmp_path / "labels.json"
        path.write_text(json.dumps(labels))
        return write_folder(coco_files(path, images, **options), tmp_path / "set")

    return imported


@pytest.fixture
def masked(imported: Callable[..., Manifest], tmp_path: Path) -> Callable[..., list[str]]:
    def masked(labels: Json, **options: Any) -> list[str]:
        """The mask of the first image, '#' crack and '?' not known."""
        first = imported(labels, **options).images[0]
        mask = cv2.imread(str(tmp_path / "set" / first.mask.file), cv2.IMREAD_GRAYSCALE)
        marks = {CRACK: "#", SOUND: ".", IGNORE: "?"}
        assert mask is not None
        return ["".join(marks[int(value)] for value in row) for row in mask]

    return masked


TEE = [
    "#........",
    ".........",
    ".#######.",
    "....#....",
    "....#....",
    "....#....",
    ".........",
]


def test_outlines_cover_the_pixels_whose_centre_they_hold(masked: Callable[..., list[str]]) -> None:
    bar, stem, dot = [1, 2, 8, 2, 8, 3, 1, 3], [4, 3, 5, 3, 5, 6, 4, 6], [0, 0, 1, 0, 1, 1, 0, 1]
    labels = document({"segmentation": [bar, stem]}, {"segmentation": [dot]})
    assert masked(labels) == TEE


def test_an_outline_thinner_than_a_pixel_covers_the_pixels_it_runs_through(
    masked: Callable[..., list[str]],
) -> None:
    """Neither holds a centre: those of the slanted one's pixels are at x + y = 9, it at 9.2 to 9.3."""
    level = [1.2, 1.6, 7.8, 1.6, 7.8, 1.9, 1.2, 1.9]
    slanted = [2.3, 6.9, 5.3, 3.9, 5.4, 3.9, 2.4, 6.9]
    assert masked(document({"segmentation": [level]}, {"segmentation": [slanted]})) == [
        ".........",
        ".#######.",
        ".........",
        ".....#...",
        "....#....",
        "...#.....",
        "..#......",
    ]


def test_an_outline_thinner_than_a_pixel_is_cut_at_the_image(
    masked: Callable[..., list[str]],
) -> None:
    """Walked along pixel by pixel, this one would take minutes."""
    far = [-9e8, 3.6, 9e8, 3.6, 9e8, 3.9, -9e8, 3.9]
    outside = [-50, -50, -40, -50, -40, -49.9]
    found = masked(document({"segmentation": [far, outside]}))
    assert found == ["." * 9] * 3 + ["#" * 9] + ["." * 9] * 3


def test_runs_are_read_plain_and_compressed(
    masked: Callable[..., list[str]], tmp_path: Path
) -> None:
    """The compressed text is pycocotools' own for this mask."""
    drawn = np.array([[sign == "#" for sign in row] for row in TEE])
    flat = drawn.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *([0] if flat[0] else []), *edges, len(flat)]).tolist()
    size = [HEIGHT, WIDTH]
    assert masked(document({"segmentation": {"counts": counts, "size": size}, "iscrowd": 1})) == TEE
    (tmp_path / "set").rename(tmp_path / "first")
    text = "0180N00003MM30005"
    assert masked(document({"segmentation": {"counts": text, "size": size}})) == TEE


def test_a_box_drawn_backwards_is_the_same_box(masked: Callable[..., list[str]]) -> None:
    box = {"segmentation": [], "bbox": [4, 4, -2, -3]}
    assert masked(document(box)) == [
        ".........",
        *["..??....."] * 3,
        *["........."] * 3,
    ]


def test_an_image_of_16_bits_is_refused(imported: Callable[..., Manifest], images: Path) -> None:
    assert cv2.imwrite(str(images / "road.png"), pixels().astype(np.uint16) * 16)
    with pytest.raises(BadTrainingData, match=r"road\.png holds values of uint16"):
        imported(document())


def test_long_compressed_runs_are_those_of_pycocotools() -> None:
    """A mask of 300 x 400 with a pixel at (5, 5) and a block of 10 columns at rows 290 to 294."""
    mask = np.zeros((300, 400), np.bool_)
    mask[5, 5] = mask[290:295, 300:310] = True
    runs = {"counts": "Q_11`ff24gbYM00000000000000000fRj0", "size": [300, 400]}
    found = coco_masks._decoded(runs, (300, 400), 1)
    assert np.array_equal(found, mask)


def test_what_has_only_a_box_is_not_known_but_where_it_is_outlined_too(
    masked: Callable[..., list[str]],
) -> None:
    labels = document(
        {"bbox": [1.5, 1, 3, 2.2]}, {"segmentation": [[0, 2, 3, 2, 3, 3, 0, 3]], "bbox": []}
    )
    assert masked(labels) == [
        ".........",
        ".????....",
        "###??....",
        ".????....",
        ".........",
        ".........",
        ".........",
    ]


def test_categories_are_chosen_and_others_can_be_left_unknown(
    masked: Callable[..., list[str]], tmp_path: Path
) -> None:
    square = {"segmentation": [[0, 0, 2, 0, 2, 1, 0, 1]]}
    labels = document({**square, "category_id": 2}, {"segmentation": [[4, 0, 6, 0, 6, 1, 4, 1]]})
    assert masked(labels)[0] == "....##..."
    (tmp_path / "set").rename(tmp_path / "1")
    assert masked(labels, ignored=["pothole"])[0] == "??..##..."
    (tmp_path / "set").rename(tmp_path / "2")
    assert masked(labels, categories=["pothole"])[0] == "##......."
    with pytest.raises(BadTrainingData, match=r"no category 'ruts'; there are Crack, pothole"):
        masked(labels, categories=["ruts"])
    kinds = [{"id": 1, "name": "ruts"}, {"id": 2, "name": "snow"}]
    with pytest.raises(BadTrainingData, match=r"no category is called crack.*ruts, snow"):
        masked(document(categories=kinds))


def test_one_file_under_two_ids_is_refused(imported: Callable[..., Manifest]) -> None:
    """What is a crack in one of its masks would be sound in the other."""
    size = {"width": WIDTH, "height": HEIGHT}
    twice = [
        {"id": 1, "file_name": "road.png", **size},
        {"id": 2, "file_name": "./road.png", **size},
    ]
    with pytest.raises(BadTrainingData, match=r"road\.png twice, under two ids"):
        imported(document(images=twice))


def test_images_keep_their_bytes_and_get_names_of_their_own(
    imported: Callable[..., Manifest], images: Path, tmp_path: Path
) -> None:
    (images / "a").mkdir()
    write_png(images / "a" / "road 1.png", pixels(1))
    write_png(images / "a_road_1.png", pixels(2))
    shown = ["a/road 1.png", "a_road_1.png", "road.png"]
    told = [
        {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for number, name in enumerate(shown)
    ]
    manifest = imported(document({"bbox": [0, 0, 1, 1]}, images=told[::-1]) | {"annotations": []})
    assert [each.name for each in manifest.images] == ["a_road_1", "a_road_1-2", "road"]
    for example, name in zip(manifest.images, shown, strict=True):
        assert (tmp_path / "set" / example.image.file).read_bytes() == (images / name).read_bytes()
    assert manifest.source["kind"] == "coco"
    assert not any(image.crack.any() for image in read_source(DataSource(folder=tmp_path / "set")))


def test_names_that_are_one_when_written_plainly_are_numbered_on() -> None:
    """Each has its number at once, though a file may have the name that a number would make."""

    class Counted(dict[str, int]):
        asked = 0

        def __contains__(self, name: object) -> bool:
            self.asked += 1
            return super().__contains__(name)

    taken = Counted()
    names = [_free_name(f"道路{chr(0x4E00 + number)}.png", taken) for number in range(300)]
    assert names == ["image", *(f"image-{number}" for number in range(2, 301))]
    assert taken.asked <= 2 * 300
    more = ["Image-2.png", "IMAGE.png", "image-302.png", "道.png"]
    assert [_free_name(name, taken) for name in more] == [
        "Image-2-2",
        "IMAGE-301",
        "image-302",
        "image-303",
    ]


def image(**changes: Any) -> list[Json]:
    return [{"id": 1, "file_name": "road.png", "width": WIDTH, "height": HEIGHT} | changes]


RUN = {"size": [HEIGHT, WIDTH]}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "holds no COCO labels"),
        ({}, "no list of 'images'"),
        (document(images=[1]), "no list of 'images'"),
        (document(images=image() * 2), "have the id 1"),
        (document(images=image(width="9")), "needs an id"),
        (document(images=image(width=10**6, height=10**6)), "cut it into parts"),
        (document(images=image(width=8)), "9 x 7 pixels, but the labels say 8 x 7"),
        (document(images=image(file_name="../secret.png")), "outside the folder"),
        (document(images=image(file_name="/etc/passwd")), "outside the folder"),
        (document(images=image(file_name="a\\..\\..\\secret.png")), "outside the folder"),
        (document(images=image(file_name="link.png")), "outside the folder"),
        (document(images=image(file_name="a\x00.png")), "outside the folder"),
        (document(images=image(file_name="pipe.png")), "is missing"),
        (document(images=image(file_name="none.png")), "is missing"),
        (document(images=image(file_name="notes.txt")), "of no format read here"),
        (document(images=image(file_name="fake.png")), "can't be read as an image"),
        (document(images=image(file_name="half.png")), "can't be read as an image"),
        (document(images=image(file_name="turned.jpg")), "save it upright"),
        (document(images=image(file_name="turned.png")), "save it upright"),
        (document(categories=[{"id": [], "name": "x"}]), "no id or no name"),
        (document({"image_id": []}), "#1 is of an image or a category"),
        (document({"category_id": 7}), "#1 is of an image or a category"),
        (document({"segmentation": [[1, 2, 3]]}), "#1 has an outline"),
        (document({"segmentation": [[1, 2, 3, 4, 5, "x"]]}), "#1 has an outline"),
        (document({"segmentation": "x"}), "#1 has neither outlines nor runs"),
        (document({"segmentation": []}), "#1 has neither an outline nor a box"),
        (document({"segmentation": {**RUN, "counts": [10**18]}}), "don't add up"),
        (document({"segmentation": {**RUN, "counts": [-1, 64]}}), "don't add up"),
        (document({"segmentation": {**RUN, "counts": {"a": 1}}}), "don't add up"),
        (document({"segmentation": {"size": [1, 63], "counts": [63]}}), "another size"),
        (document({"segmentation": {**RUN, "counts": "\x7f"}}), "can't be read"),
        (document({"segmentation": {**RUN, "counts": "oooooooooooooooo1"}}), "can't be read"),
        (document({"segmentation": {**RUN, "counts": "o"}}), "end half way"),
    ],
)
def test_labels_that_can_t_be_used_are_refused_and_leave_nothing(
    imported: Callable[..., Manifest], images: Path, tmp_path: Path, labels: Any, message: str
) -> None:
    write_png(tmp_path / "secret.png", pixels())
    (images / "link.png").symlink_to(tmp_path / "secret.png")
    (images / "notes.txt").write_text("x")
    (images / "fake.png").write_text("<OGRVRTDataSource/>")
    whole = (images / "road.png").read_bytes()
    (images / "half.png").write_bytes(whole[:40])
    os.mkfifo(images / "pipe.png")
    for suffix in (".jpg", ".png"):
        (images / f"turned{suffix}").write_bytes(turned_file(suffix, pixels()))
    with pytest.raises(BadTrainingData, match=message):
        imported(labels)
    assert not (tmp_path / "set").exists()
    assert not list(tmp_path.glob(".set*"))


def test_labels_that_are_no_json_or_too_long_are_refused(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "labels.json"
    path.write_text("{" * 100_000)
    with pytest.raises(BadTrainingData, match="is no JSON"):
        coco_files(path, images)
    monkeypatch.setattr(coco, "MAX_LABELS_BYTES", 10)
    with pytest.raises(BadTrainingData, match="split the labels"):
        coco_files(path, images)
