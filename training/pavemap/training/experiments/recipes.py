"""How the paper's network is trained in a run, and one run of it from images to figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict

import torch

from pavemap.training.config import Schedule, TrainConfig, parse_config
from pavemap.training.data.datasets import LabelledImage
from pavemap.training.experiments.detectors import (
    ChooseThreshold,
    Finder,
    best_speck_area,
    best_threshold,
    detector_of,
    scores_of,
    standardised,
    steady_threshold,
    turned,
    without_specks,
)
from pavemap.training.experiments.fitting import Trained, fit_batches, fit_patches
from pavemap.training.experiments.images import SETS, Images, others_than
from pavemap.training.experiments.ledger import Record
from pavemap.training.experiments.patches_on_device import Draw
from pavemap.training.experiments.plan import Options

PAPERS_ITERATIONS = 30_000
STUDY_ITERATIONS = 10_000
# About as many pixels a step as a batch of patches has.
CROPS: dict[str, Any] = {
    "loss": "tolerant",
    "batch_size": 4,
    "crop_px": 192,
    "augmentation": {"flips": True, "scale_min": 0.8, "scale_max": 1.25, "light": 0.4},
}
OWN_WEIGHT = 4.0  # of a set's own images beside each other set


class Where(TypedDict):
    """On what a training runs and where it is kept."""

    device: torch.device
    trainings: Path


@dataclass(frozen=True)
class Recipe:
    """A training of the paper's network; the defaults are the paper's, zeros beyond patches included."""

    draw: Draw = field(default_factory=Draw)
    size: int = 5
    channels: int = 3
    schedule: Schedule = "constant"
    average_decay: float = 0.0
    even_light: bool = False  # images standardised, in training and in use
    dropout: float = 0.5
    maps: bool = False  # the context form, taught on crops by the tolerant loss in place of patches
    turned_tests: bool = False  # the mean over the image's eight symmetries
    steady_threshold: bool = False  # the paper's, where another isn't surely better
    specks_removed: bool = False  # smaller than what images kept back choose
    other_roads: bool = False  # taught on the training images of the other sets at hand too

    def config(self, options: Options, *, iterations: int, seed: int) -> TrainConfig:
        """The settings of the optimizer, the schedule and the network."""
        taught = CROPS if self.maps else {}
        weights = [OWN_WEIGHT, *[1.0] * (len(SETS) - 1)] if self.other_roads else [1.0]
        network = {"size": self.size, "channels": self.channels, "context": self.maps}
        return parse_config(
            {
                "name": "experiment",
                "output": options.output,
                "data": [{"folder": options.data, "weight": weight} for weight in weights],
                "architecture_args": network,
                "iterations": iterations,
                "schedule": self.schedule,
                "average_decay": self.average_decay,
                "dropout": self.dropout,
                "seed": seed,
                "threads": options.threads,
                **taught,
            }
        )


def run_recipe(
    recipe: Recipe,
    *,
    train: Images,
    tests: Mapping[str, Images],
    options: Options,
    iterations: int,
    seed: int,
    validation: Images = (),
) -> Record:
    """Train once and score on every test set; a threshold comes from `validation`, else it is 0.5."""
    config = recipe.config(options, iterations=iterations, seed=seed)
    device = options.device()
    sets = [train, *(others_than(options.data, "cfd") if recipe.other_roads else [])]
    if recipe.even_light:
        sets = [[_even(image) for image in images] for images in sets]
    where: Where = {"device": torch.device(device), "trainings": options.trainings}
    trained = (
        fit_batches(config, sets, **where)
        if recipe.maps
        else fit_patches(config, recipe.draw, sets[0], **where)
    )
    detect = _as_tested(
        detector_of(trained.network, config, device=device, stride=options.stride), recipe
    )
    speck_px = best_speck_area(detect, validation) if recipe.specks_removed and validation else 0
    if speck_px:
        detect = without_specks(detect, speck_px)
    choose = steady_threshold if recipe.steady_threshold else best_threshold
    return {
        "recipe": asdict(recipe),
        "stride": options.stride,
        "speck_px": speck_px,
        **scored_run(detect, trained, config, tests, validation, choose=choose),
    }


def scored_run(
    detect: Finder,
    trained: Trained,
    config: TrainConfig,
    tests: Mapping[str, Images],
    validation: Images,
    *,
    choose: ChooseThreshold = best_threshold,
) -> Record:
    """What every training run's record holds."""
    threshold = choose(detect, validation) if validation else config.threshold
    record: Record = {
        "iterations": config.iterations,
        "seed": config.seed,
        "training_s": round(trained.seconds, 1),
        "losses": [[at, round(loss, 5)] for at, loss in trained.losses],
        "tests": {
            name: scores_of(detect, images, threshold=threshold) for name, images in tests.items()
        },
    }
    if validation:
        record["validation"] = scores_of(detect, validation, threshold=threshold)
    return record


def _as_tested(detect: Finder, recipe: Recipe) -> Finder:
    used = (lambda pixels: detect(standardised(pixels))) if recipe.even_light else detect
    return turned(used) if recipe.turned_tests else used


def _even(image: LabelledImage) -> LabelledImage:
    return replace(image, pixels=standardised(image.pixels))
