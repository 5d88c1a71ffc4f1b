"""Small GeoTIFFs for the raster tests: written whole, written hostile, and the pictures in them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.grid import Window

UTM = CRS.from_epsg(32633)
LEFT, TOP, GSD = 500_000.0, 5_500_000.0, 0.01
NORTH_UP = Affine(GSD, 0.0, LEFT, 0.0, -GSD, TOP)


def texture(height: int, width: int, *, bands: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Draw a picture (H, W, bands) in which every pixel differs from its neighbours; never 0 or 255."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[0:height, 0:width]
    waves = 128 + 60 * np.sin(row / 7.0) + 50 * np.cos(column / 5.0)
    grain = rng.normal(0, 8, (height, width, bands))
    return np.asarray(np.clip(waves[..., None] + grain, 1, 254), np.uint8)


def write(
    path: Path,
    image: NDArray[Any],
    *,
    transform: Affine = NORTH_UP,
    crs: CRS | None = UTM,
    mask: NDArray[np.bool_] | None = None,
    **options: Any,
) -> Path:
    """Write an (H, W, bands) array as a GeoTIFF, with an internal mask if one is given."""
    height, width, bands = image.shape
    profile = {
        "driver": "GTiff",
        "width": width,
        "height": height,
        "count": bands,
        "dtype": image.dtype,
        "crs": None if crs is None else crs.to_wkt(),
        "transform": transform,
        **options,
    }
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as target:
        target.write(np.moveaxis(image, 2, 0))
        if mask is not None:
            target.write_mask(mask)
    return path


def window_of(image: NDArray[Any], transform: Affine = NORTH_UP, *, crs: CRS = UTM) -> Window:
    """The window that has exactly the pixels of a north-up image."""
    return Window(crs, transform.c, transform.f, transform.a, image.shape[1], image.shape[0])


def crafted(path: Path, tags: Mapping[int, Any], *, pad_to: int = 0) -> Path:
    """Write a TIFF byte by byte: tag -> LONGs or DOUBLEs, a place on the Earth added, then zeros.

    An offset of -1 points to the zeros.
    """
    geo = {33550: (GSD, GSD, 0.0), 33922: (0.0, 0.0, 0.0, LEFT, TOP, 0.0)}
    keys = (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633)
    entries = sorted({**geo, **tags}.items()) + [(34735, keys)]
    entries.sort()
    extra = 8 + 2 + 12 * len(entries) + 4
    overflow = b""
    directory = struct.pack("<H", len(entries))
    data_at = 4096
    for tag, value in entries:
        values = value if isinstance(value, tuple) else (value,)
        values = tuple(data_at if v == -1 else v for v in values)
        code, kind = ("d", 12) if isinstance(values[0], float) else ("I", 4)
        if tag == 34735:
            code, kind = "H", 3
        packed = struct.pack(f"<{len(values)}{code}", *values)
        if len(packed) > 4:
            place = extra + len(overflow)
            overflow += packed
            packed = struct.pack("<I", place)
        directory += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    head = b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", 0) + overflow
    assert len(head) <= data_at
    path.write_bytes(head.ljust(max(pad_to, data_at), b"\0"))
    return path


def header(width: int, height: int, **more: int) -> dict[int, Any]:
    """Return the tags of a plain 8 bit gray image, without where its data are."""
    return {256: width, 257: height, 258: 8, 259: more.get("compression", 1), 262: 1, 277: 1}
