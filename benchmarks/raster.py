"""Reading cells from imagery, against GDAL's warper in the same run; rewriting a large tile as a COG.

    python benchmarks/raster.py                  # windows from a 6,000 px COG, then a 20,000 px tile
    python benchmarks/raster.py --side 6000      # the large tile smaller

Seconds are processor seconds on one core (medians), so that a busy machine disturbs them little. "Cold"
opens the file and decodes its blocks, "warm" finds them in GDAL's cache. Peak memory is the kernel's, of a
process that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import rasterio
from affine import Affine
from pyproj import CRS
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window as Part

from pavemap.geo.grid import Window
from pavemap.geo.imagery import mosaic as mosaic_module
from pavemap.geo.imagery.cog import to_cog
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.imagery.orthophoto import Orthophoto
from pavemap.geo.imagery.raster import inspect

GSD, LEFT, TOP = 0.002, 500_000.0, 5_000_000.0
UTM, OTHER = CRS.from_epsg(32633), CRS.from_epsg(25833)
SIDE = 2176  # a cell of 2048 pixels with its halo
STRIP = 500

CASES = {
    "on the file's own grid": (UTM, 1.0, 0.0),
    "shifted by half a pixel": (UTM, 1.0, 0.5),
    "1.5 times finer": (UTM, 0.667, 0.3),
    "1.2 times coarser": (UTM, 1.2, 0.3),
    "2 times coarser": (UTM, 2.0, 0.3),
    "another CRS": (OTHER, 1.0, 0.3),
}


def draw(path: Path, *, side: int) -> None:
    """Write a striped, uncompressed RGB tile of grain at the scale of a few pixels."""
    rng = np.random.default_rng(0)
    grain = cv2.GaussianBlur(rng.normal(120, 60, (STRIP, side)).astype(np.float32), (0, 0), 1.5)
    strip = np.clip(grain + rng.normal(0, 3, (3, STRIP, side)), 1, 255).astype(np.uint8)
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8"}
    place = {"crs": UTM.to_wkt(), "transform": Affine(GSD, 0, LEFT, 0, -GSD, TOP)}
    with rasterio.open(path, "w", **profile, **place, interleave="pixel") as target:
        for top in range(0, side, STRIP):
            target.write(np.roll(strip, top // 7, axis=2), window=Part(0, top, side, STRIP))


def window(crs: CRS, scale: float, shift: float) -> Window:
    """Return a cell's window inside the tile."""
    left, top = LEFT + (300 + shift) * GSD, TOP - (300 + shift) * GSD
    return Window(crs, left, top, scale * GSD, SIDE, SIDE)


def by_pavemap(photo: Orthophoto, asked: Window, *, cold: bool) -> None:
    """Read as a Surveyor does."""
    if cold:
        mosaic_module._files._open.clear()
    Mosaic([photo], asked.crs).read(asked)


def by_warper(photo: Orthophoto, asked: Window) -> None:
    """Read through GDAL's warper, bilinear with its kernel scaled, with coverage as alpha."""
    grid = {
        "crs": asked.crs.to_wkt(),
        "transform": asked.transform,
        "resampling": Resampling.bilinear,
    }
    with (
        rasterio.open(photo.path) as dataset,
        WarpedVRT(dataset, width=SIDE, height=SIDE, add_alpha=True, **grid) as warped,
    ):
        warped.read()


def seconds(work: Callable[[], None], *, times: int = 5) -> float:
    """Return the median of processor seconds."""
    taken = []
    for _ in range(times):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def read_windows(folder: Path) -> dict[str, dict[str, float]]:
    """Time each way of reading one window from a COG."""
    draw(folder / "small.tif", side=6000)
    to_cog(folder / "small.tif", folder / "small_cog.tif")
    photo = inspect(folder / "small_cog.tif")
    rows = {}
    for name, case in CASES.items():
        asked = window(*case)
        cold = seconds(lambda at=asked: by_pavemap(photo, at, cold=True))  # type: ignore[misc]
        warm = seconds(lambda at=asked: by_pavemap(photo, at, cold=False))  # type: ignore[misc]
        warper = seconds(lambda at=asked: by_warper(photo, at))  # type: ignore[misc]
        rows[name] = {
            "cold_s": cold,
            "warm_s": warm,
            "gdal_warper_s": warper,
            "ratio": warper / cold,
        }
    return rows


def large_tile(side: int) -> dict[str, dict[str, float]]:
    """Run each step on a large tile in a process of its own; return seconds and peak memory."""
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "large.tif", side=side)
        for step in ("inspect", "to_cog", "read striped", "read cog"):
            command = [sys.executable, __file__, "--step", step, "--folder", name]
            answer = subprocess.run(command, capture_output=True, text=True, check=True)
            rows[step] = json.loads(answer.stdout)
    return rows


def one_step(step: str, folder: Path) -> dict[str, float]:
    """Do one step of `large_tile`."""
    wall, processor = time.perf_counter(), time.process_time()
    source, cog = folder / "large.tif", folder / "cog.tif"
    if step == "inspect":
        inspect(source)
    elif step == "to_cog":
        to_cog(source, cog)
    else:
        photo = inspect(cog if step.endswith("cog") else source)
        for _, scale, shift in CASES.values():
            Mosaic([photo], UTM).read(window(UTM, scale, shift))
    return {
        "wall_s": time.perf_counter() - wall,
        "processor_s": time.process_time() - processor,
        "peak_mb": peak_mb(),
    }


def peak_mb() -> float:
    """Return this process's peak memory; unlike ru_maxrss, without that of the parent it came from."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Run what the command line asks for and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--side", type=int, default=20_000, help="side of the large tile in pixels")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.step:
        print(json.dumps(one_step(asked.step, asked.folder)))
        return
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        windows = read_windows(Path(name))
    print(json.dumps({"windows": windows, "large_tile": large_tile(asked.side)}, indent=2))


if __name__ == "__main__":
    main()
