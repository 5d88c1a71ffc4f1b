"""Any detector in experiments: made of a network, changed, its threshold chosen, scored on images."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import compress

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pavemap.training.config import TrainConfig
from pavemap.training.experiments.images import Images
from pavemap.training.experiments.ledger import Record
from pavemap.training.inference import CrackModel
from pavemap.training.metrics import (
    THRESHOLDS,
    TOLERANCE_PX,
    Found,
    ImageCounts,
    figures,
    image_counts,
    mean_score,
)
from pavemap.training.models.card import ModelCard
from pavemap.training.networks.dense import dense_form

Finder = Callable[[NDArray[np.uint8]], Found]
ChooseThreshold = Callable[[Finder, Images], float]
PAPERS_THRESHOLD = 0.5
SPECK_AREAS_PX = (0, 10, 20, 40, 80, 160)  # an opening by 0 or 1 pixel changes nothing


def scores_of(detect: Finder, images: Images, *, threshold: float = 0.5) -> Record:
    """Figures, precision and recall by threshold, F1 of each image, and the time of detection alone."""
    counted, seconds, pixels = [], 0.0, 0
    for image in images:
        started = time.perf_counter()
        found = detect(image.pixels)
        seconds += time.perf_counter() - started
        pixels += image.crack.size
        counted.append(image_counts(found, image.crack, threshold=threshold, ignore=image.ignore))
    return {
        "images": len(images),
        "threshold": threshold,
        **figures(counted).to_dict(),
        "curve": _curve(counted),
        "f1_by_image": {
            image.name: round(one.at[TOLERANCE_PX].score.f1, 4)
            for image, one in zip(images, counted, strict=True)
        },
        "seconds_per_mpx": round(seconds / pixels * 1e6, 4),
    }


def best_threshold(detect: Finder, images: Images) -> float:
    """The threshold with the best mean F1 on images kept back from training."""
    best = figures(counted(detect, images)).ods
    return PAPERS_THRESHOLD if best is None else best.threshold


def steady_threshold(detect: Finder, images: Images) -> float:
    """Of the thresholds that aren't surely worse than the best, the one nearest to the paper's 0.5.

    Few images choose a best threshold by chance. Not surely worse: the mean of what its F1 lacks, image by
    image, is within one standard error of that mean (the rule of Breiman et al. 1984 for trees).
    """
    f1 = np.array([[at.score.f1 for at in one.curve] for one in counted(detect, images)])
    lacking = f1[:, [int(f1.mean(0).argmax())]] - f1
    errors = lacking.std(0, ddof=1) / len(images) ** 0.5 if len(images) > 1 else 0.0
    as_good = lacking.mean(0) <= errors
    return min(compress(THRESHOLDS, as_good), key=lambda one: abs(one - PAPERS_THRESHOLD))


def counted(detect: Finder, images: Images) -> list[ImageCounts]:
    """What detection finds on each image, counted at all thresholds."""
    return [
        image_counts(detect(image.pixels), image.crack, ignore=image.ignore) for image in images
    ]


def detector_of(network: nn.Module, config: TrainConfig, *, device: str, stride: int) -> Finder:
    """A trained network on whole images, in its dense form."""
    size = int(config.architecture_args.get("size", 5))
    card = ModelCard(
        name=config.name,
        architecture=config.architecture,
        architecture_args=config.architecture_args,
        channels=int(config.architecture_args.get("channels", 3)),
        gsd_m=config.gsd_m,
        gsd_range_m=config.gsd_range_m,
        threshold=config.threshold,
        digest="0" * 64,
        created="",
    )
    grid = max(step for step in (1, 2, 4) if step <= min(stride, size))
    form = dense_form(network, stride=grid)
    model = CrackModel(
        card, form, device=torch.device(device), precision=config.precision, tile_px=None
    )
    return lambda pixels: model.detect(pixels if pixels.shape[2] == 3 else pixels.repeat(3, 2))


def turned(detect: Finder, *, symmetries: int = 8) -> Finder:
    """The mean of what a detector finds in 8 symmetries of an image, the 4 that keep its sides, or 1."""
    turns = range(0, 8, 8 // symmetries) if symmetries > 1 else (0,)

    def mean(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        total = np.zeros(pixels.shape[:2], np.float32)
        for turn in turns:
            seen = np.rot90(pixels, turn % 4)
            seen = seen[:, ::-1] if turn >= 4 else seen
            found = np.asarray(detect(np.ascontiguousarray(seen)), np.uint8)
            found = found[:, ::-1] if turn >= 4 else found
            total += np.rot90(found, -(turn % 4))
        return np.asarray(np.rint(total / symmetries), np.uint8)

    return mean


def without_specks(detect: Finder, area_px: int) -> Finder:
    """A detector that finds nothing of fewer pixels, whatever the threshold: an opening by area.

    (Vincent 1993; pixels that touch by a corner belong together.)
    """
    return lambda pixels: _opened(detect(pixels), area_px)


def best_speck_area(detect: Finder, images: Images) -> int:
    """The area that a crack must have at least, by the best mean F1 on images kept back."""
    found = [(detect(image.pixels), image) for image in images]

    def f1(area_px: int) -> float:
        best = figures(
            [image_counts(_opened(one, area_px), i.crack, ignore=i.ignore) for one, i in found]
        ).ods
        return 0.0 if best is None else best.f1

    return max(SPECK_AREAS_PX, key=f1)


def _opened(found: Found, area_px: int) -> NDArray[np.uint8]:
    from skimage import morphology

    opened = morphology.area_opening(found, area_px, connectivity=2)  # type: ignore[no-untyped-call]
    return np.asarray(opened, np.uint8)


def standardised(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image (H, W, C) with each colour's mean at 128 and its deviation at 32."""
    light = pixels.astype(np.float32)
    deviation = np.maximum(light.std((0, 1)), 1.0)
    even = (light - light.mean((0, 1))) / deviation * 32 + 128
    return np.asarray(np.clip(np.rint(even), 0, 255), np.uint8)


def _curve(images: Sequence[ImageCounts]) -> list[list[float]]:
    """Threshold, precision, recall, F1 (means over images) for each threshold."""
    if not all(one.curve for one in images):
        return []
    means = [mean_score(some) for some in zip(*(one.curve for one in images), strict=True)]
    return [
        [threshold, round(mean.precision, 4), round(mean.recall, 4), round(mean.f1, 4)]
        for threshold, mean in zip(THRESHOLDS, means, strict=True)
    ]
