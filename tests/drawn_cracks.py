"""Cracks drawn for tests: little text pictures, exact shapes at any angle, and a random crack map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy import ndimage
from shapely import affinity

from pavemap.geo.arrays import Geometries
from pavemap.geo.grid import Bounds, Window
from pavemap.geo.imagery.mosaic import Chip
from pavemap.geo.lines.flat_lines import Polylines, clip
from pavemap.geo.vectorizing.bitmap import BIT_NUMBERS, Bitmap, pixels_of
from pavemap.geo.vectorizing.vectorize import VectorizeParams, vectorize

Picture = NDArray[np.uint8]

MARGIN_PX = 30


def picture(text: str) -> Picture:
    """Read a drawn picture: '#' is 255, anything else 0; blank lines and indentation don't count."""
    rows = [row.strip() for row in text.splitlines() if row.strip()]
    return np.array([[255 if mark == "#" else 0 for mark in row] for row in rows], np.uint8)


def drawing(mask: NDArray[np.bool_]) -> list[str]:
    """Draw a mask as text, a string for each row."""
    return ["".join("#" if pixel else "." for pixel in row) for row in mask]


def unpacked(bitmap: Bitmap) -> NDArray[np.bool_]:
    """A packed mask as a picture, bool (H, W)."""
    mask = np.zeros(bitmap.shape, np.bool_)
    mask[bitmap.places(pixels_of(bitmap.words, BIT_NUMBERS))] = True
    return mask


def painted(
    crack: shapely.Geometry,
    *,
    width: float,
    cap: Literal["round", "flat"] = "round",
    turn: float = 0.0,
    smooth: bool = False,
) -> Picture:
    """Paint lines of a width (pixels), as `filled` does their outline."""
    body = shapely.buffer(crack, width / 2, cap_style=cap, quad_segs=32)
    return filled(body, turn=turn, smooth=smooth)


def filled(body: shapely.Geometry, *, turn: float = 0.0, smooth: bool = False) -> Picture:
    """Fill polygons in a picture of their own, turned by degrees.

    A pixel is crack when its centre is; smooth: as much as a 4 x 4 grid of points in it says.
    """
    turned = affinity.rotate(body, turn, origin=(0, 0))
    left, top, right, bottom = shapely.bounds(turned)
    size = int(np.ceil(max(right - left, bottom - top) + 2 * MARGIN_PX))
    shifted = affinity.translate(turned, MARGIN_PX - left + 0.3, MARGIN_PX - top + 0.7)
    finer = 4 if smooth else 1
    drawn = rasterize(
        [(shifted, 255)],
        (size * finer, size * finer),
        transform=Affine.scale(1 / finer),
        dtype="uint8",
    )
    cells = drawn.reshape(size, finer, size, finer).mean(axis=(1, 3))
    return np.asarray(np.round(cells), np.uint8)


def lines_of(probability: Picture, params: VectorizeParams | None = None) -> Geometries:
    """Vectorise in pixel coordinates, widths in pixels."""
    return vectorize(
        probability,
        transform=Affine.identity(),
        params=params or VectorizeParams(),
        metres_per_px=0.001,
    )


def clipped(lines: Geometries, bounds: Bounds) -> Geometries:
    """What of lines lies in a box."""
    return clip(Polylines.from_shapely(lines), bounds)[0].to_shapely()


def mean_width(lines: Geometries) -> float:
    """The mean z along lines."""
    area = length = 0.0
    for line in lines:
        points = shapely.get_coordinates(line, include_z=True)
        steps = np.hypot(*np.diff(points[:, :2], axis=0).T)
        area += float((steps * (points[1:, 2] + points[:-1, 2]) / 2).sum())
        length += float(steps.sum())
    return area / length


def random_cracks(size: int, *, cracks: int, seed: int) -> Picture:
    """A crack map as a network might give it: wandering lines of 1 to 12 pixels, blur and noise."""
    random = np.random.default_rng(seed)
    canvas = np.zeros((size, size), np.uint8)
    for _ in range(cracks):
        steps = int(random.integers(size // 40, size // 6))
        heading = np.cumsum(random.normal(0.0, 0.25, steps)) + random.uniform(0, 2 * np.pi)
        path = random.uniform(0, size, 2) + 5 * np.cumsum(
            np.column_stack([np.cos(heading), np.sin(heading)]), axis=0
        )
        fine = np.round(path * 16).astype(np.int32)
        cv2.polylines(canvas, [fine], False, (255,), int(random.integers(1, 13)), cv2.LINE_AA, 4)
    noise = ndimage.gaussian_filter(random.normal(size=(size, size)), 1.2)
    blurred = ndimage.gaussian_filter(canvas.astype(float), 0.8)
    return np.asarray(np.clip(blurred + noise / noise.std() * 45, 0, 255), np.uint8)


@dataclass(frozen=True)
class MemoryMosaic:
    """A mosaic of one picture, whose upper left pixel is a pixel of the world's grid."""

    pixels: Picture
    valid: NDArray[np.bool_]
    left: int
    top: int

    def read(self, window: Window) -> Chip:
        """Read a window of the picture's own pixel size."""
        height, width = self.valid.shape
        col = round(window.left / window.gsd_m) - self.left
        row = self.top - round(window.top / window.gsd_m)
        pixels = np.zeros((window.height, window.width, 3), np.uint8)
        valid = np.zeros((window.height, window.width), np.bool_)
        rows = slice(max(row, 0), max(min(row + window.height, height), 0))
        cols = slice(max(col, 0), max(min(col + window.width, width), 0))
        if rows.stop > rows.start and cols.stop > cols.start:
            inside = (
                slice(rows.start - row, rows.stop - row),
                slice(cols.start - col, cols.stop - col),
            )
            valid[inside] = self.valid[rows, cols]
            pixels[inside] = np.where(self.valid[rows, cols, None], self.pixels[rows, cols], 0)
        return Chip(pixels, valid)
