"""Where the time and the memory of a whole survey go: one big tile through the production parts.

    python benchmarks/survey.py                    # 20,000 x 20,000 pixels, 400 Mpx
    python benchmarks/survey.py --side 6000        # a quick look

Draws a cracked tile, starts what `pavemap up` starts in a fresh home, uploads over HTTP, runs the survey
and prints seconds by stage and the peak memory of each process, sampled twice a second. Resident memory
counts shared pages (libraries, Ray's object store) in each process that maps them; the private column
does not.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shutil
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import geopandas
import numpy as np
import psutil
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.windows import Window

from pavemap.geo.file_digest import file_digest
from pavemap.platform.client.api_client import Client
from pavemap.platform.settings import Settings
from pavemap.platform.stack import Stack

GSD_M = 0.002
LEFT, TOP = 700_000.0, 3_290_000.0
CRS = "EPSG:32616"
BLOCK = 2000


def draw_tile(path: Path, *, side: int) -> None:
    """Write a side x side RGB GeoTIFF of asphalt with a crack through every few metres."""
    rng = np.random.default_rng(7)
    profile = {
        "driver": "GTiff",
        "width": side,
        "height": side,
        "count": 3,
        "dtype": "uint8",
        "crs": CRS,
        "transform": Affine(GSD_M, 0, LEFT, 0, -GSD_M, TOP),
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "jpeg",
        "photometric": "ycbcr",
    }
    grain = _asphalt(rng)
    with rasterio.open(path, "w", **profile) as target:
        for top in range(0, side, BLOCK):
            for left in range(0, side, BLOCK):
                size = (min(BLOCK, side - top), min(BLOCK, side - left))
                block = _cracked(grain, rng)[: size[0], : size[1]]
                target.write(np.moveaxis(block, 2, 0), window=Window(left, top, size[1], size[0]))


def _asphalt(rng: np.random.Generator) -> NDArray[np.uint8]:
    grey = 135 + rng.normal(0, 8, (BLOCK, BLOCK))
    grey += cv2.resize(rng.normal(0, 6, (BLOCK // 16, BLOCK // 16)), (BLOCK, BLOCK))
    return np.repeat(np.clip(grey, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _cracked(grain: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    block = np.ascontiguousarray(np.rot90(grain, int(rng.integers(4))))
    x = np.arange(0, BLOCK + 1, 20)
    y = BLOCK / 2 + np.cumsum(rng.normal(0, 5, len(x)))
    line = np.column_stack([x, y]).round().astype(np.int32)[:, None, :]
    cv2.polylines(
        block, [line], isClosed=False, color=(50, 50, 52), thickness=int(rng.integers(3, 8))
    )
    return block


def draw_roads(path: Path, *, side: int) -> None:
    """Write a network of one road that covers the whole tile."""
    length_m = side * GSD_M
    middle = TOP - length_m / 2
    road = shapely.LineString([(LEFT - 5, middle), (LEFT + length_m + 5, middle)])
    geopandas.GeoDataFrame(
        {"id": ["R1"], "width": [length_m + 1]}, geometry=[road], crs=CRS
    ).to_file(path)


CELL_DONE = re.compile(r"done in ([0-9.]+) s \(([^)]*)\)")


def stages(log: Path) -> dict[str, float]:
    """Sum what the Surveyors say of their cells: seconds of worker time by stage.

    "store" is all of a cell's time outside the other stages: its inputs from the database, and the
    transaction that stores it.
    """
    sums: dict[str, float] = defaultdict(float)
    for total, parts in CELL_DONE.findall(log.read_text()):
        sums["store"] += float(total)
        for part in parts.split(", "):
            stage, seconds = part.split()
            sums[stage] += float(seconds)
            sums["store"] -= float(seconds)
    return {stage: round(seconds, 1) for stage, seconds in sums.items()}


class MemoryWatch(threading.Thread):
    """Peak memory of this process's descendants and of the private database, by role, in MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, dict[str, float]] = defaultdict(
            lambda: {"resident": 0.0, "private": 0.0}
        )
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(0.5):
            for process in psutil.process_iter():
                self._note(process)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()

    def _note(self, process: psutil.Process) -> None:
        try:
            role = _role(process)
            if role is None:
                return
            memory = process.memory_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            return
        peak = self.peaks[role]
        peak["resident"] = max(peak["resident"], memory.rss / 2**20)
        peak["private"] = max(peak["private"], (memory.rss - memory.shared) / 2**20)


def _role(process: psutil.Process) -> str | None:
    command = " ".join(process.cmdline())
    for mark, role in {
        "ServeReplica:default:Detector": "Detector",
        "ServeReplica:pavemap:Detector": "Detector",
        "Surveyor": "Surveyor",
        "uvicorn": "API",
        "pavemap.platform.raster_readers": "raster reader of the API",
        "pavemap.serving.local": "Serve's driver",
        "raylet/raylet": "raylet",
        "gcs_server": "Ray GCS",
        "ServeController": "Serve controller",
        "ProxyActor": "Serve proxy",
        "Ingress": "Ingress",
        "postgres": "PostgreSQL (largest process)",
    }.items():
        if mark in command:
            return role
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--side", type=int, default=20_000, help="pixels along the tile's side")
    parser.add_argument("--folder", type=Path, help="where to work (a temporary folder by default)")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="pavemap-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        print(json.dumps(measure(folder, side=options.side), indent=2))
    finally:
        if options.folder is None:
            shutil.rmtree(folder)


def measure(folder: Path, *, side: int) -> dict[str, Any]:
    """Run the survey; return seconds, throughput and memory."""
    tile, roads = folder / "tile.tif", folder / "roads.gpkg"
    draw_tile(tile, side=side)
    draw_roads(roads, side=side)
    settings = Settings(home=folder / "home", api_port=0, serve_port=0)
    watch = MemoryWatch()
    watch.start()
    with Stack(settings, report=lambda _: None) as stack, Client(stack.addresses.api) as client:
        fields = {"road_id_field": "id", "width_field": "width", "segment_length_m": 5.0}
        network = client.import_network(roads, name="benchmark", options=fields)
        values = {"name": "benchmark", "network": network["id"], "gsd_m": GSD_M}
        survey = client.create_survey(values)
        started = time.monotonic()
        client.upload(survey["id"], tile, name=tile.name, sha256=file_digest(tile))
        uploaded = time.monotonic()
        client.run(survey["id"])
        final = client.wait(survey["id"], on_progress=lambda _: None)
        finished = time.monotonic()
    watch.stop()
    return {
        "machine": f"{platform.machine()}, {psutil.cpu_count()} cores, no GPU",
        "pixels": side * side,
        "upload_s": round(uploaded - started, 1),
        "upload_mb": round(tile.stat().st_size / 2**20, 1),
        "survey_s": round(finished - uploaded, 1),
        "survey_mpx_per_s": round(side * side / 1e6 / (finished - uploaded), 2),
        "cells": final["cells"],
        "worker_seconds": stages(settings.home / "logs" / "serving.log"),
        "peak_mb": {
            role: {k: round(v) for k, v in p.items()} for role, p in sorted(watch.peaks.items())
        },
    }


if __name__ == "__main__":
    main()
