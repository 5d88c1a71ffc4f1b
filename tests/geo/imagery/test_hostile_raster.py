"""GeoTIFFs made to harm: that reach for other files, or promise more than a server can hold."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio

from pavemap.geo.errors import (
    BadInput,
    DamagedRaster,
    NotAGeoTiff,
    NotGeoreferenced,
    UnsupportedRaster,
)
from pavemap.geo.imagery.cog import to_cog
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.imagery.raster import inspect
from rasters import NORTH_UP, UTM, crafted, header, texture, window_of, write

SMALL = texture(600, 600)


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A web server of the attacker: its address, and the paths that were asked of it."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()
    thread.join()


def test_overviews_in_another_place_are_not_followed(
    tmp_path: Path, asked: tuple[str, list[str]]
) -> None:
    address, paths = asked
    path = write(tmp_path / "a.tif", SMALL)
    with rasterio.open(path, "r+") as target:
        target.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"/vsicurl/{address}/secret.tif")
    trusting = f"import rasterio; rasterio.open({str(path)!r}).overviews(1)"
    subprocess.run([sys.executable, "-c", trusting], check=True, timeout=60)
    assert paths, "the attack itself no longer works; is the guard still needed?"
    paths.clear()
    with pytest.raises(UnsupportedRaster, match="another file"):
        inspect(path)
    with pytest.raises(UnsupportedRaster, match="another file"):
        to_cog(path, tmp_path / "b.tif")
    assert paths == []


def test_files_beside_it_change_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "bait"
    folder.mkdir()
    path = write(folder / "a.tif", SMALL)
    alone = inspect(path)
    bait = write(tmp_path / "bait.tif", np.zeros((300, 300, 3), np.uint8))
    for suffix in (".ovr", ".msk", ".aux", ".rrd"):
        shutil.copy(bait, folder / f"a.tif{suffix}")
        shutil.copy(bait, folder / f"a{suffix}")
    folder.joinpath("a.tfw").write_text("5\n0\n0\n-5\n1000\n1000\n")
    folder.joinpath("a.tif.aux.xml").write_text(
        f"<PAMDataset><SRS>EPSG:32611</SRS><GeoTransform>0,9,0,0,0,-9</GeoTransform>"
        f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{bait}</MDI></Metadata>'
        '<PAMRasterBand band="1"><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>'
    )
    assert inspect(path) == alone
    chip = Mosaic([alone], UTM).read(window_of(SMALL))
    np.testing.assert_array_equal(chip.pixels, SMALL)
    assert chip.valid.all()
    to_cog(path, tmp_path / "cog.tif")
    with rasterio.open(tmp_path / "cog.tif") as cog:
        assert cog.nodata is None
        assert cog.read(1, out_shape=(300, 300)).min() > 0, "the bait's overview was taken"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # while writing it
def test_a_world_file_or_aux_xml_gives_no_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", SMALL, transform=rasterio.Affine.identity())
    tmp_path.joinpath("a.tfw").write_text("0.01\n0\n0\n-0.01\n500000\n5500000\n")
    with pytest.raises(NotGeoreferenced, match="put its world file into it"):
        inspect(path)


def one_strip(path: Path) -> Path:
    tags = {**header(60_000, 60_000, compression=8), 273: -1, 278: 60_000, 279: 3_500_000}
    return crafted(path, tags, pad_to=3_600_000)


def one_tile(path: Path) -> Path:
    tags = {**header(60_000, 60_000, compression=8), 322: 60_000, 323: 60_000, 324: -1, 325: 999}
    return crafted(path, tags, pad_to=6_000)


def wide_strips(path: Path) -> Path:
    strips = {273: (-1,) * 10, 278: 1, 279: (10,) * 10}
    return crafted(path, {**header(2**28, 10, compression=8), **strips}, pad_to=6_000)


def million_by_million(path: Path) -> Path:
    tiles = {322: 2**14, 323: 2**14, 324: -1, 325: 9}
    return crafted(path, {**header(10**6, 10**6, compression=8), **tiles}, pad_to=6_000)


def past_counting(path: Path) -> Path:
    tags = {**header(2**31 - 1, 2**31 - 1, compression=8), 322: 256, 323: 256, 324: -1, 325: 9}
    return crafted(path, tags, pad_to=6_000)


def rows_without_end(path: Path) -> Path:
    return crafted(path, {**header(16, 2**31 - 1), 273: -1, 278: 1, 279: 16}, pad_to=6_000)


def empty_sheet(path: Path) -> Path:
    """120,000 x 120,000 pixels of which none is stored."""
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "crs": UTM.to_wkt()}
    profile |= {"width": 120_000, "height": 120_000, "transform": NORTH_UP, "SPARSE_OK": True}
    tiling = {"tiled": True, "blockxsize": 4096, "blockysize": 4096, "compress": "deflate"}
    with rasterio.open(path, "w", **profile, **tiling):
        return path


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (one_strip, "blocks of 60,000 x 60,000 pixels.*gdal_translate"),
        (one_tile, "blocks of 60,000 x 60,000 pixels.*gdal_translate"),
        (wide_strips, "blocks of 268,435,456 x 1 pixels"),
        (million_by_million, "gdal_retile"),
        (past_counting, "can't be read as a GeoTIFF"),
        (rows_without_end, "gdal_retile"),
        (empty_sheet, "hardly any hold an image"),
    ],
)
def test_a_bomb_is_refused_at_once_and_in_little_memory(
    tmp_path: Path, make: Callable[[Path], Path], advice: str
) -> None:
    path = make(tmp_path / "bomb.tif")
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(BadInput, match=advice):
        inspect(path)
    assert time.process_time() - start < 2.0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_what_gdal_says_of_a_file_tells_no_path_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "incoming" / "bad.tif"
    path.parent.mkdir()
    path.write_bytes(b"II*\x00" + bytes(100))
    with pytest.raises(NotAGeoTiff, match=r"^bad.tif can't be read") as raised:
        inspect(path, name="bad.tif")
    assert str(tmp_path) not in str(raised.value)
    write(path, SMALL, compress="deflate")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with pytest.raises(BadInput) as cut:
        inspect(path, name="bad.tif")
    assert str(tmp_path) not in str(cut.value)


def test_a_block_that_leaves_the_file_is_refused(tmp_path: Path) -> None:
    path = crafted(
        tmp_path / "a.tif", {**header(100, 100), 273: 4_000_000_000, 278: 100, 279: 10_000}
    )
    with pytest.raises(DamagedRaster, match="cut off"):
        inspect(path)
