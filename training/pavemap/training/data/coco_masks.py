"""Masks of COCO annotations: outlines, runs and boxes become pixels.

An annotation has its place in the file as its `number`, for errors. Coordinates count pixels from the upper
left corner; runs go down the columns, sound first; in their compressed form they are base 48 with five bits
a letter ("COCO, data format", cocodataset.org).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from pavemap.geo.labels.ground_labels import are_hairlines
from pavemap.training.errors import BadTrainingData

Json = dict[str, Any]


def painted(annotations: Iterable[Json], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W) which pixels any of the outlines or run-length masks covers. Raises BadTrainingData."""
    covered = np.zeros(shape, np.bool_)
    rings: list[shapely.Polygon] = []
    for each in annotations:
        segmentation, number = each.get("segmentation"), each["number"]
        if isinstance(segmentation, dict):
            covered |= _decoded(segmentation, shape, number)
        elif isinstance(segmentation, list):
            rings += [_ring(points, number) for points in segmentation]
        elif segmentation is not None:
            raise BadTrainingData(f"annotation #{number} has neither outlines nor runs")
    shapes = [*rings, *_hairlines(rings, shape)]
    if shapes:
        covered |= rasterize(((each, 1) for each in shapes), out_shape=shape, dtype=np.uint8) > 0
    return covered


def _hairlines(rings: Sequence[shapely.Polygon], shape: tuple[int, int]) -> list[shapely.Geometry]:
    """Return the boundaries of outlines thinner than a pixel: they may hold no pixel's centre.

    So a crack is one pixel wide at least, as it is drawn from lines.
    """
    polygons = np.array(rings, object)
    thin = shapely.boundary(polygons[are_hairlines(polygons)])
    # What lies far outside would be walked along pixel by pixel.
    seen = shapely.clip_by_rect(thin, -1, -1, shape[1] + 1, shape[0] + 1)
    return [each for each in seen if not each.is_empty]


def _ring(points: Any, number: int) -> shapely.Polygon:
    good = isinstance(points, list) and len(points) >= 6 and len(points) % 2 == 0
    if not good or not all(isinstance(p, int | float) and abs(p) < 1e9 for p in points):
        raise BadTrainingData(
            f"annotation #{number} has an outline that is no list of x, y, x, y, ... of three corners or "
            "more; export the labels again"
        )
    ring = [(float(x), float(y)) for x, y in zip(points[::2], points[1::2], strict=True)]
    return shapely.Polygon(ring)


def _decoded(runs: Json, shape: tuple[int, int], number: int) -> NDArray[np.bool_]:
    """Return the mask of runs, which go down the columns, the first one sound."""
    said = runs.get("counts")
    if runs.get("size") != [*shape]:
        raise BadTrainingData(f"annotation #{number} is a mask of another size than its image")
    counts: list[Any] = _uncompressed(said, number) if isinstance(said, str) else _listed(said)
    whole = all(type(n) is int and n >= 0 for n in counts)
    if not whole or sum(counts) != shape[0] * shape[1]:
        raise BadTrainingData(
            f"annotation #{number} has runs that don't add up to its image; export the labels again"
        )
    marks = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return marks.reshape(shape[1], shape[0]).T


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _uncompressed(text: str, number: int) -> list[int]:
    """Return runs from their letters: five bits each, the sixth says that more follow.

    From the fourth on, a run is told as the difference from the one before the last.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 30:
            raise BadTrainingData(f"annotation #{number} has runs that can't be read")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise BadTrainingData(f"annotation #{number} has runs that end half way")
    return counts


def boxed(annotations: Iterable[Json], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return (H, W) which pixels the boxes touch. Raises BadTrainingData."""
    covered = np.zeros(shape, np.bool_)
    for each in annotations:
        box: Any = each.get("bbox")
        if (
            not isinstance(box, list)
            or len(box) != 4
            or not all(isinstance(n, int | float) and abs(n) < 1e9 for n in box)
        ):
            raise BadTrainingData(f"annotation #{each['number']} has neither an outline nor a box")
        x, y, width, height = box
        covered[_touched(y, y + height), _touched(x, x + width)] = True
    return covered


def _touched(start: float, end: float) -> slice:
    """Return the pixels between two places, whichever is first: some programs draw boxes backwards."""
    first, last = sorted((start, end))
    return slice(max(math.floor(first), 0), max(math.ceil(last), 0))
