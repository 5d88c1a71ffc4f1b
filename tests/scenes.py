"""Drawn ground to survey: cracked asphalt, cut into georeferenced tiles of any layout and CRS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.warp import Resampling, reproject

RAGGED_PX = 6.0  # between the bends of a crack

Image = NDArray[np.uint8]

UTM = CRS.from_epsg(32616)
ORIGIN_X, ORIGIN_Y = 700_000.0, 3_290_000.0
"""Upper left corner of every scene: a place in northern Florida, UTM zone 16 north."""


@dataclass(frozen=True)
class Scene:
    """An image (H, W, 3) of ground in UTM 16N, north up, its upper left corner at the origin."""

    pixels: Image
    gsd_m: float
    crs: CRS = UTM
    crack_length_px: float = 0.0
    """Length of all cracks as they were drawn."""

    @property
    def transform(self) -> Affine:
        """(column, row) to (x, y)."""
        return Affine(self.gsd_m, 0.0, ORIGIN_X, 0.0, -self.gsd_m, ORIGIN_Y)

    @property
    def size_m(self) -> tuple[float, float]:
        """(width, height) of the ground shown."""
        height, width = self.pixels.shape[:2]
        return width * self.gsd_m, height * self.gsd_m


def asphalt(width: int, height: int, *, seed: int = 0) -> Image:
    """Draw crack-free asphalt: grey with grain at two scales."""
    rng = np.random.default_rng(seed)
    fine = rng.normal(0.0, 7.0, (height, width))
    coarse = cv2.resize(rng.normal(0.0, 5.0, (height // 16 + 2, width // 16 + 2)), (width, height))
    grey = np.clip(140.0 + fine + coarse, 0, 255).astype(np.uint8)
    return np.repeat(cv2.GaussianBlur(grey, (3, 3), 0.6)[:, :, None], 3, axis=2)


def draw_crack(image: Image, points: Sequence[tuple[float, float]], *, width_px: int = 4) -> None:
    """Draw one dark polyline through (x, y) pixel positions into an image, in place."""
    line = np.round(np.array(points)).astype(np.int32)[:, None, :]
    cv2.polylines(image, [line], isClosed=False, color=(45, 45, 48), thickness=width_px)


def wandering(
    start: tuple[float, float], end: tuple[float, float], *, seed: int, bend_px: float = RAGGED_PX
) -> list[tuple[float, float]]:
    """Make a crack-like path between two pixel positions: ragged, and straying 5 pixels in 25.

    Smoother ones are what sealed cracks and joints look like, which a detector should not find.
    """
    rng = np.random.default_rng(seed)
    steps = max(int(np.hypot(end[0] - start[0], end[1] - start[1]) // bend_px), 2)
    along = np.linspace(0.0, 1.0, steps)[:, None]
    line = np.array(start) * (1 - along) + np.array(end) * along
    side = np.cumsum(rng.normal(0.0, 5.0 * np.sqrt(bend_px / 25), steps))
    side -= along[:, 0] * side[-1]
    normal = np.array([end[1] - start[1], start[0] - end[0]], dtype=float)
    path = line + side[:, None] * normal / np.linalg.norm(normal)
    return [(float(x), float(y)) for x, y in path]


def cracked_strip(
    width: int = 4000,
    height: int = 2000,
    *,
    gsd_m: float = 0.002,
    seed: int = 0,
    bend_px: float = RAGGED_PX,
) -> Scene:
    """Draw a strip with a long crack along it, one across, a branching one and an empty right fifth."""
    image = asphalt(width, height, seed=seed)
    path = partial(wandering, bend_px=bend_px)
    fork = path((0.45 * width, 0.9 * height), (0.60 * width, 0.60 * height), seed=seed + 3)
    cracks = [
        (path((40, 0.30 * height), (0.75 * width, 0.45 * height), seed=seed + 1), 4),
        (path((0.20 * width, 30), (0.27 * width, height - 30), seed=seed + 2), 6),
        (fork, 5),
        (path(fork[-1], (0.70 * width, 0.85 * height), seed=seed + 4), 4),
    ]
    for points, width_px in cracks:
        draw_crack(image, points, width_px=width_px)
    length_px = sum(float(np.hypot(*np.diff(points, axis=0).T).sum()) for points, _ in cracks)
    blurred = cv2.GaussianBlur(image, (3, 3), 0.8).astype(np.uint8)
    return Scene(blurred, gsd_m, crack_length_px=length_px)


def write_tile(
    path: Path, image: Image, *, crs: CRS, transform: Affine, nodata: int | None = None
) -> Path:
    """Write an (H, W, 3) image as a tiled, lossless GeoTIFF."""
    height, width, bands = image.shape
    profile = {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": bands,
        "dtype": image.dtype,
        "crs": crs.to_wkt(),
        "transform": transform,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **profile) as target:
        target.write(np.moveaxis(image, 2, 0))
    return path


def cut(scene: Scene, folder: Path, *, columns: int, rows: int, overlap_px: int = 0) -> list[Path]:
    """Cut a scene into a layout of tiles on its own pixel grid."""
    height, width = scene.pixels.shape[:2]
    x_edges = np.linspace(0, width, columns + 1).astype(int)
    y_edges = np.linspace(0, height, rows + 1).astype(int)
    paths = []
    for row in range(rows):
        for column in range(columns):
            left, right = x_edges[column], min(x_edges[column + 1] + overlap_px, width)
            top, bottom = y_edges[row], min(y_edges[row + 1] + overlap_px, height)
            paths.append(
                write_tile(
                    folder / f"tile_{row}_{column}.tif",
                    scene.pixels[top:bottom, left:right],
                    crs=scene.crs,
                    transform=scene.transform @ Affine.translation(left, top),
                )
            )
    return paths


def warped(
    scene: Scene, path: Path, *, crs: CRS, transform: Affine, width: int, height: int
) -> Path:
    """Write the scene resampled onto another grid: another CRS, a rotation; 0 is no-data."""
    bands = np.zeros((3, height, width), np.uint8)
    reproject(
        np.moveaxis(scene.pixels, 2, 0),
        bands,
        src_transform=scene.transform,
        src_crs=scene.crs.to_wkt(),
        dst_transform=transform,
        dst_crs=crs.to_wkt(),
        resampling=Resampling.cubic,
        dst_nodata=0,
    )
    return write_tile(path, np.moveaxis(bands, 0, 2), crs=crs, transform=transform, nodata=0)
