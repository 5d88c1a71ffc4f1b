"""Asking fast: a segment's history, the worst in a box and map tiles over HTTP: `python benchmarks/ask.py`.

A private PostGIS is filled with a drawn country (`ask_scene.py`), then asked through the API as `pavemap`
runs it (a uvicorn process), at a steady rate, whether or not earlier answers have come: a time counts
from the moment at which its question was due. Database, API and the asking program share two cores.
Each question is another place; no answer can come from a cache of answers, for there is none.

`--keep FOLDER` keeps the cluster; with `--reuse` the same folder is asked again without filling it.
In the same run: the plans of the three queries, and stored densities beside intersecting cracks with
pavements in SQL.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from ask_scene import Scene, fill, load
from sqlalchemy import Engine, text

from pavemap.geo.store import boxes, places, segment_history, segment_pages, tiles
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.schema import upgrade
from pavemap.platform.private_postgres import PrivatePostgres
from pavemap.serving.listening import free_port

SERVER = {"shared_buffers": "6GB", "max_wal_size": "8GB", "maintenance_work_mem": "512MB"}
"""PostgreSQL's settings beyond its defaults (a quarter of the memory); durability is its own."""

CONNECTIONS = 8
WARM_UP = 200
"""Questions asked before those that count."""

TARGETS_MS = {"history": 20.0, "worst 100 in a box": 20.0, "tile": 100.0}


@dataclass(frozen=True)
class Answer:
    """How long a question took from when it was due, its status and the bytes of the body."""

    ms: float
    status: int
    bytes: int


def questions(scene: Scene, *, seed: int) -> dict[str, Iterator[str]]:
    """Return endless questions of each kind, all over the country, at all scales."""
    rng = np.random.default_rng(seed)
    survey = f"/api/v1/surveys/{scene.surveys[-1]}"

    def place() -> tuple[float, float]:
        lon, lat = scene.middles[rng.integers(len(scene.middles))]
        return float(lon), float(lat)

    def history() -> Iterator[str]:
        while True:
            yield f"/api/v1/segments/{rng.choice(scene.segment_ids)}/conditions"

    def worst() -> Iterator[str]:
        while True:
            bbox = ",".join(f"{edge:.6f}" for edge in random_box(rng, place()))
            yield f"{survey}/segments?bbox={bbox}&limit=100"

    def tile() -> Iterator[str]:
        while True:
            z, x, y = random_tile(rng, place())
            yield f"{survey}/tiles/{z}/{x}/{y}.mvt"

    return {"history": history(), "worst 100 in a box": worst(), "tile": tile()}


def random_box(rng: np.random.Generator, middle: tuple[float, float]) -> places.Bbox:
    """Return a box of 0.5 to 200 km, its size even on a scale of logarithms."""
    lon, lat = middle
    half_deg = 0.5 * 10.0 ** rng.uniform(math.log10(0.5), math.log10(200.0)) / 111.3
    wide = half_deg / math.cos(math.radians(lat))
    return lon - wide, lat - half_deg, lon + wide, lat + half_deg


def random_tile(rng: np.random.Generator, place: tuple[float, float]) -> tuple[int, int, int]:
    """Return the tile over a place at a zoom from 8 to 18."""
    z = int(rng.integers(8, 19))
    row = (1.0 - math.asinh(math.tan(math.radians(place[1]))) / math.pi) / 2.0
    return z, int((place[0] + 180.0) / 360.0 * 2**z), int(row * 2**z)


async def ask(port: int, paths: Sequence[str], *, per_second: float) -> list[Answer]:
    """Ask each path when it is due, over connections that are kept open."""
    idle: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        idle.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    started = time.perf_counter()

    async def one(number: int, path: str) -> Answer:
        due = started + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        reader, writer = await idle.get()
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(
            (int(line[15:]) for line in head.splitlines() if line.startswith("content-length:")), 0
        )
        await reader.readexactly(length)
        ms = 1000.0 * (time.perf_counter() - due)
        idle.put_nowait((reader, writer))
        return Answer(ms, int(head.split()[1]), length)

    answers = await asyncio.gather(*(one(number, path) for number, path in enumerate(paths)))
    while not idle.empty():
        idle.get_nowait()[1].close()
    return list(answers)


