"""How true detected length is, by vectorising parameters: `python benchmarks/lengths.py [--data FOLDER]`.

Lines of the shipped model's probability maps against lines of the labels, both by the same vectoriser, at
the card's threshold. For each set of images the total length found over the total length labelled, and
the mean over images of |found - labelled| over the mean labelled length. A total may be true because what
is missed is as long as what is false; so both are told too, in per cent of the labelled length: found
lines farther than 8 pixels from any labelled one, and the reverse. `--sets validation` is what parameters
may be chosen by; the held-out sets are for reporting.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import shapely
from accuracy import HELD_OUT
from affine import Affine
from numpy.typing import NDArray

from pavemap.geo.measure import line_stats
from pavemap.geo.vectorize import VectorizeParams, vectorize
from pavemap.training.config import DataSource
from pavemap.training.datasets import list_pairs, read_pair
from pavemap.training.inference import CrackModel
from pavemap.training.registry import find_model

Picture = NDArray[np.uint8]
Lines = NDArray[np.object_]

NEAR_PX = 8.0

SETS = {
    "validation": (
        ("cfd", {"list": "train", "leave_out_every": 9, "left_out": True}),
        ("uav_cc0", {"list": "val"}),
    ),
    "held-out": (
        ("cfd", {"list": "test"}),
        ("nha12d_vertical/asphalt", {}),
        ("nha12d_vertical/concrete", {}),
    ),
    "every": tuple((folder, {"list": names}) for folder, names in HELD_OUT),
}


def variants(plain: VectorizeParams) -> dict[str, VectorizeParams]:
    """Return the parameters that are compared."""
    found = {"plain": plain}
    for low in (0.2, 0.3, 0.4, 0.5):
        found[f"low_threshold {low:g}"] = replace(plain, low_threshold=low)
    for gap in (4.0, 8.0):
        for angle in (20.0, 40.0):
            found[f"gap_px {gap:g}, {angle:g} degrees"] = replace(
                plain, gap_px=gap, gap_angle_deg=angle
            )
    found["min_length_m 0.05"] = replace(plain, min_length_m=0.05)
    found["min_length_m 0.1"] = replace(plain, min_length_m=0.1)
    close = replace(plain, gap_px=8.0, gap_angle_deg=40.0)
    found["gap 8 + min_length 0.1"] = replace(close, min_length_m=0.1)
    for low in (0.3, 0.4, 0.5):
        found[f"low {low:g} + gap 8 + min_length 0.1"] = replace(
            close, low_threshold=low, min_length_m=0.1
        )
    return found


def lines_of(picture: Picture, params: VectorizeParams, gsd_m: float) -> Lines:
    """Return a picture's lines, in pixels."""
    found = vectorize(picture, transform=Affine.identity(), params=params, metres_per_px=gsd_m)
    return np.asarray(found, object)


@dataclass
class Lengths:
    """What is found and labelled in the images of a set, in pixels."""

    found: list[float] = field(default_factory=list)
    labelled: list[float] = field(default_factory=list)
    false: float = 0.0
    missed: float = 0.0

    def add(self, found: Lines, labelled: Lines) -> None:
        """Take the lines of one image."""
        self.found.append(_length(found))
        self.labelled.append(_length(labelled))
        self.false += _far(found, labelled)
        self.missed += _far(labelled, found)

    def __str__(self) -> str:
        found, labelled = np.array(self.found), np.array(self.labelled)
        error = np.abs(found - labelled).mean() / labelled.mean()
        shares = (100 * part / labelled.sum() for part in (self.false, self.missed))
        false, missed = (f"{share:.0f} %" for share in shares)
        return f"{found.sum() / labelled.sum():.3f} | {error * 100:.1f} % | {false} | {missed}"


def _length(lines: Lines) -> float:
    return float(line_stats(lines)["length_m"].sum()) if len(lines) else 0.0


def _far(lines: Lines, others: Lines) -> float:
    """The length of lines that is farther than `NEAR_PX` from all others."""
    flat, near = (shapely.union_all(shapely.force_2d(some)) for some in (lines, others))
    return float(shapely.length(shapely.difference(flat, shapely.buffer(near, NEAR_PX))))


def main() -> None:
    """Detect each set once, vectorise it by every variant, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--model", help="a shipped name or a folder; by default the shipped default"
    )
    parser.add_argument("--sets", choices=sorted(SETS), default="held-out")
    parser.add_argument("--shipped", action="store_true", help="only the card's own parameters")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    model = CrackModel.load(find_model(options.model), threads=options.threads)
    gsd_m = model.card.gsd_m
    plain = VectorizeParams(threshold=model.card.threshold)
    compared = {} if options.shipped else variants(plain)
    shipped = {**model.card.vectorize, "threshold": model.card.threshold}
    compared["as shipped"] = VectorizeParams.from_dict(shipped)
    print(f"{model.card.model_id}, threshold {model.card.threshold:g}\n")
    print("| data | images | parameters | found / labelled | error per image | false | missed |")
    print("|---|---|---|---|---|---|---|")
    for folder, settings in SETS[options.sets]:
        source = DataSource(folder=options.data / folder, **settings)
        if not source.folder.is_dir():
            continue
        maps, labelled = [], []
        for pair in list_pairs(source):
            image = read_pair(pair, source)
            maps.append(model.detect(image.pixels))
            label = np.where(image.crack, np.uint8(255), np.uint8(0))
            labelled.append(lines_of(label, VectorizeParams(), gsd_m))
        for name, params in compared.items():
            lengths = Lengths()
            for picture, truth in zip(maps, labelled, strict=True):
                lengths.add(lines_of(picture, params, gsd_m), truth)
            print(f"| {folder} | {len(maps)} | {name} | {lengths} |", flush=True)


if __name__ == "__main__":
    main()
