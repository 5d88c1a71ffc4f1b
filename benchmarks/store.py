"""The store under load: bulk loading, planning, claims, measuring and pages: `python benchmarks/store.py`.

Runs on a private, throw-away PostGIS (or `--url`, an empty database), with the server's own settings
for durability. Loading is compared with GeoDataFrame.to_postgis on the same rows, into the same table
with all its indexes. `--explain` prints the plans of the claim and of the page of worst segments.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from sqlalchemy import Connection, Engine, text

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.store import leases, measuring, planning, segment_pages, surveys, tables
from pavemap.geo.store.bulk import copy_frame
from pavemap.geo.store.cursors import Cursor
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.schema import upgrade
from pavemap.geo.store.surveys import SurveyRow
from pavemap.geo.store.workers import MAX_DEATHS
from pavemap.platform.private_postgres import PrivatePostgres

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import store_scene as scene


@contextmanager
def empty_database(url: str | None) -> Iterator[Engine]:
    """Yield an engine on a migrated database, in a cluster of its own unless a URL is given."""
    with tempfile.TemporaryDirectory(prefix="pavemap-bench-") as folder:
        cluster = None if url else PrivatePostgres(Path(folder) / "postgres")
        given = url or (cluster.start("bench") if cluster else "")
        engine = make_engine(given, statement_timeout_s=3600)
        try:
            upgrade(engine)
            yield engine
        finally:
            engine.dispose()
            if cluster:
                cluster.stop()


def timed(step: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds and result of a step."""
    started = time.perf_counter()
    result = step()
    return time.perf_counter() - started, result


def crack_rows(survey: SurveyRow, count: int) -> geopandas.GeoDataFrame:
    """Make cracks of 20 points over a city."""
    rng = np.random.default_rng(1)
    steps = rng.normal(scale=1e-6, size=(count, 20, 3))
    points = np.cumsum(steps, axis=1) + np.array([13.4, 52.5, 3.0])
    points[:, :, :2] += rng.uniform(-0.1, 0.1, (count, 1, 2))
    points[:, :, 2] = np.abs(points[:, :, 2])
    return geopandas.GeoDataFrame(
        {
            "survey_id": np.full(count, survey.id),
            "model_id": survey.model_id,
            **{
                name: rng.random(count)
                for name in ("length_m", "width_mean_mm", "width_p95_mm", "width_max_mm", "area_m2")
            },
        },
        geometry=geopandas.GeoSeries(shapely.linestrings(points), crs=WGS84),
    ).rename_geometry("geom")


def bulk_load(engine: Engine, survey: SurveyRow, *, count: int, repeats: int) -> dict[str, Any]:
    """Load the same cracks by copy_frame and by to_postgis, in turn, into the same table."""
    frame = crack_rows(survey, count)
    columns: dict[str, Any] = {str(name): frame[name].to_numpy() for name in frame.columns}
    columns |= {"survey_id": survey.id, "model_id": survey.model_id}  # one value for all rows

    def ours(connection: Connection) -> None:
        copy_frame(connection, tables.Crack, columns)

    def theirs(connection: Connection) -> None:
        frame.to_postgis("crack", connection, if_exists="append", index=False)

    seconds: dict[str, list[float]] = {"copy_frame": [], "to_postgis": []}
    work: dict[str, list[float]] = {"copy_frame": [], "to_postgis": []}
    for _ in range(repeats):
        for name, load in (("copy_frame", ours), ("to_postgis", theirs)):
            with database(engine) as connection:
                connection.execute(text("TRUNCATE crack"))
            with database(engine) as connection:
                server = int(connection.scalar(text("SELECT pg_backend_pid()")) or 0)
                before = cpu_seconds(server)
                seconds[name].append(timed(partial(load, connection))[0])
                work[name].append(cpu_seconds(server) - before)
    clock = {name: statistics.median(values) for name, values in seconds.items()}
    busy = {name: min(values) for name, values in work.items()}
    return {
        "rows": count,
        **{f"{name}_rows_per_s": round(count / value) for name, value in clock.items()},
        "ratio": round(clock["to_postgis"] / clock["copy_frame"], 2),
        "ratio_of_cpu_seconds": round(busy["to_postgis"] / busy["copy_frame"], 2),
    }


def cpu_seconds(server: int) -> float:
    """Return the processor time that this process and one of the server's have used so far."""
    try:
        fields = Path(f"/proc/{server}/stat").read_text().rsplit(")", 1)[1].split()
        theirs = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:  # the server is on another machine
        theirs = 0.0
    return theirs + time.process_time()


