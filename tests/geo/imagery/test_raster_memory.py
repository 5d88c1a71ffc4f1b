"""Memory on a 20,000 x 20,000 tile: bounded by the window and GDAL's cache, not by the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rasterio

from rasters import NORTH_UP, UTM

SIDE = 20_000
LIMIT_MB = 1500

WORK = """
import re, sys
from pathlib import Path
from pavemap.geo.grid import Window
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.imagery.cog import to_cog
from pavemap.geo.imagery.raster import inspect
photo = inspect(sys.argv[1])
crs, left, top, gsd = photo.crs, photo.transform.c, photo.transform.f, photo.transform.a
mosaic = Mosaic([photo], crs)
for scale in (1.0, 0.83, 2.7):
    for step in range(3):
        place = left + step * 2048 * gsd, top - 50 * gsd
        mosaic.read(Window(crs, *place, scale * gsd, 2176, 2176))
to_cog(sys.argv[1], sys.argv[2])
peak_kb = re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]
print(int(peak_kb) // 1024)  # ru_maxrss would count the parent's peak before exec
"""


@pytest.mark.parametrize(
    "layout",
    [{"tiled": True, "blockxsize": 512, "blockysize": 512, "nodata": 0}, {"blockysize": 16}],
    ids=["tiles, no-data", "strips"],
)
def test_reading_and_rewriting_a_large_tile_stay_under_the_limit(
    tmp_path: Path, layout: dict[str, Any]
) -> None:
    """The file is sparse, which no code here knows: its zeros take the same room as any pixels."""
    path = tmp_path / "large.tif"
    profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8"}
    profile |= {
        "crs": UTM.to_wkt(),
        "transform": NORTH_UP,
        "SPARSE_OK": True,
        "compress": "deflate",
    }
    with rasterio.open(path, "w", **profile, **layout):
        pass
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(path), str(tmp_path / "cog.tif")],
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr
    peak_mb = int(done.stdout)
    assert peak_mb < LIMIT_MB
