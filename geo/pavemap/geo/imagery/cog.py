"""Rewrites any accepted GeoTIFF as a cloud-optimised one: the form in which windows are cheap to read."""

from __future__ import annotations

import logging
import shutil
import uuid
from pathlib import Path

import rasterio.shutil
from rasterio.windows import Window

from pavemap.geo.errors import BadInput, DamagedRaster, StorageFull, UnsupportedRaster
from pavemap.geo.imagery.geotiff import RETILE, Dataset, check_complete, open_geotiff

log = logging.getLogger(__name__)

COG_BLOCK_PX = 512

COG_OPTIONS = {
    "COMPRESS": "ZSTD",  # lossless; twice as fast to read as DEFLATE, and fast at its lowest level
    "LEVEL": "1",
    "PREDICTOR": "YES",
    "BLOCKSIZE": str(COG_BLOCK_PX),
    "OVERVIEWS": "IGNORE_EXISTING",  # made anew, for maps; detection reads full resolution
    "OVERVIEW_RESAMPLING": "AVERAGE",
    "BIGTIFF": "IF_SAFER",
    "NUM_THREADS": "ALL_CPUS",
}

MAX_COG_BLOCK_PX = 1024
"""A COG of larger blocks is rewritten: a cell would decode several times what it needs."""

LITTLE_ROOM_BYTES = 16 * 2**20
"""Less free space than this after a failed write means that the disk is what failed."""


def is_cog(path: str | Path) -> bool:
    """Tell whether a GeoTIFF is laid out as a COG, by GDAL's own mark, in blocks of a fit size."""
    with open_geotiff(path) as dataset:
        layout = dataset.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
        largest = int(max(dataset.block_shapes[0]))
        return bool(layout == "COG") and largest <= MAX_COG_BLOCK_PX


def to_cog(source_path: str | Path, target_path: str | Path) -> None:
    """Write a GeoTIFF anew as a COG: same pixels, mask, no-data, CRS and transform, in bounded memory.

    The target appears whole or not at all. Raises DamagedRaster when a block can't be decoded,
    UnsupportedRaster when GDAL can't write it so, StorageFull when the disk of the target is full.
    """
    source, target = Path(source_path), Path(target_path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{uuid.uuid4().hex}.tif")
    try:
        with open_geotiff(source_path, name=source.name) as dataset:
            rasterio.shutil.copy(dataset, str(unfinished), driver="COG", **_options(dataset))
            _check_written(dataset, unfinished)
        unfinished.replace(target)
    except BadInput as exc:
        if shutil.disk_usage(target.parent).free < LITTLE_ROOM_BYTES or "No space" in str(exc):
            raise StorageFull(
                f"there is no room to rewrite {source.name}; free some where it is stored and try again"
            ) from exc
        if unfinished.name in str(exc):  # GDAL names the file that it failed on
            raise UnsupportedRaster(
                f"{source.name} can't be rewritten as a cloud-optimised GeoTIFF; write it anew: {RETILE}"
            ) from exc
        raise
    finally:
        for leftover in target.parent.glob(f"{unfinished.name}*"):  # .ovr.tmp and the like too
            leftover.unlink()


def _options(dataset: Dataset) -> dict[str, str]:
    """Return how to write a dataset; samples of 12 bits and the like can't be predicted."""
    odd = dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") is not None
    return {**COG_OPTIONS, "PREDICTOR": "NO"} if odd else COG_OPTIONS


def _check_written(source: Dataset, written: Path) -> None:
    """Read all that was written: GDAL reports some failed writes only in its log."""
    with open_geotiff(written) as copy:
        same = all(
            getattr(copy, what) == getattr(source, what)
            for what in ("width", "height", "count", "dtypes", "transform", "nodata")
        )
        if not same:
            raise DamagedRaster(f"{Path(source.name).name} could not be rewritten; export it anew")
        check_complete(copy, file_bytes=written.stat().st_size, name=written.name)
        for factor in (1, *copy.overviews(1)):
            _decode(copy, factor)


def _decode(dataset: Dataset, factor: int) -> None:
    """Read all pixels, or an overview of so many pixels to one, and throw them away."""
    side = factor * COG_BLOCK_PX
    for row in range(0, dataset.height, side):
        for column in range(0, dataset.width, side):
            high, wide = min(side, dataset.height - row), min(side, dataset.width - column)
            shape = (dataset.count, -(-high // factor), -(-wide // factor))
            dataset.read(window=Window(column, row, wide, high), out_shape=shape)
