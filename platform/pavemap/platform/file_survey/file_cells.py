"""The cells of a survey of files: how they are worked through, and what they add up to."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Objects
from pavemap.geo.grid import Cell, Grid
from pavemap.geo.stitching.stitch import Cracks, Stitcher, sweep_by_rows
from pavemap.geo.survey_cell import CellResult, Detect, Pavements, Reader, survey_cell
from pavemap.geo.vectorizing.trust import Trust
from pavemap.geo.vectorizing.vectorize import VectorizeParams

LINES_AT_A_TIME = 5_000
"""Lines of finished cells that are stitched together."""

CELLS_AT_ONCE = 2
"""Cells in work: one is read and vectorised while the other is detected. About 300 MB each."""


def survey_cells(
    cells: Sequence[Cell],
    mosaic: Reader,
    *,
    grid: Grid,
    pavements: Objects | None,
    detect: Detect,
    params: VectorizeParams,
    edge_px: int,
    on_cell: Callable[[int, int], None] | None = None,
) -> Totals:
    """Survey cells, on pavement (N,) in the grid's CRS or, with None, wherever there is imagery.

    `on_cell` hears the number of cells done and of all.
    """
    near = None if pavements is None else shapely.STRtree(pavements)
    totals = Totals(grid, cells, min_length_m=params.min_length_m)
    with TimedDetector(detect) as detector:

        def survey(cell: Cell) -> CellResult:
            wanted: Pavements | None = None
            if near is not None and pavements is not None:
                met = np.sort(near.query(grid.window(cell).box()))
                wanted = [(int(index), pavements[index]) for index in met]
            return survey_cell(
                cell,
                grid=grid,
                mosaic=mosaic,
                pavements=wanted,
                detect=detector,
                params=params,
                edge_px=edge_px,
            )

        for cell, result in in_parallel(survey, totals.in_order):
            totals.add(cell, result)
            if on_cell is not None:
                on_cell(totals.cells, len(cells))
    totals.seconds["detect"] = detector.seconds  # a cell's own clock counts its wait, too
    totals.mpx = detector.chips * (grid.cell_px + 2 * grid.halo_px) ** 2 / 1e6
    return totals


class TimedDetector:
    """A detector in a thread of its own, and how long it worked.

    It takes all cores and most of the memory; each thread that called it would keep its share.
    """

    def __init__(self, detect: Detect) -> None:
        self.seconds = 0.0
        self.chips = 0
        self._detect = detect
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="detector")

    def __call__(self, chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._pool.submit(self._timed, chip).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _timed(self, chip: NDArray[np.uint8]) -> NDArray[np.uint8]:
        begun = time.perf_counter()
        probability = self._detect(chip)
        self.seconds += time.perf_counter() - begun
        self.chips += 1
        return probability


class Totals:
    """What cells add up to: areas, and the cracks, stitched in a sweep."""

    def __init__(self, grid: Grid, cells: Sequence[Cell], *, min_length_m: float) -> None:
        places = np.array([(cell.col, cell.row) for cell in cells], np.int64).reshape(-1, 2)
        by_rows = sweep_by_rows(places)
        self.in_order = sorted(cells, key=lambda cell: (cell.row, cell.col)) if by_rows else cells
        self.cells = 0
        self.mpx = 0.0  # that went through the network, halos included
        self.imaged: dict[int, float] = {}
        self.coarse: dict[int, float] = {}
        self.parts: dict[tuple[int, int], shapely.MultiPolygon | None] = {}
        self.imaged_m2 = 0.0
        self.seconds: dict[str, float] = {}
        self._sweep = Stitcher(grid, min_length_m=min_length_m, by_rows=by_rows)
        self._waiting: list[tuple[Cell, CellResult]] = []
        self._done: list[Cracks] = []

    def add(self, cell: Cell, result: CellResult) -> None:
        """Take the next cell of `in_order`."""
        self.cells += 1
        for total, part in ((self.imaged, result.imaged), (self.coarse, result.coarse)):
            for segment, area in part.items():
                total[segment] = total.get(segment, 0.0) + area
        self.parts[cell.col, cell.row] = result.imaged_part
        self.imaged_m2 += result.imaged_m2
        for stage, spent in result.seconds.items():
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent
        if len(result.lines):
            self._waiting.append((cell, result))
        if sum(len(one.lines) for _, one in self._waiting) >= LINES_AT_A_TIME:
            self._stitch()

    def cracks(self) -> Cracks:
        """Return all cracks, once no cell is left."""
        self._stitch()
        found = [*self._done, self._sweep.finish()]
        return Cracks(
            np.concatenate([some.lines for some in found]),
            np.concatenate([some.confidence for some in found]),
        )

    def _stitch(self) -> None:
        if self._waiting:
            counts = [len(one.lines) for _, one in self._waiting]
            places = np.array([(cell.col, cell.row) for cell, _ in self._waiting], np.int64)
            lines = np.concatenate([one.lines for _, one in self._waiting])
            trust = Trust.together([one.trusted() for _, one in self._waiting])
            self._done.append(self._sweep.add(lines, np.repeat(places, counts, axis=0), trust))
            self._waiting = []


def in_parallel(
    survey: Callable[[Cell], CellResult], cells: Sequence[Cell]
) -> Iterator[tuple[Cell, CellResult]]:
    """Yield each cell with its result, in order, CELLS_AT_ONCE of them in work."""
    pool = ThreadPoolExecutor(min(CELLS_AT_ONCE, os.cpu_count() or 1), thread_name_prefix="cell")
    try:
        ahead: list[tuple[Cell, Future[CellResult]]] = []
        waiting = iter(cells)
        while True:
            for cell in waiting:
                ahead.append((cell, pool.submit(survey, cell)))
                if len(ahead) > CELLS_AT_ONCE:
                    break
            if not ahead:
                return
            cell, result = ahead.pop(0)
            yield cell, result.result()
    finally:
        pool.shutdown(cancel_futures=True)
