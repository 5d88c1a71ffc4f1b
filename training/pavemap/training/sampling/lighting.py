"""Random light: the brightness, colour, shadow, focus and noise that a survey may meet."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.training.augmentation import Augmentation


def relit(
    rng: np.random.Generator, pixels: NDArray[np.uint8], change: Augmentation
) -> NDArray[np.uint8]:
    """A crop (H, W, C) under other light, as strongly as the augmentation says."""
    light = pixels.astype(np.float32)
    if change.blur and rng.random() < change.blur:
        blurred = cv2.GaussianBlur(light, (0, 0), float(rng.uniform(0.3, 1.2)))
        light = np.asarray(blurred, np.float32).reshape(pixels.shape)
    if change.light:
        light = _exposed(rng, light, change.light)
    if change.noise and rng.random() < change.noise:
        light = light + rng.normal(0, rng.uniform(1, 8), light.shape).astype(np.float32)
    return np.clip(light, 0, 255).astype(np.uint8)


def _exposed(
    rng: np.random.Generator, light: NDArray[np.float32], strength: float
) -> NDArray[np.float32]:
    if rng.random() < 0.2:
        light = np.repeat(light.mean(2, keepdims=True), light.shape[2], axis=2)
    contrast = np.exp(rng.uniform(-0.5, 0.5) * strength)
    tint = rng.uniform(-20, 20, light.shape[2]) * strength
    brightness = rng.uniform(-60, 60) * strength
    mean = light.mean()
    light = np.asarray((light - mean) * contrast + mean + brightness + tint, np.float32)
    if rng.random() < 0.3 * strength:
        light = light * _shadow(rng, light.shape[0])[:, :, None]
    if rng.random() < 0.3:
        gamma = np.exp(rng.uniform(-0.4, 0.4) * strength)
        light = 255 * (np.clip(light, 0, 255) / 255) ** gamma
    return np.asarray(light, np.float32)


def _shadow(rng: np.random.Generator, size_px: int) -> NDArray[np.float32]:
    """A soft-edged half plane of darker light (size, size): cracks run on under a tree's shadow."""
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.4, 0.4) * size_px
    steps = np.arange(size_px, dtype=np.float32) - size_px / 2
    distance = steps[None, :] * np.cos(angle) + steps[:, None] * np.sin(angle) - offset
    softness, depth = rng.uniform(1, 12), rng.uniform(0.2, 0.6)
    return np.asarray(1 - depth / (1 + np.exp(-np.clip(distance / softness, -30, 30))), np.float32)
