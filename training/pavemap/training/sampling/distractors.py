"""What lies on a road and is no crack: joints, paint, sealant, patches, stains and shadows, drawn in.

The sets at hand show few of them, and a network that has not met a straight dark line in its lessons
takes it for a crack. Each is drawn at random; the labels stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pavemap.training.metrics import TOLERANCE_PX, within
from pavemap.training.sampling.strokes import (
    Field,
    axes,
    band,
    course,
    extent,
    log_uniform,
    smooth,
    step,
)

HIDDEN = 0.3  # where a distractor covers more than this of a crack, that pixel teaches nothing
FAINT = 0.05  # less of a crack than this is none that could be hidden
MOST = 3  # distractors in a crop


@dataclass(frozen=True)
class _Crop:
    """A crop that is drawn into: its light (H, W, C) as it is so far, and how much of it is covered."""

    light: NDArray[np.float32]
    covered: Field

    @property
    def side_px(self) -> int:
        """Crops are square."""
        return len(self.covered)

    def darkened(self, alpha: Field, factor: float) -> None:
        """Multiply the light where `alpha` is 1; the texture stays."""
        self.light[:] *= (1 - alpha * (1 - factor))[:, :, None]

    def painted(self, alpha: Field, colour: NDArray[np.float32]) -> None:
        """Blend a colour (C,) over the light."""
        self.light[:] += alpha[:, :, None] * (colour - self.light)

    def hides(self, alpha: Field) -> None:
        """Say what can't be seen any more."""
        np.maximum(self.covered, alpha, out=self.covered)


def with_distractors(
    rng: np.random.Generator, pixels: NDArray[np.uint8], labels: Field, weights: Field
) -> tuple[NDArray[np.uint8], Field]:
    """A square crop (H, W, C) with one to three distractors, and the weights (H, W) of its labels.

    Labelled crack that a distractor covers gets the weight 0; all else keeps its own.
    """
    kinds, shares = list(KINDS), [share for share, _ in KINDS.values()]
    number = int(rng.integers(1, MOST + 1))
    drawn, covered = draw(
        rng, pixels, (kinds[rng.choice(len(kinds), p=shares)] for _ in range(number))
    )
    return drawn, np.where(hidden(covered, labels > FAINT), np.float32(0), weights)


def draw(
    rng: np.random.Generator, pixels: NDArray[np.uint8], kinds: Iterable[str]
) -> tuple[NDArray[np.uint8], Field]:
    """A square crop (H, W, C) with a distractor of each of these `KINDS`, one over the other.

    The second array (H, W) says how much of the ground they cover at each pixel, of 0 to 1.
    """
    crop = _Crop(pixels.astype(np.float32), np.zeros(pixels.shape[:2], np.float32))
    for kind in kinds:
        KINDS[kind][1](rng, crop)
    return np.clip(crop.light, 0, 255).astype(np.uint8), crop.covered


