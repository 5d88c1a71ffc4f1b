"""The labelled images that experiments use: the sets at hand, folds, and what is kept back to validate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pavemap.training.data.datasets import LabelledImage, read_source
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingData

Images = Sequence[LabelledImage]
KEPT_BACK_EVERY = 9  # of the training images, to choose a threshold or a step on


@dataclass(frozen=True)
class Split:
    """Images to train on and images to test on."""

    name: str
    train: Images
    test: Images


# Training and test part of the sets at hand; a set without lists of its own has two folders.
SETS = {
    "cfd": ("cfd", "train", "cfd", "test"),
    "deepcrack": ("deepcrack_256/train", None, "deepcrack_256/test", None),
    "crack500": ("crack500_256/train", None, "crack500_256/test", None),
    "uav_cc0": ("uav_cc0", "train", "uav_cc0", "test"),
}


def split_of(data: Path, name: str) -> Split:
    """A set's own training and test images. Raises BadTrainingData."""
    folder, names, test_folder, test_names = SETS[name]
    return Split(
        "split",
        read_source(DataSource(folder=data / folder, list=names)),
        read_source(DataSource(folder=data / test_folder, list=test_names)),
    )


def folder_of(name: str) -> str:
    """The folder of a set at hand, as cards say it; its training part is called `<folder>/train` there."""
    return Path(SETS[name][0]).parts[0]


def others_than(data: Path, name: str) -> list[Images]:
    """The training images of the sets at hand but one. Raises BadTrainingData."""
    sources = (SETS[other][:2] for other in SETS if other != name)
    return [read_source(DataSource(folder=data / folder, list=names)) for folder, names in sources]


def folds_of(images: Images, count: int) -> list[Split]:
    """A cross-validation: every image is tested once; which goes where is drawn once for all."""
    ordered = sorted(images, key=lambda image: image.name)
    fold = np.random.default_rng(0).permutation(len(ordered)) % count
    return [
        Split(
            f"fold-{number + 1}-of-{count}",
            [image for image, part in zip(ordered, fold, strict=True) if part != number],
            [image for image, part in zip(ordered, fold, strict=True) if part == number],
        )
        for number in range(count)
    ]


def kept_back(images: Images) -> tuple[Images, Images]:
    """Training images less every ninth, and those. Raises BadTrainingData when there is no ninth."""
    if len(images) < KEPT_BACK_EVERY:
        raise BadTrainingData(
            f"{len(images)} training images are too few to keep one back; give at least {KEPT_BACK_EVERY}"
        )
    held = images[KEPT_BACK_EVERY - 1 :: KEPT_BACK_EVERY]
    names = {image.name for image in held}
    return [image for image in images if image.name not in names], held


def half_of(images: Images) -> Images:
    """Every second image."""
    return images[::2]
