"""Crack length and area as a survey would measure them, of maps and of labels, by threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from pavemap.geo.lines import Geometries
from pavemap.geo.measure import line_stats
from pavemap.geo.vectorize import VectorizeParams, vectorize

F1_GIVEN_UP = 0.005
"""How much of the best F1 a threshold may lose for the sake of a truer length."""


LABELLED = VectorizeParams()
"""How labels are measured: each line of them counts as it is."""

BEYOND_PX = 32
"""Ground without cracks around an image: what short lines a survey drops at its own edge go here too."""


def crack_lines(picture: NDArray[np.uint8], params: VectorizeParams, *, gsd_m: float) -> Geometries:
    """The lines of a probability map (H, W), 255 = certain, as of a survey that ends with it; in pixels."""
    return vectorize(
        np.pad(picture, BEYOND_PX),
        transform=Affine.translation(-BEYOND_PX, -BEYOND_PX),
        params=params,
        metres_per_px=gsd_m,
    )


def length_px(lines: Geometries) -> float:
    """The length of all lines together, in pixels."""
    return float(line_stats(lines)["length_m"].sum()) if len(lines) else 0.0


def length_ratios(
    maps: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.bool_]],
    *,
    thresholds: Sequence[float],
    vectorize: Mapping[str, Any],
    gsd_m: float,
) -> dict[float, float]:
    """Length found over length labelled, all images together, by threshold."""
    truth = sum(
        length_px(crack_lines(np.where(label, 255, 0).astype(np.uint8), LABELLED, gsd_m=gsd_m))
        for label in labels
    )
    found = {}
    for threshold in thresholds:
        params = VectorizeParams.from_dict({**vectorize, "threshold": threshold})
        found[threshold] = sum(
            length_px(crack_lines(picture, params, gsd_m=gsd_m)) for picture in maps
        )
    return {threshold: length / max(truth, 1e-9) for threshold, length in found.items()}


def area_ratios(
    maps: Sequence[NDArray[np.uint8]],
    labels: Sequence[NDArray[np.bool_]],
    *,
    thresholds: Sequence[float],
) -> dict[float, float]:
    """Cracked area found over area labelled, all images together, by threshold."""
    truth = sum(int(label.sum()) for label in labels)
    found = {
        threshold: sum(
            int(VectorizeParams(threshold=threshold).crack_mask(picture).sum()) for picture in maps
        )
        for threshold in thresholds
    }
    return {threshold: area / max(truth, 1) for threshold, area in found.items()}


def best_threshold(f1: Mapping[float, float], ratios: Sequence[Mapping[float, float]]) -> float:
    """The threshold with the truest lengths and areas among those whose F1 is nearly the best.

    Truest: the least mean over `ratios` (of each set its lengths' and its areas') of
    |log(found / labelled)|. Every set weighs the same.
    """
    good = [threshold for threshold in f1 if f1[threshold] >= max(f1.values()) - F1_GIVEN_UP]

    def error(threshold: float) -> float:
        logs = [abs(float(np.log(max(ratio[threshold], 1e-6)))) for ratio in ratios]
        return float(np.mean(logs))

    return min(good, key=error)
