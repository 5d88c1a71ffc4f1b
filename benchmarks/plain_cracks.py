"""How much of plainly drawn cracks models find: `python benchmarks/plain_cracks.py [--data FOLDER]`.

One dark line of even width is drawn across the middle square of each image, straying from straight by
so many pixels (the standard deviation along its course, which bends at all sizes from 12 to 200
pixels). What is printed is the share of its pixels within 2 of what the model finds at its card's
threshold, without what is labelled there already. A straight one is a joint to those that were taught
joints; one that strays is a crack.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from chosen_models import add_models, model_folders
from distractors import cracks, middle, sources
from numpy.typing import NDArray

from pavemap.training.data.datasets import LabelledImage, list_pairs, read_pair
from pavemap.training.inference import CrackModel
from pavemap.training.metrics import TOLERANCE_PX, within
from pavemap.training.sampling.strokes import axes, band, course

STRAYING_PX = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
DARKNESS = 0.5


def drawn(
    seed: int, image: LabelledImage, straying_px: float, width_px: float
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The image with a crack drawn in, and where that is (H, W)."""
    rng = np.random.default_rng(seed)
    side = len(image.crack)
    across, along = axes(rng, side, rng.uniform(0, np.pi))
    across = across + np.float32(straying_px) * course(rng, along, finest_px=12, coarsest_px=200)
    inside = band(across, width_px, 0.5)
    light = image.pixels * (1 - inside * (1 - DARKNESS))[:, :, None]
    return np.clip(np.rint(light), 0, 255).astype(np.uint8), inside > 0.5


def found_share(
    model: CrackModel, images: list[LabelledImage], straying_px: float, width_px: float
) -> float:
    """The share of all drawn pixels that is found."""
    there = found = 0
    for seed, image in enumerate(images):
        pixels, line = drawn(seed, image, straying_px, width_px)
        line &= ~within(image.crack | image.ignore, 4 * TOLERANCE_PX)
        there += int(line.sum())
        found += int((line & within(cracks(model, pixels), TOLERANCE_PX)).sum())
    return found / max(there, 1)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    add_models(parser)
    parser.add_argument("--sets", choices=["validation", "held-out"], default="held-out")
    parser.add_argument("--every", type=int, default=1, help="take every n-th image only")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    pairs = [(p, s) for s in sources(options.data, options.sets) for p in list_pairs(s)]
    images = [middle(read_pair(*pair)) for pair in pairs[:: options.every]]
    head = " | ".join(f"{px:g} px" for px in STRAYING_PX)
    print(
        f"{len(images)} images\n\n| model | width | {head} |\n|---|---|{'---|' * len(STRAYING_PX)}"
    )
    for folder in model_folders(options):
        model = CrackModel.load(folder, threads=options.threads)
        for width_px in (3.0, 6.0):
            shares = [found_share(model, images, px, width_px) for px in STRAYING_PX]
            row = " | ".join(f"{100 * share:.0f} %" for share in shares)
            print(f"| {model.card.model_id} | {width_px:g} px | {row} |", flush=True)


if __name__ == "__main__":
    main()
