"""Makes training data with a manifest of a folder of images and masks, however its masks are coded."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND
from pavemap.training.data.datasets import CODING, Pair, check_cracks, list_pairs, read_pair
from pavemap.training.data.manifest import NAME
from pavemap.training.data.pair_folder import Files, LabelledFile, packed
from pavemap.training.data_source import DataSource
from pavemap.training.errors import BadTrainingData


def pair_files(source: DataSource, *, gsd_m: float | None = None) -> Files:
    """Yield the files of a set made of another: its images as they are, masks of our values.

    `source` says which images, and how its masks are coded. Raises BadTrainingData.
    """
    pairs = list_pairs(source)
    check_cracks(pairs, source)
    coding = source.model_dump(mode="json", include={"list", *CODING})
    told = {"kind": "pairs", "name": source.label, "masks": coding}
    return packed(_labelled(pairs, source), source=told, gsd_m=gsd_m)


def exchanged(source: DataSource) -> str:
    """Say what to think of masks most of which, as `source` reads them, is crack."""
    if source.crack_values:
        return "--crack-value may name what is sound"
    if source.inverted:
        return "the masks may have cracks white on black (leave --inverted out)"
    return "the masks may be inverted, cracks black on white (--inverted)"


def _labelled(pairs: list[Pair], source: DataSource) -> Iterator[LabelledFile]:
    taken: set[str] = set()
    for pair in sorted(pairs, key=lambda pair: pair.name):
        image = read_pair(pair, source)
        mask = np.where(image.crack, np.uint8(CRACK), np.uint8(SOUND))
        mask[image.ignore] = IGNORE
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", pair.name).lstrip("._")[:190]
        if not re.fullmatch(NAME, name) or name in taken:
            raise BadTrainingData(
                f"{pair.image} can't keep its name; call it by letters, digits, '-' and '_', so that it "
                "differs from all others"
            )
        taken.add(name)
        yield LabelledFile(name, pair.image.suffix.lower(), pair.image.read_bytes(), mask)
