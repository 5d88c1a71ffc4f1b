"""How well a crack map agrees with the ground truth, as the paper scores it.

A detected pixel is right when a true one lies in the (2t+1)x(2t+1) window around it, a true pixel is
found when a detected one does; t is 2 pixels in the paper (section III.A, whose text says "small
distance" only; the square window is its authors' practice). A frame of 2 pixels at the image border
is not counted, though its pixels may stand by those inside. The paper's figures are means of each
image's precision, recall and F1, so its F1 is not 2PR/(P+R) of its P and R; pooled figures count all
images' pixels together. Beside them stand other tolerances, and the best F1 that any threshold gives:
one threshold for the whole set (ODS), or each image its own (OIS).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.geo.vectorizing.hysteresis import crack_level

TOLERANCE_PX = 2
TOLERANCES_PX = (0, 2, 5)  # plain overlap, the paper's, CrackForest's
FRAME_PX = 2
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 20))

Found = NDArray[np.uint8] | NDArray[np.bool_]
"""What a detector finds (H, W): probabilities as bytes, 255 = 1.0, or a mask, which has no thresholds."""


@dataclass(frozen=True)
class Counts:
    """Pixels of one or many images."""

    detected: int
    right: int  # of the detected
    true: int
    found: int  # of the true

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.detected + other.detected,
            self.right + other.right,
            self.true + other.true,
            self.found + other.found,
        )

    @property
    def score(self) -> Score:
        """Precision, recall and F1. Nothing true and nothing detected is perfect."""
        if not self.detected and not self.true:
            return Score(1.0, 1.0, 1.0)
        precision = self.right / self.detected if self.detected else 0.0
        recall = self.found / self.true if self.true else 0.0
        both = precision + recall
        return Score(precision, recall, 2 * precision * recall / both if both else 0.0)


@dataclass(frozen=True)
class Score:
    """Precision, recall, F1, each of 0 to 1."""

    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class ImageCounts:
    """One image's counts, whatever figure is to be made of them."""

    at: dict[int, Counts]  # at the threshold in use, by tolerance in pixels
    curve: tuple[Counts, ...]  # by THRESHOLDS at TOLERANCE_PX; empty for a map without degrees


@dataclass(frozen=True)
class BestF1:
    """The best F1 that one threshold for the whole set gives, and which threshold that is."""

    f1: float
    threshold: float


@dataclass(frozen=True)
class Figures:
    """All figures of a set of images."""

    mean: dict[int, Score]  # the paper's way, by tolerance in pixels
    pooled: dict[int, Score]
    ods: BestF1 | None  # one threshold for the set, F1 a mean over images; None without degrees
    ods_pooled: BestF1 | None  # the same of all images' pixels together
    ois: float | None  # each image its own best threshold, F1 a mean over images

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, rounded to 4 digits."""
        return {
            "mean": {str(px): _rounded(score) for px, score in self.mean.items()},
            "pooled": {str(px): _rounded(score) for px, score in self.pooled.items()},
            "ods": None if self.ods is None else _rounded(self.ods),
            "ods_pooled": None if self.ods_pooled is None else _rounded(self.ods_pooled),
            "ois": None if self.ois is None else round(self.ois, 4),
        }


def count(
    detected: NDArray[np.bool_],
    truth: NDArray[np.bool_],
    *,
    tolerance_px: int = TOLERANCE_PX,
    frame_px: int = FRAME_PX,
    ignore: NDArray[np.bool_] | None = None,
) -> Counts:
    """Count one image. All arrays are (H, W); pixels of `ignore` are not counted."""
    counted = np.zeros(truth.shape, dtype=bool)
    inner = slice(frame_px, -frame_px) if frame_px else slice(None)
    counted[inner, inner] = True
    if ignore is not None:
        counted &= ~ignore
    seen, there = detected & counted, truth & counted
    return Counts(
        detected=int(seen.sum()),
        right=int((seen & within(truth, tolerance_px)).sum()),
        true=int(there.sum()),
        found=int((there & within(detected, tolerance_px)).sum()),
    )


def image_counts(
    found: Found,
    truth: NDArray[np.bool_],
    *,
    threshold: float = 0.5,
    ignore: NDArray[np.bool_] | None = None,
) -> ImageCounts:
    """Count one image at every tolerance and threshold; (H, W) arrays."""
    is_mask = found.dtype == np.bool_
    detected = found.astype(bool) if is_mask else found >= crack_level(threshold)
    return ImageCounts(
        at={px: count(detected, truth, tolerance_px=px, ignore=ignore) for px in TOLERANCES_PX},
        curve=() if is_mask else counts_by_threshold(found, truth, ignore=ignore),
    )


def counts_by_threshold(
    found: Found, truth: NDArray[np.bool_], *, ignore: NDArray[np.bool_] | None = None
) -> tuple[Counts, ...]:
    """Count one image (H, W) of probabilities as bytes at each of THRESHOLDS."""
    return tuple(count(found >= crack_level(one), truth, ignore=ignore) for one in THRESHOLDS)


def figures(images: Sequence[ImageCounts]) -> Figures:
    """All figures of a set, from the counts of its images (at least one)."""
    tolerances = images[0].at
    ods = ods_pooled = ois = None
    if all(one.curve for one in images):
        each = np.array([[counts.score.f1 for counts in one.curve] for one in images])
        together = [
            pooled_score(counts).f1 for counts in zip(*(i.curve for i in images), strict=True)
        ]
        ods, ods_pooled = _best(each.mean(0)), _best(np.array(together))
        ois = float(each.max(1).mean())
    return Figures(
        mean={px: mean_score([one.at[px] for one in images]) for px in tolerances},
        pooled={px: pooled_score(one.at[px] for one in images) for px in tolerances},
        ods=ods,
        ods_pooled=ods_pooled,
        ois=ois,
    )


def mean_score(counts: Sequence[Counts]) -> Score:
    """The paper's figure: each image's precision, recall and F1, averaged over images."""
    scores = [one.score for one in counts]
    return Score(
        precision=float(np.mean([score.precision for score in scores])),
        recall=float(np.mean([score.recall for score in scores])),
        f1=float(np.mean([score.f1 for score in scores])),
    )


def pooled_score(counts: Iterable[Counts]) -> Score:
    """All images' pixels counted together."""
    return sum(counts, Counts(0, 0, 0, 0)).score


def within(mask: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    """Where a pixel of a mask (H, W) lies in the square window of this radius."""
    side = 2 * radius_px + 1
    kernel = np.ones((side, side), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel), dtype=bool)


def _best(curve: NDArray[np.float64]) -> BestF1:
    index = int(curve.argmax())
    return BestF1(f1=float(curve[index]), threshold=THRESHOLDS[index])


def _rounded(value: Score | BestF1) -> dict[str, float]:
    return {name: round(number, 4) for name, number in asdict(value).items()}
