"""What models make of joints, paint and stains: `python benchmarks/distractors.py [--data FOLDER]`.

On the middle square of each image one distractor of each kind is drawn, by a fixed seed; both pictures are
scored at the card's threshold, without the labelled pixels that the distractor covers. Printed are the mean
F1 at 2 pixels and the pixels falsely called crack, of 10,000, both without and with what is drawn in.
`--sets validation` is what settings may be chosen by.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from accuracy import HELD_OUT
from chosen_models import add_models, model_folders
from lengths import SETS
from numpy.typing import NDArray

from pavemap.geo.vectorizing.hysteresis import crack_level
from pavemap.training.data.datasets import LabelledImage, list_pairs, read_pair
from pavemap.training.data_source import DataSource
from pavemap.training.inference import CrackModel
from pavemap.training.metrics import count
from pavemap.training.sampling.distractors import KINDS, draw, hidden

Mask = NDArray[np.bool_]

NEVER_TRAINED_ON = "nha12d_vertical"


def middle(image: LabelledImage) -> LabelledImage:
    """The largest square of an image around its middle."""
    height, width = image.crack.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    inner = (slice(top, top + side), slice(left, left + side))
    return LabelledImage(
        image.name,
        np.ascontiguousarray(image.pixels[inner]),
        image.crack[inner],
        image.ignore[inner],
    )


@dataclass
class Scores:
    """Of all images: the F1 of each, and how many pixels were called crack falsely."""

    f1: list[float] = field(default_factory=list)
    false: int = 0
    pixels: int = 0

    def add(self, found: Mask, image: LabelledImage, ignore: Mask) -> None:
        """Count one image."""
        counts = count(found, image.crack, ignore=ignore)
        self.f1.append(counts.score.f1)
        self.false += counts.detected - counts.right
        self.pixels += int((~ignore).sum())

    def __str__(self) -> str:
        return f"{np.mean(self.f1):.4f} | {10_000 * self.false / self.pixels:.1f}"


def cracks(model: CrackModel, pixels: NDArray[np.uint8]) -> Mask:
    """What the model calls a crack, by its card's threshold."""
    return model.detect(pixels) >= crack_level(model.card.threshold)


def scored(
    model: CrackModel, images: list[LabelledImage], before: list[Mask], kind: str
) -> tuple[Scores, Scores]:
    """Scores without and with one distractor of a kind; `before` is what is found without."""
    plain, disturbed = Scores(), Scores()
    for number, (image, found) in enumerate(zip(images, before, strict=True)):
        rng = np.random.default_rng((number, list(KINDS).index(kind)))
        drawn, covered = draw(rng, image.pixels, [kind])
        ignore = image.ignore | hidden(covered, image.crack)
        plain.add(found, image, ignore)
        disturbed.add(cracks(model, drawn), image, ignore)
    return plain, disturbed


def sources(data: Path, sets: str) -> list[DataSource]:
    """The sets of images, held-out ones without those that no model was trained for."""
    if sets == "validation":
        return [DataSource(folder=data / folder, **settings) for folder, settings in SETS[sets]]
    return [
        DataSource(folder=data / folder, list=names)
        for folder, names in HELD_OUT
        if not folder.startswith(NEVER_TRAINED_ON)
    ]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    add_models(parser)
    parser.add_argument("--sets", choices=["validation", "held-out"], default="held-out")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    images = [
        middle(read_pair(pair, source))
        for source in sources(options.data, options.sets)
        for pair in list_pairs(source)
    ]
    print(f"{len(images)} images, without | with a distractor\n")
    print("| model | drawn in | F1 without | false | F1 with | false |\n|---|---|---|---|---|---|")
    for folder in model_folders(options):
        model = CrackModel.load(folder, threads=options.threads)
        before = [cracks(model, image.pixels) for image in images]
        for kind in KINDS:
            plain, disturbed = scored(model, images, before, kind)
            print(f"| {model.card.model_id} | {kind} | {plain} | {disturbed} |", flush=True)


if __name__ == "__main__":
    main()
