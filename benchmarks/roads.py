"""A network import without the store, read, cut and pavement: `python benchmarks/roads.py FILE`.

Prints seconds (wall and processor) of each step and the peak memory of the process, and checks on the
result that no ground is shared.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import shapely

from pavemap.geo.roads import FieldMap, read_network
from pavemap.geo.segments import segment_network


def main() -> None:
    """Run the steps once on one file and print their figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--length", type=float, default=100.0, help="segment length in metres")
    parser.add_argument("--road-id", help="field of the road's id")
    options = parser.parse_args()

    clock = [(time.perf_counter(), time.process_time())]
    network = read_network(options.file, fields=FieldMap(road_id=options.road_id))
    clock.append((time.perf_counter(), time.process_time()))
    cut = segment_network(network, length_m=options.length)
    clock.append((time.perf_counter(), time.process_time()))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    pavements = cut.geometry.to_numpy()
    shared, _ = shapely.STRtree(pavements).query(pavements, predicate="overlaps")
    wall, processor = np.diff(np.array(clock), axis=0).T
    figures = {
        "file": options.file.name,
        "roads": len(network.roads),
        "kilometres": round(float(network.roads["length_m"].sum()) / 1000, 1),
        "segments": len(cut),
        "pavement_km2": round(float(cut["pavement_m2"].sum()) / 1e6, 3),
        "overlapping_pavements": len(shared),
        "read_s": round(float(wall[0]), 1),
        "read_cpu_s": round(float(processor[0]), 1),
        "segment_s": round(float(wall[1]), 1),
        "segment_cpu_s": round(float(processor[1]), 1),
        "peak_mb": round(peak_mb),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
