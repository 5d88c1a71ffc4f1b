"""Makes a model's probabilities mean what they say: of the pixels given 70 %, 70 % are crack.

Platt scaling (Platt 1999; Guo et al. 2017, section 4.1): probability p becomes
sigmoid(slope * logit(p) + offset), with both numbers fitted on validation images. It is monotone, so
it changes no ranking and no best F1, only what a threshold means.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit

from pavemap.geo.arrays import Floats
from pavemap.training.data.datasets import LabelledImage

LEVELS = 256
LEVEL = np.arange(LEVELS) / (LEVELS - 1)
BINS = 10

AT_STAKE = 0.05
"""Probabilities below this are certain enough to be left out of the error."""

LEAST_PIXELS = 1000
"""Uncertain pixels below which there is nothing to fit to."""


@dataclass(frozen=True)
class Calibration:
    """The two numbers of Platt's scaling; 1 and 0 change nothing."""

    slope: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Tally:
    """Labelled pixels by the byte a model gave them: counts (256,) of sound and of crack."""

    sound: NDArray[np.int64]
    crack: NDArray[np.int64]

    @classmethod
    def of(cls, seen: Iterable[tuple[NDArray[np.uint8], LabelledImage]]) -> Tally:
        """Count the pixels of probability maps (H, W) against their labels, ignored ones left out."""
        counts = np.zeros((2, LEVELS), np.int64)
        for found, image in seen:
            for label in (0, 1):
                pixels = found[(image.crack == bool(label)) & ~image.ignore]
                counts[label] += np.bincount(pixels, minlength=LEVELS)
        return cls(counts[0], counts[1])

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Tally:
        """The counts of several tallies (at least one) together."""
        each = [(one.sound, one.crack) for one in tallies]
        sound, crack = np.sum(each, axis=0)
        return cls(sound, crack)


def fit(tally: Tally) -> Calibration:
    """The scaling of the greatest likelihood, over pixels that are neither certainly sound nor crack.

    With too few of those, or labels of one kind only, the scaling that changes nothing.
    """
    inner = slice(1, LEVELS - 1)
    sound, crack = tally.sound[inner].astype(float), tally.crack[inner].astype(float)
    if sound.sum() + crack.sum() < LEAST_PIXELS or not (sound.sum() and crack.sum()):
        return Calibration()
    score = logit(np.arange(1, LEVELS - 1) / (LEVELS - 1))
    total = sound.sum() + crack.sum()

    def surprise(values: Floats) -> float:
        z = values[0] * score + values[1]
        return float(np.sum(crack * np.logaddexp(0, -z) + sound * np.logaddexp(0, z)) / total)

    found = minimize(surprise, np.array([1.0, 0.0]), bounds=[(0.05, 20.0), (-10.0, 10.0)])
    return Calibration(round(float(found.x[0]), 4), round(float(found.x[1]), 4))


def reliability(tally: Tally) -> dict[str, Any]:
    """The reliability curve: in each tenth of probability what was said and what was so.

    `error` is the expected calibration error over the pixels given AT_STAKE or more (Guo et al. 2017,
    equation 3), in each tenth of those alone: over all pixels the certain ones, sound road, would hide
    everything else.
    """
    said, seen, count = _by_tenths(tally, LEVEL >= 0.0)
    return {
        "said": np.round(said, 4).tolist(),
        "seen": np.round(seen, 4).tolist(),
        "pixels": count.astype(int).tolist(),
        "error": _error(*_by_tenths(tally, LEVEL >= AT_STAKE)),
    }


def _by_tenths(tally: Tally, counted: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """What was said and what was so, means of each tenth that has pixels of a counted level; how many."""
    pixels = (tally.sound + tally.crack) * counted
    tenth = np.minimum((LEVEL * BINS).astype(int), BINS - 1)
    count = np.bincount(tenth, pixels, BINS).astype(np.float64)
    there = count > 0
    said = np.bincount(tenth, pixels * LEVEL, BINS)[there] / count[there]
    seen = np.bincount(tenth, tally.crack * counted, BINS)[there] / count[there]
    return said, seen, count[there]


def _error(said: Floats, seen: Floats, count: Floats) -> float:
    total = max(float(count.sum()), 1.0)
    return round(float(np.sum(count * np.abs(said - seen)) / total), 4)
