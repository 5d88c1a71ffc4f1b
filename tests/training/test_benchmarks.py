"""The scripts that wait for a GPU run: tiny, on a CPU, so that they are not found broken on the day."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from pavemap.training.registry import default_model

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu.py"


def test_the_gpu_script_runs_dry() -> None:
    said = subprocess.run(
        [sys.executable, SCRIPT, "--dry"], capture_output=True, text=True, timeout=240
    )
    assert said.returncode == 0, said.stdout + said.stderr
    machine, *rows, last = map(json.loads, said.stdout.splitlines())
    assert machine["device"] == "CPU"
    assert last["failed"] == 0
    named = {row["what"] for row in rows}
    graph = f"{default_model().name}, CUDA graph"
    assert {graph, "fan2018, the whole iteration as a CUDA graph"} <= named
    detected = [row for row in rows if "mpx_per_s" in row]
    assert all(row["with_copies_mpx_per_s"] > 0 for row in detected)
    assert all(row["share_of_matrix_rate"] > 0 for row in detected)
    assert sum("30,000 iterations" in row for row in rows) == 4