def whole_survey(engine: Engine, *, roads: int, per_cell: int) -> tuple[SurveyRow, dict[str, Any]]:
    """Plan and measure a survey of roads of 10 km, `per_cell` fragments in each cell of 10 m."""
    with database(engine) as connection:
        survey = scene.add_survey(connection, name="Big", roads=roads, length_m=1e4, network="Big")
        for road in range(roads):
            scene.add_imagery(connection, survey.id, to_m=1e4, name=f"{road}.tif", road=road)
    with database(engine) as connection:
        plan_s, plan = timed(lambda: planning.plan_cells(connection, survey))
    with database(engine) as connection:
        again_s, _ = timed(lambda: planning.plan_cells(connection, survey))
    claim_ms = []
    for _ in range(50):
        with database(engine) as connection:
            claim_ms.append(
                1000.0 * timed(partial(leases.claim, connection, worker="w", lease_s=60.0))[0]
            )
    with database(engine) as connection:
        fill_cells(connection, survey, per_cell=per_cell)
    with database(engine) as connection:
        survey = surveys.get_survey(connection, survey.id)
        measure_s, report = timed(lambda: measuring.measure_survey(connection, survey))
    return survey, {
        "segments": roads * 100,
        "cells": plan.total,
        "plan_s": round(plan_s, 2),
        "plan_again_s": round(again_s, 2),
        "claim_ms": round(statistics.median(claim_ms), 2),
        "fragments": plan.total * per_cell,
        "cracks": report.cracks,
        "measure_s": round(measure_s, 2),
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def fill_cells(connection: Connection, survey: SurveyRow, *, per_cell: int) -> None:
    """Make every cell done, with one crack from edge to edge and small ones inside."""
    rng = np.random.default_rng(0)
    found = connection.execute(
        text(
            'SELECT col, "row", min(s.id) FROM cell JOIN segment s ON ST_Intersects(cell.geom, '
            "s.geom) WHERE survey_id = :id GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        {"id": survey.id},
    )
    places = np.array(found.all(), dtype=np.int64)
    owner = np.repeat(places, per_cell, axis=0)
    steps = rng.normal(scale=0.05, size=(len(owner), 12, 3))
    points = np.cumsum(steps, axis=1)
    points[:, :, :2] += owner[:, None, :2] * 10.0 + rng.uniform(2.0, 8.0, (len(owner), 1, 2))
    points[:, :, 2] = 4.0
    across = np.arange(0, len(owner), per_cell)
    points[across, :, 0] = owner[across, None, 0] * 10.0 + np.linspace(0.0, 10.0, 12)
    points[across, :, 1] = owner[across, None, 1] * 10.0 + 5.0
    points[across[::4], :, 0] -= 0.1  # every fourth ends short of the edge
    lines = reproject(shapely.linestrings(points), scene.UTM, WGS84)
    copy_frame(
        connection,
        tables.Fragment,
        {"survey_id": survey.id, "col": owner[:, 0], "row": owner[:, 1], "geom": lines},
    )
    copy_frame(
        connection,
        tables.CellSegment,
        {
            "survey_id": survey.id,
            "col": places[:, 0],
            "row": places[:, 1],
            "segment_id": places[:, 2],
            "imaged_m2": scene.CELL_PAVEMENT_M2,
            "coarse_m2": 0.0,
        },
    )
    connection.execute(text("UPDATE cell SET state = 'done', lease_until = NULL"))


def pages(engine: Engine, survey: SurveyRow) -> dict[str, float]:
    """Ask for pages of a hundred segments, fifty times each; median milliseconds."""
    asked: dict[str, dict[str, Any]] = {
        "worst_100_ms": {},
        "worst_100_in_a_street_ms": {"bbox": (13.532, 52.34, 13.54, 52.35)},
        "worst_100_in_the_country_ms": {"bbox": (13.0, 52.0, 14.0, 53.0)},
        "by_key_ms": {"sort": "segment_key"},
    }
    result = {}
    for name, how in asked.items():
        times = []
        for _ in range(50):
            with database(engine) as connection:
                page = timed(partial(segment_pages.segment_features, connection, survey.id, **how))
                times.append(1000.0 * page[0])
        result[name] = round(statistics.median(times), 2)
    return result


def explain(engine: Engine, survey: SurveyRow) -> str:
    """Return the plans of a claim and of a page of the worst segments after a cursor."""
    page = segment_pages.worst_statement(None, cursor=Cursor("density", key=0.1, id=1))
    claim = {"worker": "x", "lease_s": 1, "limit": 1, "model_id": None, "fresh": False}
    claim |= {"max_deaths": MAX_DEATHS, **leases.Trail().parameters()}
    lines: list[str] = []
    with database(engine) as connection:
        for statement, parameters in (
            (leases._CLAIM.text, claim),
            (page, {"survey_id": survey.id, "limit": 101, "key": 0.1, "id": 1}),
        ):
            rows = connection.execute(text(f"EXPLAIN (ANALYZE, BUFFERS) {statement}"), parameters)
            lines += [*rows.scalars(), ""]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="an empty database to use instead of a private one")
    parser.add_argument("--rows", type=int, default=100_000, help="cracks to load")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--roads", type=int, default=100, help="of 10 km, 100 segments each")
    parser.add_argument("--fragments", type=int, default=5, help="in each cell")
    parser.add_argument("--explain", action="store_true")
    options = parser.parse_args()
    with empty_database(options.url) as engine:
        with database(engine) as connection:
            small = scene.add_survey(connection)
        load = bulk_load(engine, small, count=options.rows, repeats=options.repeats)
        survey, work = whole_survey(engine, roads=options.roads, per_cell=options.fragments)
        answers = pages(engine, survey)
        print(json.dumps({"load": load, "survey": work, "pages": answers}, indent=2))
        if options.explain:
            print(explain(engine, survey))


if __name__ == "__main__":
    main()
