"""Imagery in a bucket that fails for a while: away while it does, whole at once afterwards."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fake_s3 import set_fault
from pavemap.geo.errors import DamagedRaster, Unavailable
from pavemap.geo.imagery.mosaic import Mosaic, close_files
from pavemap.geo.imagery.raster import inspect
from pavemap.geo.storage import Storage, orthophoto_key
from rasters import UTM, texture, window_of, write

KEY = orthophoto_key(uuid.UUID(int=9), "cd" * 32)
GROUND = texture(900, 900)
CORNER = GROUND[:100, :100]


@pytest.fixture
def mosaic(endpoint: str, tmp_path: Path) -> Mosaic:
    """The ground as a file of several answers, in a bucket."""
    return stored(write(tmp_path / "a.tif", GROUND, tiled=True, compress="deflate"))


def stored(path: Path, *, spoil: Callable[[bytes], bytes] = bytes) -> Mosaic:
    """Put a file into the bucket, spoilt after it was looked at."""
    close_files()
    bucket = Storage("s3://surveys/2026")
    photo = inspect(path)
    path.write_bytes(spoil(path.read_bytes()))
    bucket.put_file(KEY, path)
    return Mosaic([photo.at(bucket.gdal_path(KEY))], UTM, gdal_options=bucket.gdal_environment())


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize("fault", ["cut", "denied", "dropped"])
def test_what_failed_is_read_as_soon_as_the_bucket_is_well(
    mosaic: Mosaic, endpoint: str, fault: str, opened: bool
) -> None:
    if opened:
        np.testing.assert_array_equal(mosaic.read(window_of(CORNER)).pixels, CORNER)
    set_fault(endpoint, fault)
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"a\.tif can't be reached"):
            mosaic.read(window_of(GROUND))
    set_fault(endpoint, "")
    np.testing.assert_array_equal(mosaic.read(window_of(GROUND)).pixels, GROUND)


@pytest.mark.parametrize("opened", [True, False])
def test_an_answer_that_was_spoilt_is_no_damage_of_the_file(
    mosaic: Mosaic, endpoint: str, opened: bool
) -> None:
    if opened:
        mosaic.read(window_of(CORNER))
    set_fault(endpoint, "spoilt")
    np.testing.assert_array_equal(mosaic.read(window_of(GROUND)).pixels, GROUND)


def test_a_file_that_is_damaged_in_the_bucket_is_damaged(endpoint: str, tmp_path: Path) -> None:
    path = write(tmp_path / "b.tif", GROUND, tiled=True, compress="deflate")
    damaged = stored(path, spoil=lambda whole: whole[:-300_000] + b"\xff" * 300_000)
    with pytest.raises(DamagedRaster, match=r"^b\.tif is damaged .*; send it again"):
        damaged.read(window_of(GROUND))
