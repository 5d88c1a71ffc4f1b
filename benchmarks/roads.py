"""A network import, read, cut, paved and stored: `python benchmarks/roads.py FILE [--database URL]`.

Prints seconds (wall and processor) of each step and the peak memory of the process, and checks on the
result that no ground is shared. Without --database a PostGIS of its own is started for the time of the run.
With --again the same roads are imported once more, as the followers of the first.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import shapely
from sqlalchemy import Engine

from pavemap.geo.roads.field_map import FieldMap
from pavemap.geo.roads.lineage import Previous
from pavemap.geo.roads.road_network import Network, read_network
from pavemap.geo.roads.segments import segment_network
from pavemap.geo.store import networks
from pavemap.geo.store.engine import database, make_engine
from pavemap.geo.store.schema import upgrade
from pavemap.platform.private_postgres import PrivatePostgres

Clock = list[tuple[float, float]]


def main() -> None:
    """Run the steps on one file and print their figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--length", type=float, default=100.0, help="segment length in metres")
    parser.add_argument("--by", default="length", help="length, sections, intersections, ...")
    parser.add_argument("--road-id", help="field of the road's id")
    parser.add_argument("--database", help="PostgreSQL URL of an empty database")
    parser.add_argument("--again", action="store_true", help="import once more, as a follower")
    options = parser.parse_args()

    with _engine(options.database) as engine:
        figures = [_imported(engine, options, name="first", previous=None)]
        if options.again:
            with database(engine) as connection:
                previous = networks.previous_network(connection, "first")
            figures.append(_imported(engine, options, name="again", previous=previous))
    print(json.dumps(figures if options.again else figures[0], indent=2))


def _imported(
    engine: Engine, options: argparse.Namespace, *, name: str, previous: Previous | None
) -> dict[str, object]:
    clock: Clock = [(time.perf_counter(), time.process_time())]
    network = read_network(options.file, fields=FieldMap(road_id=options.road_id))
    _tick(clock)
    cut = segment_network(network, by=options.by, length_m=options.length, previous=previous)
    _tick(clock)
    _store(engine, network, cut, options, name)
    _tick(clock)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    pavements = cut.geometry.to_numpy()
    shared, _ = shapely.STRtree(pavements).query(pavements, predicate="overlaps")
    wall, processor = np.diff(np.array(clock), axis=0).T.round(1).tolist()
    return {
        "file": options.file.name,
        "roads": len(network.roads),
        "kilometres": round(float(network.roads["length_m"].sum()) / 1000, 1),
        "segments": len(cut),
        "found_again": int(cut["lineage"].notna().sum()),
        "pavement_km2": round(float(cut["pavement_m2"].sum()) / 1e6, 3),
        "overlapping_pavements": len(shared),
        **dict(zip(("read_s", "segment_s", "store_s"), wall, strict=True)),
        "wall_s": round(sum(wall), 1),
        **dict(zip(("read_cpu_s", "segment_cpu_s", "store_cpu_s"), processor, strict=True)),
        "peak_mb": round(peak_mb),
    }


def _tick(clock: Clock) -> None:
    clock.append((time.perf_counter(), time.process_time()))


def _store(
    engine: Engine, network: Network, cut: object, options: argparse.Namespace, name: str
) -> None:
    with database(engine) as connection:
        networks.add_network(
            connection,
            name=name,
            digest=network.digest,
            source_crs=network.source_crs,
            segment_length_m=options.length if options.by.endswith("length") else None,
            segments_by=options.by,
            roads=network.roads,
            segments=cut,
            report=network.report,
        )


@contextmanager
def _engine(url: str | None) -> Iterator[Engine]:
    """Yield an engine on a migrated database: the given one, or one that lasts as long as the run."""
    with tempfile.TemporaryDirectory(prefix="pavemap-roads-") as folder:
        cluster = None if url else PrivatePostgres(Path(folder))
        engine = make_engine(url or (cluster.start("roads") if cluster else ""))
        try:
            upgrade(engine)
            yield engine
        finally:
            engine.dispose()
            if cluster is not None:
                cluster.stop()


if __name__ == "__main__":
    main()
