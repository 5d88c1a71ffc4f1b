"""Memory and time of stitching a survey of 10,000 cells: `python benchmarks/stitching.py`.

Each row of cells has a crack through all columns, each cell forty short lines of its own, each line
twenty vertices. Every size runs in a process of its own; what is told is the most memory that it took
beyond what it had before. A `Stitcher` is given all lines at once, or in a sweep, 20,000 at a time.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import shapely
from pyproj import CRS

from pavemap.geo.grid import Grid
from pavemap.geo.stitching.stitch import Block, Stitcher, stitch_blocks
from pavemap.geo.vectorizing.trust import Trust

GRID = Grid(CRS.from_epsg(32633), 0.002, cell_px=2048, halo_px=64)
COL, ROW = 122_000, 1_220_000  # near 15 E, 45 N
SHORT_LINES, VERTICES = 40, 20
LINES_AT_A_TIME = 20_000


def cells_of(columns: int, rows: int) -> Iterator[Block]:
    """Yield the lines of each column of cells."""
    random = np.random.default_rng(0)
    along = np.linspace(0.0, 1.0, VERTICES)[:, None]
    for col in range(columns):
        cells = np.column_stack([np.full(rows, COL + col), ROW + np.arange(rows)])
        low = cells * GRID.cell_m
        left = low + (0.0, GRID.cell_m / 2.0)
        through = left[:, None] + along * (GRID.cell_m, 0.0)
        start = np.repeat(low, SHORT_LINES, axis=0) + random.uniform(
            0.2, 3.0, (SHORT_LINES * rows, 2)
        )
        short = start[:, None] + along * random.uniform(-0.1, 1.0, (len(start), 1, 2))
        points = np.concatenate([through, short])
        points = np.concatenate([points, np.full((*points.shape[:2], 1), 4.0)], axis=2)
        owner = np.concatenate([cells, np.repeat(cells, SHORT_LINES, axis=0)])
        order = np.lexsort(owner.T[::-1])
        lines = np.asarray(shapely.linestrings(points[order]), object)
        yield lines, owner[order], Trust.unknown(len(lines))


def in_blocks(blocks: Iterator[Block]) -> Iterator[Block]:
    """Cut columns into blocks, as a database's cursor does."""
    for lines, cells, _ in blocks:
        for start in range(0, len(lines), LINES_AT_A_TIME):
            part = slice(start, start + LINES_AT_A_TIME)
            yield lines[part], cells[part], Trust.unknown(len(lines[part]))


def measure(columns: int, rows: int, *, sweep: bool) -> None:
    """Stitch once and print a row of the table."""
    for _ in stitch_blocks(cells_of(2, 2), grid=GRID, min_length_m=0.1):
        pass  # compiles
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    count = 0
    if sweep:
        for cracks in stitch_blocks(
            in_blocks(cells_of(columns, rows)), grid=GRID, min_length_m=0.1
        ):
            count += len(cracks)
    else:
        lines, cells, trust = zip(*cells_of(columns, rows), strict=True)
        every = np.concatenate(lines), np.concatenate(cells), Trust.together(trust)
        found, _ = Stitcher(GRID, min_length_m=0.1).take(*every, last=None)
        count = len(found)
    seconds = time.perf_counter() - begun
    most = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024.0
    print(
        f"| {columns} x {rows} | {columns * rows * (SHORT_LINES + 1):,} | {count:,} "
        f"| {'sweep' if sweep else 'at once'} | {most:.0f} | {seconds:.1f} |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs=3, metavar=("COLUMNS", "ROWS", "HOW"))
    options = parser.parse_args()
    if options.one:
        measure(int(options.one[0]), int(options.one[1]), sweep=options.one[2] == "sweep")
        return
    print("| cells | lines | cracks | how | more memory, MB | seconds |\n|---|---|---|---|---|---|")
    for size in (("25", "100"), ("100", "100")):
        for how in ("sweep", "at once"):
            subprocess.run([sys.executable, __file__, "--one", *size, how], check=True)


if __name__ == "__main__":
    main()
