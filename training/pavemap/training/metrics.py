"""How well a crack map agrees with the ground truth, as the paper scores it.

A detected pixel is right when a true one lies in the (2t+1)x(2t+1) window around it, a true pixel is
found when a detected one does; t is 2 pixels in the paper (section III.A). A frame of 2 pixels at
the image border is not counted, though its pixels may stand by those inside. The paper's figures
are means of each image's precision, recall and F1, so its F1 is not 2PR/(P+R) of its P and R;
pooled figures count all images' pixels together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

TOLERANCE_PX = 2
FRAME_PX = 2


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
        right=int((seen & _grown(truth, tolerance_px)).sum()),
        true=int(there.sum()),
        found=int((there & _grown(detected, tolerance_px)).sum()),
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


def _grown(mask: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    side = 2 * radius_px + 1
    kernel = np.ones((side, side), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel), dtype=bool)
