"""AigleRN, the paper's second data set: 38 grey images whose truth is drawn black on white.

Its images are on its authors' site only (Crack Detection Dataset, S. Chambon, IRIT). Two layouts are
read: pavemap's own, `images/` and `masks/` with the same names, and the published archive's,

    IMAGES/AIGLE_RN/Im_GT_AIGLE_RN_<number>or.png    (images without truth are named Im_noGT_...)
    GROUND_TRUTH/AIGLE_RN/GT_AIGLE_RN_<number>.png   (the folder is also seen as GROUNDTRUTH)
"""

from __future__ import annotations

import re
from pathlib import Path

from pavemap.training.data.datasets import (
    IMAGE_SUFFIXES,
    LabelledImage,
    Pair,
    list_pairs,
    read_pair,
)
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingData

IMAGE_NAME = re.compile(r"Im_GT_AIGLE_RN_(?P<number>\w+?)(or)?$")
TRUTH_NAME = re.compile(r"GT_AIGLE_RN_(?P<number>\w+?)(or)?$")


def read_aiglern(folder: Path) -> list[LabelledImage]:
    """Every labelled image, one channel, cracks where the truth is dark; by name.

    Raises BadTrainingData when the folder has neither layout or an image lacks its truth.
    """
    source = DataSource(folder=folder, inverted=True)
    pairs = list_pairs(source) if (folder / "images").is_dir() else _published(folder)
    return [read_pair(pair, source, channels=1) for pair in pairs]


def _published(folder: Path) -> list[Pair]:
    images = _numbered(folder / "IMAGES" / "AIGLE_RN", IMAGE_NAME)
    truths = {
        **_numbered(folder / "GROUNDTRUTH" / "AIGLE_RN", TRUTH_NAME),
        **_numbered(folder / "GROUND_TRUTH" / "AIGLE_RN", TRUTH_NAME),
    }
    if not images:
        raise BadTrainingData(
            f"{folder} is no AigleRN set: it has neither images/ with masks/ nor "
            "IMAGES/AIGLE_RN/Im_GT_AIGLE_RN_*; name the unpacked archive's folder"
        )
    missing = sorted(set(images) - set(truths))
    if missing:
        raise BadTrainingData(
            f"{folder} lacks the ground truth of {len(missing)} of {len(images)} images, "
            f"the first is {missing[0]}; unpack the whole archive"
        )
    return [Pair(number, images[number], truths[number]) for number in sorted(images)]


def _numbered(folder: Path, name: re.Pattern[str]) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    found = {}
    for path in sorted(folder.iterdir()):
        match = name.match(path.stem)
        if match and path.suffix.lower() in IMAGE_SUFFIXES:
            found[match["number"]] = path
    return found
