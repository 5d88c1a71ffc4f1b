"""Crack length as a survey would measure it, of probability maps and of labels, by threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from pavemap.geo.measure import line_stats
from pavemap.geo.vectorize import VectorizeParams, vectorize

F1_GIVEN_UP = 0.005
"""How much of the best F1 a threshold may lose for the sake of a truer length."""


def crack_length_px(picture: NDArray[np.uint8], params: VectorizeParams) -> float:
    """The length in pixels of the lines in a probability map (H, W), 255 = certain.

    `min_length_m` of the parameters is taken as pixels times one metre: give pixels.
    """
    lines = vectorize(picture, transform=Affine.identity(), params=params, metres_per_px=1.0)
    return float(line_stats(lines)["length_m"].sum()) if len(lines) else 0.0


def length_ratios(
    maps: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.bool_]],
    *,
    thresholds: Sequence[float],
    vectorize: Mapping[str, Any],
) -> dict[float, float]:
    """Length found over length labelled, all images together, by threshold."""
    settings = {name: value for name, value in vectorize.items() if name != "min_length_m"}
    of_label = VectorizeParams.from_dict({**settings, "threshold": 0.5})
    truth = sum(
        crack_length_px(np.where(label, 255, 0).astype(np.uint8), of_label) for label in labels
    )
    found = {}
    for threshold in thresholds:
        params = VectorizeParams.from_dict({**settings, "threshold": threshold})
        found[threshold] = sum(crack_length_px(picture, params) for picture in maps)
    return {threshold: length / max(truth, 1e-9) for threshold, length in found.items()}


def best_threshold(f1: Mapping[float, float], ratios: Sequence[Mapping[float, float]]) -> float:
    """The threshold with the truest length among those whose F1 is nearly the best.

    Truest: the least mean over sets of |log(found / labelled)|. Every set weighs the same.
    """
    good = [threshold for threshold in f1 if f1[threshold] >= max(f1.values()) - F1_GIVEN_UP]

    def error(threshold: float) -> float:
        logs = [abs(float(np.log(max(ratio[threshold], 1e-6)))) for ratio in ratios]
        return float(np.mean(logs))

    return min(good, key=error)