def hidden(covered: Field, crack: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where (H, W) so much covers a crack, or what is within 2 pixels of one, that no label holds."""
    return (covered > HIDDEN) & within(crack, TOLERANCE_PX)


def _joint(rng: np.random.Generator, crop: _Crop) -> None:
    """A joint or a saw cut, open or sealed: of even width, straight, often along the image's axes."""
    angle, width_px = _angle(rng), log_uniform(rng, 1.5, 16)
    soft_px, ragged_px = rng.uniform(0.3, 1.5), rng.uniform(0, 0.8)
    sealed, depth = rng.random() < 0.4, rng.uniform(0.35, 0.85)
    colour = _colour(
        rng, *((15, 80) if rng.random() < 0.7 else (140, 220)), channels=crop.light.shape[2]
    )
    wear = _worn(rng, crop.side_px, rng.uniform(0, 0.5)) if rng.random() < 0.4 else None
    for turn in (0.0, np.pi / 2) if rng.random() < 0.25 else (0.0,):
        across, along = axes(rng, crop.side_px, angle + turn)
        across = across + ragged_px * course(rng, along, finest_px=3, coarsest_px=48, roughness=0.3)
        alpha = band(across, width_px, soft_px) * extent(rng, along, whole=0.8)
        if wear is not None:
            alpha = alpha * wear
        if rng.random() < 0.3:  # broken edges catch the light
            crop.darkened(
                band(across, width_px + 4, 1.0) - band(across, width_px, 1.0),
                rng.uniform(1.05, 1.3),
            )
        if sealed:
            crop.painted(alpha * np.float32(rng.uniform(0.6, 1)), colour)
        else:
            crop.darkened(alpha, depth if width_px > 3 else min(depth, 0.7))
        crop.hides(alpha)


def _marking(rng: np.random.Generator, crop: _Crop) -> None:
    """A band of worn paint, white or yellow, that may end in the crop."""
    across, along = axes(rng, crop.side_px, _angle(rng))
    width_px, reach = rng.uniform(15, 120), extent(rng, along, whole=0.6)
    alpha = band(across, width_px, rng.uniform(0.4, 2)) * reach
    alpha = (
        alpha * _worn(rng, crop.side_px, rng.uniform(0, 0.6)) * np.float32(rng.uniform(0.5, 0.95))
    )
    paint = _colour(rng, 170, 250, channels=crop.light.shape[2])
    if rng.random() < 0.25 and len(paint) == 3:
        paint = paint * np.array([1, 0.8, 0.35], np.float32)
    if rng.random() < 0.4:  # dirt along its edge
        rim = step(across, rng.uniform(0.5, 3)) if rng.random() < 0.5 else np.ones_like(alpha)
        rim = rim * band(across, width_px + log_uniform(rng, 3, 20), rng.uniform(0.7, 3))
        crop.darkened(rim * reach, rng.uniform(0.5, 0.9))
    crop.painted(alpha, paint)
    crop.hides(alpha)


def _sealed_crack(rng: np.random.Generator, crop: _Crop) -> None:
    """A band of bitumen over a crack, along its winding course: even, dark, of a hand's width."""
    across, along = axes(rng, crop.side_px, _angle(rng))
    across = across + rng.uniform(1, 20) * course(rng, along, finest_px=25, coarsest_px=200)
    uneven = 1 + rng.uniform(0, 0.15) * course(rng, along, finest_px=10, coarsest_px=80)
    alpha = band(across, log_uniform(rng, 16, 80) * uneven, rng.uniform(0.5, 3))
    alpha = alpha * extent(rng, along, whole=0.7)
    if rng.random() < 0.3:
        alpha = alpha * _worn(rng, crop.side_px, rng.uniform(0, 0.3))
    bitumen = _colour(rng, 15, 75, channels=crop.light.shape[2])
    crop.painted(alpha * np.float32(rng.uniform(0.55, 1)), bitumen)
    crop.hides(alpha)


def _patch(rng: np.random.Generator, crop: _Crop) -> None:
    """Newer or older surface beside a straight seam; a box where it has an end."""
    across, along = axes(rng, crop.side_px, _angle(rng))
    across = across + rng.uniform(0, 3) * course(
        rng, along, finest_px=3, coarsest_px=96, roughness=0.5
    )
    inside = step(across, rng.uniform(0.4, 3)) * extent(rng, along, whole=0.5)
    crop.darkened(inside, rng.uniform(0.65, 1.25))
    if rng.random() < 0.5:
        seam = band(across, log_uniform(rng, 1.5, 6), 0.7) * inside.max()
        crop.darkened(seam, rng.uniform(0.5, 0.9))
        crop.hides(seam)


def _stain(rng: np.random.Generator, crop: _Crop) -> None:
    """Oil, rubber or damp: dark, round or drawn out, with soft and uneven edges."""
    across, along = axes(rng, crop.side_px, rng.uniform(0, np.pi))
    size_px = rng.uniform(8, 60)
    far = np.hypot(across, (along - along.mean()) / rng.uniform(1, 8)) / size_px
    far = far + 0.4 * smooth(rng, crop.side_px, rng.uniform(6, 25))
    crop.darkened(step(1 - far, rng.uniform(0.05, 0.4)), rng.uniform(0.45, 0.9))


def _shadow_of_a_pole(rng: np.random.Generator, crop: _Crop) -> None:
    """A band of shade with soft edges: of a pole, a wire, a rail."""
    across, _ = axes(rng, crop.side_px, rng.uniform(0, np.pi))
    crop.darkened(band(across, log_uniform(rng, 3, 40), rng.uniform(0.8, 5)), rng.uniform(0.4, 0.8))


def _tining(rng: np.random.Generator, crop: _Crop) -> None:
    """The fine grooves of a concrete surface, side by side."""
    across, along = axes(rng, crop.side_px, _angle(rng))
    period_px = rng.uniform(5, 22)
    across = across + 0.8 * course(rng, along, finest_px=20, coarsest_px=80)
    wave = np.sin(across * np.float32(2 * np.pi / period_px))
    strength = rng.uniform(0.03, 0.15) * (0.5 + 0.5 * _worn(rng, crop.side_px, 0.3))
    crop.light[:] *= (1 - strength * np.clip(wave, -0.2, 1))[:, :, None]


KINDS: dict[str, tuple[float, Callable[[np.random.Generator, _Crop], None]]] = {
    "joint": (0.3, _joint),
    "marking": (0.2, _marking),
    "sealed crack": (0.1, _sealed_crack),
    "patch": (0.1, _patch),
    "stain": (0.1, _stain),
    "shadow of a pole": (0.1, _shadow_of_a_pole),
    "tining": (0.1, _tining),
}
"""What is drawn by its name: the share of all that it is, and how it is drawn."""


def _angle(rng: np.random.Generator) -> float:
    """Of what is built along or across a lane: mostly near the image's axes."""
    if rng.random() < 0.3:
        return float(rng.uniform(0, np.pi))
    return float(rng.integers(0, 2) * np.pi / 2 + rng.normal(0, 0.05))


def _worn(rng: np.random.Generator, side_px: int, lost: float) -> Field:
    """1 where paint or filling is left, 0 where it is worn off: some `lost` of it, in flecks."""
    flecks = smooth(rng, side_px, log_uniform(rng, 2, 30))
    return step(
        flecks - np.quantile(flecks, lost) + (1e3 if lost < 0.05 else 0), rng.uniform(0.05, 0.3)
    )


def _colour(rng: np.random.Generator, low: float, high: float, *, channels: int) -> Field:
    return np.asarray(rng.uniform(low, high) + rng.uniform(-8, 8, channels), np.float32)
