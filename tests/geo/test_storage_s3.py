"""Storage in a bucket: what obstore writes is what GDAL reads, and failures say whose they are."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from pavemap.geo.errors import BadInput, StorageFull, Unavailable
from pavemap.geo.imagery.cog import to_cog
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.imagery.raster import inspect
from pavemap.geo.storage import Storage, orthophoto_key
from pavemap.geo.store.engine import database
from pavemap.geo.store.storage_identity import check_identity, stored_id
from rasters import UTM, texture, window_of, write

KEY = orthophoto_key(uuid.UUID(int=9), "cd" * 32)


def test_a_survey_is_read_from_the_bucket_it_was_stored_in(endpoint: str, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(1, 255, (2000, 1500, 3)).astype(np.uint8)
    to_cog(write(tmp_path / "a.tif", image), tmp_path / "cog.tif")
    photo = inspect(tmp_path / "cog.tif", name="a.tif")
    assert (tmp_path / "cog.tif").stat().st_size > 9_000_000, "meant to need several parts"
    bucket = Storage("s3://surveys/2026")
    assert not bucket.exists(KEY)
    bucket.put_file(KEY, tmp_path / "cog.tif")
    assert bucket.exists(KEY)
    assert not (tmp_path / "cog.tif").exists()
    stored = photo.at(bucket.gdal_path(KEY))
    chip = Mosaic([stored], UTM, gdal_options=bucket.gdal_environment()).read(window_of(image))
    np.testing.assert_array_equal(chip.pixels, image)
    bucket.delete(KEY)
    assert not bucket.exists(KEY)


def test_a_bucket_is_known_by_the_id_in_it(endpoint: str, engine: Engine) -> None:
    bucket, other = Storage("s3://surveys/2026"), Storage("s3://surveys/2027")
    with pytest.raises(StorageFull), database(engine) as connection:
        check_identity(connection, Storage("s3://full/2026"))
    for _ in range(2):
        with database(engine) as connection:
            check_identity(connection, bucket)
    with pytest.raises(Unavailable, match="2027 is not the one"), database(engine) as connection:
        check_identity(connection, other)
    assert (stored_id(bucket) is None, stored_id(other)) == (False, None)


def test_an_endpoint_with_a_path_is_refused(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """obstore would write below the path and GDAL, which takes a host alone, read beside it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{endpoint}/")
    Storage("s3://surveys/2026").check_writable()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{endpoint}/s3")
    with pytest.raises(BadInput, match=r"/s3 has a path; name scheme, host and port alone"):
        Storage("s3://surveys/2026")


def test_a_bucket_that_is_gone_is_away_not_empty(endpoint: str, tmp_path: Path) -> None:
    gone = Storage("s3://gone")
    (tmp_path / "a.tif").write_bytes(b"a")
    with pytest.raises(Unavailable, match="bucket is gone; check PAVEMAP_STORAGE_URL"):
        gone.put_file(KEY, tmp_path / "a.tif")
    with pytest.raises(Unavailable, match="bucket is gone"):
        gone.write(KEY, b"a")


def test_a_bucket_without_room_is_told_apart(endpoint: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", texture(50, 50))
    with pytest.raises(StorageFull):
        Storage("s3://full/2026").put_file(KEY, path)
    assert path.exists(), "the file that could not be stored must not be lost"


def test_what_is_not_in_the_bucket_is_unavailable_not_damaged(
    endpoint: str, tmp_path: Path
) -> None:
    photo = inspect(write(tmp_path / "a.tif", texture(50, 50)))
    bucket = Storage("s3://surveys/2026")
    gone = photo.at(bucket.gdal_path(orthophoto_key(uuid.UUID(int=10), "ef" * 32)))
    with pytest.raises(Unavailable, match=r"a\.tif can't be reached"):
        Mosaic([gone], UTM, gdal_options=bucket.gdal_environment()).read(window_of(texture(50, 50)))
