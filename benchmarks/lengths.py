"""How true detected length is, by vectorising parameters: `python benchmarks/lengths.py [--data FOLDER]`.

Lines of the shipped model's probability maps against lines of the labels, both by the same vectoriser, at
the card's threshold, each image as a survey of its own. For each set of images the total length found
over the total length labelled, and the mean over images of |found - labelled| over the mean labelled
length. A total may be true because what is missed is as long as what is false; so both are told too, in
per cent of the labelled length: found lines farther than 8 pixels from any labelled one, and the reverse;
and F1, the harmonic mean of what is right of the found length and what is found of the labelled one
(correctness and completeness, Heipke et al. 1997).

`--sets validation` compares parameters on the images they may be chosen by, which are those of the model's
configuration, and names the choice. Those images were taken because they show cracks, one to four metres
of them on a square metre; a road has far fewer, and all the other ground to find false ones on. So false
length counts as often as on a road with one crack along each lane (`SURVEY_DENSITY`), and of the
parameters with nearly the best mean F1 those with the truest total are taken. The held-out sets are for
reporting: there only the card's own parameters are looked at, and each metre counts once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import numpy as np
import shapely
from accuracy import HELD_OUT
from numpy.typing import NDArray

from pavemap.geo.vectorizing.vectorize import VectorizeParams
from pavemap.training.data.datasets import list_pairs, read_pair
from pavemap.training.data_source import DataSource
from pavemap.training.inference import CrackModel
from pavemap.training.models.shipped_models import find_model_folder
from pavemap.training.scoring.lengths import LABELLED, crack_lines, truest

Lines = NDArray[np.object_]

NEAR_PX = 8.0

SURVEY_DENSITY = 1 / 3.5
"""Metres of crack on a square metre: one along each lane, of 3.5 m."""

SETS = {
    "validation": (
        ("cfd", {"list": "train", "leave_out_every": 9, "left_out": True}),
        ("uav_cc0", {"list": "val"}),
        ("deepcrack_256/train", {"leave_out_every": 10, "left_out": True}),
        ("crack500_256/train", {"leave_out_every": 10, "left_out": True}),
    ),
    "held-out": tuple((folder, {"list": names}) for folder, names in HELD_OUT),
}

LOW = (None, 0.4, 0.3, 0.2)
SURE = (None, 0.6, 0.65, 0.7, 0.75, 0.8)
LEAST_M = (0.05, 0.08, 0.12, 0.16, 0.2, 0.3)


def variants(plain: VectorizeParams) -> Iterator[tuple[str, VectorizeParams]]:
    """Yield the parameters that are compared."""
    yield "plain", plain
    close = replace(plain, gap_px=8.0, gap_angle_deg=40.0)
    for low in LOW:
        named = "gap 8" if low is None else f"gap 8, low {low:g}"
        yield named, replace(close, low_threshold=low)
        for sure, least in product(SURE, LEAST_M):
            counted = f"{least:g} m" if sure is None else f"{least:g} m of {sure:g}"
            yield (
                f"{named}, {counted}",
                replace(close, low_threshold=low, min_length_m=least, sure_threshold=sure),
            )


@dataclass
class Lengths:
    """What is found and labelled in the images of a set, in pixels; `area` in square pixels."""

    found: list[float] = field(default_factory=list)
    labelled: list[float] = field(default_factory=list)
    false: float = 0.0
    missed: float = 0.0
    area: float = 0.0

    def add(self, found: Lines, labelled: Lines, area: float) -> None:
        """Take the lines of one image."""
        self.area += area
        self.found.append(float(shapely.length(found).sum()))
        self.labelled.append(float(shapely.length(labelled).sum()))
        self.false += _far(found, labelled)
        self.missed += _far(labelled, found)

    def figures(self, *, density: float | None = None) -> NDArray[np.float64]:
        """Return found / labelled; in % the error per image, what is false and missed; F1.

        density: of labelled cracks, in pixels of length on a square pixel, where it should not be that of
        these images. Less of them beside as much false length on the ground is what a survey meets.
        """
        found, labelled = np.array(self.found), np.array(self.labelled)
        total = labelled.sum()
        rarer = 1.0 if density is None else total / self.area / density
        false, missed = self.false / total * rarer, self.missed / total
        ratio = (found.sum() - self.false) / total + false
        right, complete = 1.0 - false / max(ratio, 1e-9), 1.0 - missed
        f1 = 2.0 * right * complete / max(right + complete, 1e-9)
        error = np.abs(found - labelled).mean() / labelled.mean()
        return np.array([ratio, 100.0 * error, 100.0 * false, 100.0 * missed, f1])


def cells(figures: NDArray[np.float64]) -> str:
    """Columns of the table."""
    ratio, error, false, missed, f1 = figures
    return f"{ratio:.3f} | {error:.1f} % | {false:.1f} % | {missed:.1f} % | {f1:.4f}"


def _far(lines: Lines, others: Lines) -> float:
    """The length of lines that is farther than `NEAR_PX` from all others."""
    flat, near = (shapely.union_all(shapely.force_2d(some)) for some in (lines, others))
    return float(shapely.length(shapely.difference(flat, shapely.buffer(near, NEAR_PX))))


def choice(by_set: dict[str, list[NDArray[np.float64]]]) -> str:
    """Return the parameters to take, by their figures on each set."""
    f1 = {name: float(np.mean([figures[4] for figures in sets])) for name, sets in by_set.items()}
    of_sets = zip(*by_set.values(), strict=True)
    return truest(
        f1, [dict(zip(by_set, (each[0] for each in figures), strict=True)) for figures in of_sets]
    )


def main() -> None:
    """Detect each set once, vectorise it by every variant, print a table and the choice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--model", help="a shipped name or a folder; by default the shipped default"
    )
    parser.add_argument("--sets", choices=sorted(SETS), default="held-out")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    model = CrackModel.load(find_model_folder(options.model), threads=options.threads)
    gsd_m = model.card.gsd_m
    shipped = {**model.card.vectorize, "threshold": model.card.threshold}
    compared = {"as shipped": VectorizeParams.from_dict(shipped)}
    if options.sets == "validation":
        compared.update(variants(VectorizeParams(threshold=model.card.threshold)))
    print(f"{model.card.model_id}, threshold {model.card.threshold:g}\n")
    print(
        "| data | images | parameters | found / labelled | error per image | false | missed | F1 |"
    )
    print("|---|---|---|---|---|---|---|---|")
    choosing = options.sets == "validation"
    density = SURVEY_DENSITY * gsd_m if choosing else None
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in compared}
    for folder, settings in SETS[options.sets]:
        source = DataSource(folder=options.data / folder, **settings)
        if not source.folder.is_dir():
            continue
        maps, labelled = [], []
        for pair in list_pairs(source):
            image = read_pair(pair, source)
            maps.append(model.detect(image.pixels))
            label = np.where(image.crack, np.uint8(255), np.uint8(0))
            labelled.append(crack_lines(label, LABELLED, gsd_m=gsd_m))
        for name, params in compared.items():
            lengths = Lengths()
            for picture, truth in zip(maps, labelled, strict=True):
                lengths.add(crack_lines(picture, params, gsd_m=gsd_m), truth, picture.size)
            found[name].append(lengths.figures(density=density))
            print(f"| {folder} | {len(maps)} | {name} | {cells(found[name][-1])} |", flush=True)
    if choosing:
        means = {name: np.mean(sets, axis=0) for name, sets in found.items()}
        for name in sorted(means, key=lambda name: -means[name][4]):
            print(f"| mean | | {name} | {cells(means[name])} |")
        print(f"\nchosen: {choice(found)}")


if __name__ == "__main__":
    main()
