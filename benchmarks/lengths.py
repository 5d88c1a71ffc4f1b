"""How true detected length is, by vectorising parameters: `python benchmarks/lengths.py [--data FOLDER]`.

Lines of the shipped model's probability maps against lines of the labels, both by the same vectoriser, at
the card's threshold. For each set of images the total length found over the total length labelled, and
the mean over images of |found - labelled| over the mean labelled length. `--sets validation` is what
parameters may be chosen by; the held-out sets are for reporting.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
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


def length_px(picture: Picture, params: VectorizeParams, gsd_m: float) -> float:
    """Return the length of a picture's lines in pixels."""
    lines = vectorize(picture, transform=Affine.identity(), params=params, metres_per_px=gsd_m)
    return float(line_stats(lines)["length_m"].sum()) if len(lines) else 0.0


def main() -> None:
    """Detect each set once, vectorise it by every variant, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--model", help="a shipped name or a folder; by default the shipped default"
    )
    parser.add_argument("--sets", choices=sorted(SETS), default="held-out")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    model = CrackModel.load(find_model(options.model), threads=options.threads)
    gsd_m = model.card.gsd_m
    compared = variants(VectorizeParams(threshold=model.card.threshold))
    shipped = {**model.card.vectorize, "threshold": model.card.threshold}
    compared["as shipped"] = VectorizeParams.from_dict(shipped)
    print(f"{model.card.model_id}, threshold {model.card.threshold:g}\n")
    print("| data | images | parameters | total, found / labelled | error per image |")
    print("|---|---|---|---|---|")
    for folder, settings in SETS[options.sets]:
        source = DataSource(folder=options.data / folder, **settings)
        if not source.folder.is_dir():
            continue
        maps, labelled = [], []
        for pair in list_pairs(source):
            image = read_pair(pair, source)
            maps.append(model.detect(image.pixels))
            label = np.where(image.crack, np.uint8(255), np.uint8(0))
            labelled.append(length_px(label, VectorizeParams(), gsd_m))
        truth = np.array(labelled)
        for name, params in compared.items():
            found = np.array([length_px(picture, params, gsd_m) for picture in maps])
            error = np.abs(found - truth).mean() / truth.mean()
            print(
                f"| {folder} | {len(maps)} | {name} | {found.sum() / truth.sum():.3f} "
                f"| {error * 100:.1f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
