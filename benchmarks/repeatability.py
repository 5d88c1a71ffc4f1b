"""How much a length depends on how an image lies: `python benchmarks/repeatability.py [--data FOLDER]`.

The same ground, delivered in another CRS or flown in another direction, is another picture to a
network. Each image is detected as it is, in its seven other symmetries, and moved by half a pixel (as
resampling to another grid does it on average); each time its lines are measured. For each set: total
length found over labelled, the least and the greatest of the nine; and how far the nine lengths of an
image lie apart, their standard deviation over the mean labelled length. Between two surveys of a road,
smaller changes say nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import shapely
from accuracy import HELD_OUT
from chosen_models import add_models, model_folders
from numpy.typing import NDArray

from pavemap.geo.vectorizing.vectorize import VectorizeParams
from pavemap.training.data.datasets import list_pairs, read_pair
from pavemap.training.data_source import DataSource
from pavemap.training.inference import CrackModel
from pavemap.training.scoring.lengths import LABELLED, crack_lines

Pixels = NDArray[np.uint8]


def copies(pixels: Pixels) -> Iterator[Pixels]:
    """The image (H, W, 3) as it is, turned and mirrored, and moved by half a pixel."""
    for turn in range(4):
        turned = np.rot90(pixels, turn)
        yield np.ascontiguousarray(turned)
        yield np.ascontiguousarray(turned[:, ::-1])
    half = np.array([[1, 0, 0.5], [0, 1, 0.5]], np.float32)
    size = (pixels.shape[1], pixels.shape[0])
    moved = cv2.warpAffine(pixels, half, size, borderMode=cv2.BORDER_REFLECT)
    yield np.asarray(moved, np.uint8)


def length_px(picture: Pixels, params: VectorizeParams, gsd_m: float) -> float:
    """The length of the lines of a map (H, W), in pixels."""
    return float(shapely.length(crack_lines(picture, params, gsd_m=gsd_m)).sum())


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    add_models(parser)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    print("| model | data | images | least | greatest | apart |\n|---|---|---|---|---|---|")
    for folder in model_folders(options):
        model = CrackModel.load(folder, threads=options.threads)
        card = model.card
        params = VectorizeParams.from_dict({**card.vectorize, "threshold": card.threshold})
        for place, names in HELD_OUT:
            source = DataSource(folder=options.data / place, list=names)
            found, labelled = [], []
            for pair in list_pairs(source):
                image = read_pair(pair, source)
                label = np.where(image.crack, np.uint8(255), np.uint8(0))
                labelled.append(length_px(label, LABELLED, card.gsd_m))
                found.append(
                    [
                        length_px(model.detect(one), params, card.gsd_m)
                        for one in copies(image.pixels)
                    ]
                )
            lengths, truth = np.array(found), np.array(labelled)
            totals = lengths.sum(0) / truth.sum()
            apart = 100 * lengths.std(1, ddof=1).mean() / truth.mean()
            print(
                f"| {card.model_id} | {source.label} | {len(truth)} | {totals.min():.3f} | "
                f"{totals.max():.3f} | {apart:.1f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
