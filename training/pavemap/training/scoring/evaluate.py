"""A model scored on labelled images by the paper's metric."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.vectorizing.hysteresis import crack_level
from pavemap.training.data.datasets import LabelledImage, list_pairs, read_pair
from pavemap.training.data_source import DataSource
from pavemap.training.inference import CrackModel
from pavemap.training.metrics import (
    THRESHOLDS,
    TOLERANCE_PX,
    TOLERANCES_PX,
    Counts,
    Figures,
    ImageCounts,
    Score,
    count,
    figures,
    image_counts,
    mean_score,
    pooled_score,
)
from pavemap.training.scoring.pictures import judged, write_picture

OnImage = Callable[[int, int], None]  # images done, images in all


@dataclass(frozen=True)
class ImageScore:
    """One image's score."""

    name: str
    counts: Counts  # at the evaluation's threshold and tolerance
    beside: ImageCounts  # at others


@dataclass(frozen=True)
class Evaluation:
    """A model's figures on one set of images."""

    model_id: str
    data: str
    threshold: float
    tolerance_px: int
    images: tuple[ImageScore, ...]
    seconds: float
    mpx_per_s: float

    @property
    def mean(self) -> Score:
        """The paper's figures: the mean over images."""
        return mean_score([image.counts for image in self.images])

    @property
    def pooled(self) -> Score:
        """All pixels of all images together."""
        return pooled_score(image.counts for image in self.images)

    @property
    def figures(self) -> Figures:
        """At 0, 2 and 5 pixels, and with the best thresholds."""
        return figures([image.beside for image in self.images])

    @property
    def without_crack(self) -> int:
        """Images of which no counted pixel is labelled crack: each scores 1, or 0 where any is detected."""
        return sum(image.counts.true == 0 for image in self.images)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "model": self.model_id,
            "data": self.data,
            "images": len(self.images),
            "images_without_crack": self.without_crack,
            "threshold": self.threshold,
            "tolerance_px": self.tolerance_px,
            "mean": {name: round(value, 4) for name, value in asdict(self.mean).items()},
            "pooled": {name: round(value, 4) for name, value in asdict(self.pooled).items()},
            "figures": self.figures.to_dict(),
            "seconds": round(self.seconds, 2),
            "mpx_per_s": round(self.mpx_per_s, 2),
        }

    def table(self) -> str:
        """A small text table for people."""
        lines = [
            f"{self.model_id} on {self.data}: {len(self.images)} images, threshold {self.threshold:g}, "
            f"tolerance {self.tolerance_px} px, {self.mpx_per_s:.1f} Mpx/s",
            f"{'':14}{'precision':>10}{'recall':>10}{'F1':>10}",
        ]
        for name, score in (("mean of images", self.mean), ("pooled", self.pooled)):
            lines.append(f"{name:14}{score.precision:10.4f}{score.recall:10.4f}{score.f1:10.4f}")
        if self.without_crack:
            lines.append(
                f"{self.without_crack} of {len(self.images)} images have no labelled crack: each counts as "
                "1 in the means where nothing is detected, else as 0"
            )
        beside = self.figures
        for px in TOLERANCES_PX:
            f1, pooled = beside.mean[px].f1, beside.pooled[px].f1
            lines.append(f"F1 at {px} px: {f1:.4f}, pooled {pooled:.4f}")
        if beside.ods is not None and beside.ois is not None:
            lines.append(
                f"Best F1 at {TOLERANCE_PX} px: {beside.ods.f1:.4f} with one threshold for all "
                f"({beside.ods.threshold:g}), {beside.ois:.4f} with one for each image"
            )
        return "\n".join(lines)


def evaluate(
    model: Path | CrackModel,
    data: Path | DataSource,
    *,
    list_name: str | None = None,
    threshold: float | None = None,
    tolerance_px: int = TOLERANCE_PX,
    limit: int | None = None,
    on_image: OnImage | None = None,
    pictures: Path | None = None,
) -> Evaluation:
    """Score a model (a folder or a loaded one) on a folder of images/ and masks/.

    `list_name` names the list file ('test'); `threshold` is the card's unless given; `limit`
    takes the first images only; a folder of `pictures` gets one of right, wrong and missed pixels for each
    image. Raises BadModel or BadTrainingData.
    """
    loaded = model if isinstance(model, CrackModel) else CrackModel.load(model)
    source = data if isinstance(data, DataSource) else DataSource(folder=data, list=list_name)
    used = loaded.card.threshold if threshold is None else threshold
    pairs = list_pairs(source)[:limit]
    scores: list[ImageScore] = []
    seconds, pixels = 0.0, 0
    for done, pair in enumerate(pairs, start=1):
        image = read_pair(pair, source)
        started = time.perf_counter()
        probability = loaded.detect(image.pixels)
        seconds += time.perf_counter() - started
        pixels += probability.size
        cracks = probability >= crack_level(used)
        scores.append(
            ImageScore(
                pair.name,
                count(cracks, image.crack, tolerance_px=tolerance_px, ignore=image.ignore),
                image_counts(probability, image.crack, threshold=used, ignore=image.ignore),
            )
        )
        if pictures is not None:
            picture = judged(image, cracks, tolerance_px=tolerance_px)
            write_picture(pictures / f"{pair.name}.jpg", picture)
        if on_image is not None:
            on_image(done, len(pairs))
    return Evaluation(
        model_id=loaded.card.model_id,
        data=source.label,
        threshold=used,
        tolerance_px=tolerance_px,
        images=tuple(scores),
        seconds=seconds,
        mpx_per_s=pixels / 1e6 / max(seconds, 1e-9),
    )


def detected(
    model: CrackModel, source: DataSource
) -> Iterator[tuple[NDArray[np.uint8], LabelledImage]]:
    """The probability map (H, W) of each image of a set, with the image; one after the other."""
    for pair in list_pairs(source):
        image = read_pair(pair, source)
        yield model.detect(image.pixels), image


def threshold_curve(by_set: Sequence[Sequence[Sequence[Counts]]]) -> dict[float, float]:
    """The mean over sets of the mean F1 over images, by threshold: every set weighs the same.

    Takes each set's images' counts by THRESHOLDS.
    """
    means = np.mean(
        [[mean_score(some).f1 for some in zip(*images, strict=True)] for images in by_set], axis=0
    )
    return {threshold: float(f1) for threshold, f1 in zip(THRESHOLDS, means, strict=True)}
