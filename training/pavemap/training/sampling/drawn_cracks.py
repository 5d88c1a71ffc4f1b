"""Cracks drawn in, with their labels: thin dark lines that bend at all sizes, on ground of any kind.

Drawn with the pen of the distractors, so that a network that meets both can't tell a joint or a sealed
crack by how it is drawn, but only by its shape.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.training.sampling.strokes import Field, axes, band, course, extent, log_uniform, smooth

BRANCHED = 0.3  # share of cracks that another one meets
FINE_PX = 3.0  # a finer crack must be dark to be seen


def with_crack(
    rng: np.random.Generator, pixels: NDArray[np.uint8], labels: Field
) -> tuple[NDArray[np.uint8], Field]:
    """A square crop (H, W, C) and its labels (H, W), of 0 to 1, with one or two cracks more in both."""
    light = pixels.astype(np.float32)
    for _ in range(2 if rng.random() < BRANCHED else 1):
        inside, factor = _crack(rng, len(labels))
        light *= (1 - inside * (1 - factor))[:, :, None]
        labels = np.maximum(labels, inside)
    return np.clip(light, 0, 255).astype(np.uint8), labels


def _crack(rng: np.random.Generator, side_px: int) -> tuple[Field, Field]:
    """How much of a crack covers each pixel (H, W), and by what it dims the light there."""
    across, along = axes(rng, side_px, rng.uniform(0, np.pi))
    stray = course(
        rng,
        along,
        finest_px=log_uniform(rng, 2.5, 15),
        coarsest_px=rng.uniform(80, 250),
        roughness=rng.uniform(0.6, 0.9),
    )
    across = across + log_uniform(rng, 8, 40) * stray
    mean_px = log_uniform(rng, 1.2, 10)
    uneven = course(rng, along, finest_px=3, coarsest_px=60, roughness=0.4)
    width_px = mean_px * np.exp(np.float32(rng.uniform(0.1, 0.5)) * uneven)
    inside = band(across, width_px, rng.uniform(0.3, 0.9)) * extent(rng, along, whole=0.6)
    darkest = rng.uniform(0.25, 0.6 if mean_px < FINE_PX else 0.75)
    grain = 1 + 0.15 * smooth(rng, side_px, rng.uniform(2, 8))
    return inside, np.clip(np.float32(darkest) * grain, 0, 0.85)
