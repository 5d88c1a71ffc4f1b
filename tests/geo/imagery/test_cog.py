"""Rewriting as a COG: nothing of the picture changes, and a failure leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import CRS
from scipy.ndimage import gaussian_filter

from pavemap.geo.errors import BadInput, DamagedRaster
from pavemap.geo.imagery.cog import COG_OPTIONS, is_cog, to_cog
from pavemap.geo.imagery.raster import inspect
from rasters import NORTH_UP, texture, write

PICTURE = texture(700, 900)
TWELVE_BITS = np.minimum(PICTURE.astype(np.uint16) * 16, 4095)
TWELVE_BITS[:120] = 4095  # an empty border
RGBA = np.dstack([PICTURE, np.where(PICTURE[..., 0] > 99, 255, 0).astype(np.uint8)])


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (PICTURE, {}),
        (PICTURE[..., :1], {"nodata": 255, "interleave": "band"}),
        (PICTURE, {"nodata": 0, "compress": "lzw", "tiled": True}),
        (PICTURE, {"mask": PICTURE[..., 0] > 99}),
        (RGBA, {"ALPHA": "YES", "photometric": "rgb"}),
        (PICTURE.astype(np.uint16) * 257, {"nodata": 0}),
        (TWELVE_BITS, {"NBITS": 12}),
        (PICTURE, {"transform": NORTH_UP @ Affine.rotation(31.4)}),
        (PICTURE, {"transform": NORTH_UP @ Affine.scale(1, -1)}),
        (PICTURE, {"crs": CRS.from_epsg(2236)}),
        (PICTURE, {"crs": CRS.from_epsg(4326), "transform": Affine(1e-8, 0, 5, 0, -1e-8, 50)}),
    ],
    ids=[
        "rgb",
        "gray",
        "nodata",
        "mask",
        "alpha",
        "16bit",
        "12bit",
        "rotated",
        "south-up",
        "feet",
        "degrees",
    ],
)
def test_pixels_validity_and_place_are_kept(
    tmp_path: Path, image: Any, options: dict[str, Any]
) -> None:
    path = write(tmp_path / "a.tif", image, **options)
    before = inspect(path)
    assert not is_cog(path)
    to_cog(path, tmp_path / "out" / "b.tif")
    assert is_cog(tmp_path / "out" / "b.tif")
    after = inspect(tmp_path / "out" / "b.tif", name="a.tif")
    assert after.at(before.path) == before
    with rasterio.open(path) as old, rasterio.open(after.path) as new:
        np.testing.assert_array_equal(new.read(), old.read())
        np.testing.assert_array_equal(new.dataset_mask(), old.dataset_mask())
        assert new.colorinterp == old.colorinterp
        assert new.nodata == old.nodata
        assert new.overviews(1) == [2]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b.tif"], "something was left over"


def test_a_damaged_source_leaves_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", PICTURE, compress="deflate", tiled=True)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400_000] = b"\xff" * 400_000
    path.write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(DamagedRaster, match=r"a\.tif is damaged"):
        to_cog(path, tmp_path / "out" / "b.tif")
    assert not list((tmp_path / "out").iterdir())


def test_a_write_that_fails_is_no_damage_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COG_OPTIONS, "PREDICTOR", "FLOATING_POINT")  # not of whole numbers
    path = write(tmp_path / "a.tif", PICTURE)
    with pytest.raises(BadInput, match=r"^a\.tif can't be rewritten.*gdal_translate") as failed:
        to_cog(path, tmp_path / "out" / "b.tif")
    assert not isinstance(failed.value, DamagedRaster)
    assert str(failed.value).count(".tif") == 3, "only a.tif, and the advice's in.tif and out.tif"
    assert not list((tmp_path / "out").iterdir())


FULL_DISK = """
import sys
from pathlib import Path
from pavemap.geo.imagery.cog import to_cog
from pavemap.geo.errors import StorageFull
folder = Path(sys.argv[2])
try:
    to_cog(sys.argv[1], folder / "b.tif")
except StorageFull as full:
    assert "free some" in str(full), full
    assert not list(folder.iterdir()), list(folder.iterdir())
    print("refused")
"""

FILLING_DISK = """
import sys
from pathlib import Path
import rasterio
from pavemap.geo.imagery.cog import to_cog
from pavemap.geo.errors import StorageFull
folder, full, whole = Path(sys.argv[2]), 0, 0
for taken in range(2800, 0, -50):
    (folder / "other").write_bytes(bytes(1024 * taken))
    try:
        to_cog(sys.argv[1], folder / "b.tif")
    except StorageFull:
        full += 1
    else:
        with rasterio.open(folder / "b.tif") as written, rasterio.open(sys.argv[1]) as sent:
            assert (written.read() == sent.read()).all(), taken
            assert written.read(out_shape=(3, 225, 225)).any(), taken
        (folder / "b.tif").unlink()
        whole += 1
print(full, whole)
"""


@pytest.mark.parametrize("kib", [64, 512, 1024, 2300])
def test_a_full_disk_is_told_apart_and_leaves_nothing(tmp_path: Path, kib: int) -> None:
    """On a real file system with too little room, in a mount namespace of its own."""
    path = write(tmp_path / "a.tif", texture(900, 900))  # 2.4 MB, and next to incompressible
    done = on_a_small_disk(FULL_DISK, path, tmp_path / "small", kib=kib)
    assert done.stdout.strip() == "refused", done.stderr


def test_a_disk_that_fills_up_is_no_fault_of_the_file(tmp_path: Path) -> None:
    """Wherever the disk fills up, what is written is whole, or is refused for want of room."""
    rng = np.random.default_rng(0)
    bands = [gaussian_filter(rng.standard_normal((800, 1060)), 3) * 200 + 120 for _ in range(3)]
    path = write(tmp_path / "a.tif", np.clip(np.dstack(bands), 0, 255).astype(np.uint8))
    done = on_a_small_disk(FILLING_DISK, path, tmp_path / "small", kib=3000)
    full, whole = (int(count) for count in done.stdout.split())
    assert full > 5, done.stderr
    assert whole > 5, done.stderr


def on_a_small_disk(
    code: str, path: Path, small: Path, *, kib: int
) -> subprocess.CompletedProcess[str]:
    small.mkdir()
    mounted = f'mount -t tmpfs -o size={kib}k none "{small}" && exec "$0" -c "$1" "$2" "$3"'
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here, so no small file system can be mounted")
    return subprocess.run(
        [*unshare, mounted, sys.executable, code, str(path), str(small)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
