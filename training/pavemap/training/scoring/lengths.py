"""Crack length and area as a survey would measure them, of maps and of labels, by threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from pavemap.geo.arrays import Geometries
from pavemap.geo.lines.line_measures import line_stats
from pavemap.geo.vectorizing.vectorize import VectorizeParams, vectorize

F1_GIVEN_UP = 0.005
"""How much of the best F1 a threshold may lose for the sake of a truer length."""


LABELLED = VectorizeParams()
"""How labels are measured: each line of them counts as it is."""

BEYOND_PX = 32
"""Ground without cracks around an image: what short lines a survey drops at its own edge go here too."""

Key = TypeVar("Key")

Sizes = NDArray[np.float64]
"""Metres and square metres of an image's lines (1 + T, 2): labelled, then found at each of T thresholds."""


def crack_lines(picture: NDArray[np.uint8], params: VectorizeParams, *, gsd_m: float) -> Geometries:
    """The lines of a probability map (H, W), 255 = certain, as of a survey that ends with it; in pixels."""
    return vectorize(
        np.pad(picture, BEYOND_PX),
        transform=Affine.translation(-BEYOND_PX, -BEYOND_PX),
        params=params,
        metres_per_px=gsd_m,
    )


def length_and_area(lines: Geometries, *, gsd_m: float) -> NDArray[np.float64]:
    """The metres of lines (in pixels) together, and the square metres that they cover by their widths."""
    if not len(lines):
        return np.zeros(2)
    stats = line_stats(lines, scale=1.0 / gsd_m)
    return np.asarray([stats["length_m"].sum(), stats["area_m2"].sum()], np.float64)


def sizes_by_threshold(
    found: NDArray[np.uint8],
    label: NDArray[np.bool_],
    *,
    thresholds: Sequence[float],
    vectorize: Mapping[str, Any],
    gsd_m: float,
) -> Sizes:
    """Length and area of one image's labelled lines, then of those found at each threshold."""
    truth = crack_lines(np.where(label, np.uint8(255), np.uint8(0)), LABELLED, gsd_m=gsd_m)
    lines = [
        crack_lines(
            found, VectorizeParams.from_dict({**vectorize, "threshold": threshold}), gsd_m=gsd_m
        )
        for threshold in thresholds
    ]
    return np.stack([length_and_area(some, gsd_m=gsd_m) for some in (truth, *lines)])


def labelled_m(sizes: Sequence[Sizes]) -> float:
    """The metres of crack that are labelled in all images together."""
    return float(np.sum(sizes, axis=0)[0, 0])


def found_m(sizes: Sequence[Sizes], *, thresholds: Sequence[float]) -> dict[float, float]:
    """The metres of crack found in all images together, by threshold."""
    found = np.sum(sizes, axis=0)[1:, 0]
    return {at: float(length_m) for at, length_m in zip(thresholds, found, strict=True)}


def found_ratios(
    sizes: Sequence[Sizes], *, thresholds: Sequence[float]
) -> tuple[dict[float, float], dict[float, float]]:
    """Length, and area, found over labelled, all images' sizes together, by threshold.

    Some length must be labelled (`labelled_m`).
    """
    truth, *found = np.sum(sizes, axis=0)
    ratios = [some / truth for some in found]
    lengths, areas = (
        {at: float(both[k]) for at, both in zip(thresholds, ratios, strict=True)} for k in (0, 1)
    )
    return lengths, areas


def truest(f1: Mapping[Key, float], ratios: Sequence[Mapping[Key, float]]) -> Key:
    """The threshold, or whatever is compared, with the truest sizes of those whose F1 is nearly the best.

    Truest: the least mean over `ratios` (of each set its lengths', or its lengths' and its areas') of
    |log(found / labelled)|. Every set weighs the same. Without any ratio the best F1 wins.
    """
    good = [key for key in f1 if f1[key] >= max(f1.values()) - F1_GIVEN_UP]

    def error(key: Key) -> float:
        logs = [abs(float(np.log(max(ratio[key], 1e-6)))) for ratio in ratios]
        return float(np.mean(logs)) if logs else -f1[key]

    return min(good, key=error)
