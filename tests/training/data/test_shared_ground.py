"""Pictures of one place are told from pictures of two, however they were taken."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from pavemap.training.data.shared_ground import same_ground, sight_of

SIDE = 320


def ground(seed: int) -> NDArray[np.uint8]:
    """Return drawn ground (H, W, 3) with blotches of several sizes."""
    rng = np.random.default_rng(seed)
    noises = [cv2.GaussianBlur(rng.normal(size=(600, 600)), (0, 0), px) for px in (2.0, 6.0, 18.0)]
    light = 120.0 + 22.0 * np.sum([noise / noise.std() for noise in noises], axis=0)
    return np.repeat(np.clip(light, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def seen(
    place: NDArray[np.uint8], *, at: tuple[float, float], turn_deg: float, zoom: float
) -> NDArray[np.uint8]:
    """Return a picture (SIDE, SIDE, 3) of some ground, centred on a place of it."""
    way = cv2.getRotationMatrix2D(at, turn_deg, zoom)
    way[:, 2] = way[:, 2] + SIDE / 2 - np.array(at)
    return np.asarray(cv2.warpAffine(place, way, (SIDE, SIDE)), np.uint8)


@pytest.mark.parametrize(
    ("at", "turn_deg", "zoom"),
    [((300, 300), 0, 1.0), ((360, 250), 0, 1.0), ((310, 300), 25, 1.0), ((300, 310), 180, 1.6)],
)
def test_the_same_ground_is_known_again(
    at: tuple[float, float], turn_deg: float, zoom: float
) -> None:
    place = ground(0)
    one = seen(place, at=(300, 300), turn_deg=0, zoom=1.0)
    other = np.clip(seen(place, at=at, turn_deg=turn_deg, zoom=zoom) * 0.8 + 15, 0, 255)
    assert same_ground(sight_of(one), sight_of(other.astype(np.uint8)))
    assert same_ground(sight_of(one), sight_of(other[..., :1].astype(np.uint8)))


def test_other_ground_of_the_same_kind_is_other_ground() -> None:
    sights = [sight_of(seen(ground(n), at=(300, 300), turn_deg=0, zoom=1.0)) for n in range(6)]
    assert not any(
        same_ground(one, other) for one in sights for other in sights if one is not other
    )


def test_a_picture_of_nothing_shows_no_ground() -> None:
    nothing = sight_of(np.full((SIDE, SIDE, 3), 90, np.uint8))
    assert len(nothing.points) == 0
    assert not same_ground(nothing, nothing)
