"""Draws docs/images/distractors.png, what is drawn into crops: `python docs/images/distractors.py`.

The photographs are of `uav_cc0` (CC0).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np

from pavemap.training.data.datasets import list_pairs, read_pair
from pavemap.training.data_source import DataSource
from pavemap.training.sampling.distractors import KINDS, draw, hidden
from pavemap.training.sampling.drawn_cracks import with_crack

RED, BLUE = (214, 40, 40), (29, 78, 216)
SIDE_PX = 300
CRACK = "a crack"
# An image and a seed for each kind, so that its picture shows the kind well.
SHOWN = {
    "joint": (13, 1),
    "marking": (70, 3),
    "sealed crack": (101, 5),
    "patch": (101, 3),
    "stain": (119, 2),
    "shadow of a pole": (5, 5),
    "tining": (181, 2),
    CRACK: (119, 2),
}


def main() -> None:
    """Draw one picture of each kind, with the labels that teach and those that are hidden."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/uav_cc0"))
    options = parser.parse_args()
    source = DataSource(folder=options.data, list="train")
    pairs = list_pairs(source)
    figure, axes = plt.subplots(4, 2, figsize=(9.6, 10.5), layout="constrained")
    for axis, kind in zip(axes.flat, [*KINDS, CRACK], strict=True):
        number, seed = SHOWN[kind]
        image = read_pair(pairs[number], source)
        window = (slice(60, 60 + SIDE_PX), slice(60, 60 + SIDE_PX))
        crop, crack = image.pixels[window], image.crack[window].astype(np.uint8)
        rng, covered = np.random.default_rng(seed), np.zeros(crack.shape, np.float32)
        if kind == CRACK:
            drawn, labels = with_crack(rng, crop, crack.astype(np.float32))
            crack = (labels > 0.5).astype(np.uint8)
        else:
            drawn, covered = draw(rng, crop, [kind])
        outlines, _ = cv2.findContours(crack, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        picture = cv2.drawContours(drawn.copy(), outlines, -1, RED, 1)
        picture[hidden(covered, crack > 0)] = BLUE
        axis.imshow(np.hstack([drawn, picture]))
        axis.set_title(kind, fontsize=10)
        axis.axis("off")
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
