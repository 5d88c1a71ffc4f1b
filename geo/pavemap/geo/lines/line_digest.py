"""Tells whether two lines, or two areas, in degrees are the same place, however they came here.

A line that went out as GeoJSON comes back rounded, maybe turned round, and without its widths; measured
again, a crack that did not change is the same line under another number. So a place is known by its
course, to the ninth decimal of a degree, a tenth of a millimetre.
"""

from __future__ import annotations

import hashlib

import numpy as np
import shapely
from numpy.typing import NDArray

STEPS_PER_DEG = 1e9
DIGEST = "[0-9a-f]{64}"
"""What a digest looks like, as a regular expression."""


def line_digests(lines: NDArray[np.object_]) -> list[str]:
    """Return the SHA-256 of each line's course; of a line and the same turned round it is one."""
    points, index = shapely.get_coordinates(lines, return_index=True)
    steps = np.rint(points * STEPS_PER_DEG).astype("<i8")
    starts = np.searchsorted(index, np.arange(1, len(lines)))
    return [_digest_of_course(course) for course in np.split(steps, starts)] if len(lines) else []


def area_digests(areas: NDArray[np.object_]) -> list[str]:
    """Return the SHA-256 of each area, wherever its rings begin and whichever way they run."""
    rounded = shapely.transform(
        shapely.force_2d(areas), lambda points: np.rint(points * STEPS_PER_DEG)
    )
    return [hashlib.sha256(content).hexdigest() for content in _wkb(shapely.normalize(rounded))]


def digest_of_all(parts: list[str]) -> str:
    """Return one digest of several texts, in whichever order they come."""
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def _digest_of_course(course: NDArray[np.int64]) -> str:
    there, back = course.tobytes(), course[::-1].tobytes()
    return hashlib.sha256(min(there, back)).hexdigest()


def _wkb(geometries: NDArray[np.object_]) -> list[bytes]:
    return list(shapely.to_wkb(geometries, byte_order=1))