def measure(port: int, scene: Scene, *, seconds: float, per_second: float) -> dict[str, Any]:
    """Ask each kind of question by itself, then all in turn; return percentiles of milliseconds."""
    count = round(seconds * per_second)
    kinds = questions(scene, seed=2)
    mixed = [next(source) for _ in range(count) for source in kinds.values()][:count]
    asked = {name: [next(source) for _ in range(count)] for name, source in kinds.items()}
    warm = [next(source) for _ in range(WARM_UP // 3) for source in kinds.values()]
    asyncio.run(ask(port, warm, per_second=per_second))
    result = {}
    for name, paths in (asked | {"all three in turn": mixed}).items():
        answers = asyncio.run(ask(port, paths, per_second=per_second))
        failed = [answer.status for answer in answers if answer.status not in {200, 204}]
        if failed:
            raise SystemExit(f"{name}: {len(failed)} answers failed, the first with {failed[0]}")
        times = np.sort([answer.ms for answer in answers])
        result[name] = {
            **{f"p{each}_ms": round(float(np.percentile(times, each)), 1) for each in (50, 95, 99)},
            "largest_kb": round(max(answer.bytes for answer in answers) / 1000),
            **({"target_p95_ms": TARGETS_MS[name]} if name in TARGETS_MS else {}),
        }
    return result


@contextmanager
def api(url: str, home: Path) -> Iterator[int]:
    """Run the API in a process of its own, as `pavemap up` does; yield its port."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", "pavemap.platform.api.main:create_app"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    environment = {**os.environ, "PAVEMAP_HOME": str(home), "PAVEMAP_DATABASE_URL": url}
    with (home / "api.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/healthz", process, home / "api.log")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def density_ratio(engine: Engine, scene: Scene, *, repeats: int) -> dict[str, Any]:
    """Ask the densities of a town's segments: those stored, and by intersecting cracks with pavement."""
    rng = np.random.default_rng(4)
    milliseconds: dict[str, list[float]] = {"stored": [], "intersected": []}
    rows = 0
    for _ in range(repeats):
        lon, lat = scene.middles[rng.integers(len(scene.middles))]
        box = boxes.BoxFilter.of((lon - 0.03, lat - 0.02, lon + 0.03, lat + 0.02))
        parameters: dict[str, Any] = {"survey_id": scene.surveys[-1], **box.parameters}
        for name, query in (("stored", STORED), ("intersected", INTERSECTED)):
            with database(engine) as connection:
                connection.execute(text("SELECT 1"))
                started = time.perf_counter()
                found = connection.execute(text(query), parameters).all()
                milliseconds[name].append(1000.0 * (time.perf_counter() - started))
        rows += len(found)
    median = {name: statistics.median(values) for name, values in milliseconds.items()}
    return {
        "boxes": repeats,
        "segments_per_box": round(rows / repeats),
        **{f"{name}_ms": round(value, 2) for name, value in median.items()},
        "times_faster": round(median["intersected"] / median["stored"]),
    }


STORED = """
    SELECT c.segment_id, c.density_m_per_m2 FROM condition c
    WHERE c.survey_id = :survey_id AND c.place && CAST(:place_0 AS box)"""

INTERSECTED = """
    SELECT s.id, sum(ST_Length(ST_Intersection(k.geom, s.pavement)::geography)) / s.pavement_m2
    FROM segment s JOIN crack k ON k.survey_id = :survey_id AND ST_Intersects(k.geom, s.pavement)
    WHERE s.geom && CAST(:area AS geometry) GROUP BY s.id"""


def plans(engine: Engine, scene: Scene) -> str:
    """Return EXPLAIN (ANALYZE, BUFFERS) of each of the three queries, of a box with few and with many."""
    survey = scene.surveys[-1]
    lon, lat = map(float, scene.middles[len(scene.middles) // 3])
    shown: list[tuple[str, str, dict[str, Any]]] = [
        ("history", segment_history._HISTORY.text, {"segment_id": int(scene.segment_ids[7])})
    ]
    for name, half in (("a box with few segments", 0.01), ("a box with many", 0.5)):
        box = boxes.BoxFilter.of((lon - half, lat - half, lon + half, lat + half))
        page = segment_pages.worst_statement(box)
        shown.append((name, page, {"survey_id": survey, "limit": 101, **box.parameters}))
    for zoom in (10, 16):
        row = (1.0 - math.asinh(math.tan(math.radians(lat))) / math.pi) / 2.0
        tile = tiles.Tile(zoom, int((lon + 180.0) / 360.0 * 2**zoom), int(row * 2**zoom))
        shown.append((f"a tile at zoom {zoom}", *tiles.tile_statement(survey, tile)))
    lines = []
    with database(engine) as connection:
        for name, statement, parameters in shown:
            rows = connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS) {statement}"), parameters)
            lines += [f"-- {name}", *(_short(row) for row in rows.scalars()), ""]
    return "\n".join(lines)


def _short(line: str) -> str:
    return line if len(line) < 200 else f"{line[:200]} ..."


@contextmanager
def filled(options: argparse.Namespace) -> Iterator[tuple[Engine, str, Scene, dict[str, Any]]]:
    """Yield an engine, its URL, what is stored and how long that took."""
    with tempfile.TemporaryDirectory(prefix="pavemap-ask-") as scratch:
        cluster = PrivatePostgres(Path(options.keep or scratch) / "postgres", options=SERVER)
        if not options.reuse:
            made = PrivatePostgres(cluster.folder, options=SERVER | {"fsync": "off"})
            engine = make_engine(made.start("ask"), statement_timeout_s=7200)
            upgrade(engine)
            sizes = {"segments": options.segments, "rounds": options.rounds}
            started = time.perf_counter()
            fill(engine, **sizes, cracks=options.cracks)
            about = {**sizes, "cracks": options.cracks}
            about["filled_in_s"] = round(time.perf_counter() - started)
            engine.dispose()
            made.stop()
        else:
            about = {"reused": str(cluster.folder)}
        url = cluster.start("ask")
        engine = make_engine(url, statement_timeout_s=600)
        try:
            about["database_gb"] = _warm(engine)
            yield engine, url, load(engine), about
        finally:
            engine.dispose()
            cluster.stop()


def _warm(engine: Engine) -> float:
    """Bring what is asked for into memory, as on a server that has run for a day; return the size."""
    with database(engine) as connection:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_prewarm"))
        for mode, but in (("read", "piece"), ("buffer", "piece|^crack$")):
            connection.execute(
                text(
                    "SELECT pg_prewarm(c.oid, :mode) FROM pg_class c JOIN pg_namespace n "
                    "ON n.oid = relnamespace WHERE nspname = 'public' AND relkind IN ('r', 'i') "
                    "AND relname !~ :but ORDER BY relkind DESC"
                ),
                {"mode": mode, "but": but},
            )
        size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    return round(float(size) / 1e9, 2)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise SystemExit(f"the API did not start: {log.read_text()[-2000:]}")


def main() -> None:
    """Fill, ask and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--segments", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="surveys of the whole network")
    parser.add_argument("--cracks", type=int, default=10_000_000, help="over all surveys")
    parser.add_argument("--rate", type=float, default=50.0, help="questions a second")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each kind of question")
    parser.add_argument("--cores", type=int, default=2, help="for everything together")
    parser.add_argument("--keep", help="folder to keep the filled cluster in")
    parser.add_argument("--reuse", action="store_true", help="ask the cluster kept there")
    parser.add_argument("--fill-only", action="store_true", help="do not ask yet")
    parser.add_argument("--no-plans", action="store_true")
    options = parser.parse_args()
    if options.reuse and not options.keep:
        parser.error("--reuse needs --keep FOLDER")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    with filled(options) as (engine, url, scene, about):
        print(json.dumps({"scene": about, "load_average": os.getloadavg()[0]}), flush=True)
        if options.fill_only:
            return
        with (
            tempfile.TemporaryDirectory(prefix="pavemap-api-") as home,
            api(url, Path(home)) as port,
        ):
            times = measure(port, scene, seconds=options.seconds, per_second=options.rate)
        print(json.dumps({"per_second": options.rate, "asked": times}, indent=2), flush=True)
        print(json.dumps({"density": density_ratio(engine, scene, repeats=15)}, indent=2))
        if not options.no_plans:
            print(plans(engine, scene))


if __name__ == "__main__":
    main()
