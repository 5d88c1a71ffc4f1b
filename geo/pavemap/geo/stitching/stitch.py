"""Stitching: the lines of single cells become cracks that run over any number of cells.

    cells in order of columns    ... [c-1] [c] | cells to come
                                 done lines out   ^ the seam: only what ends here is held

A sweep over the cells holds no more than the lines that may still go on: those with an end near a cell
that is to come, and, where short networks are to be dropped, the few lines of networks that are still
too short and may still grow. All else leaves at once, so memory is bounded by the seam, not by the
survey. What is joined is the same however the sweep is cut in blocks: see `seams`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from pavemap.geo.arrays import Geometries
from pavemap.geo.crs import ground_scales
from pavemap.geo.grid import Cell, Grid
from pavemap.geo.groups import groups
from pavemap.geo.lines.flat_lines import Polylines
from pavemap.geo.stitching.line_joining import directed, joined
from pavemap.geo.stitching.seams import (
    CONTACT_PX,
    ON_SIDE_PX,
    TOLERANCE_PX,
    Ends,
    match_ends,
)
from pavemap.geo.vectorizing.chains import Chains, walk_chains
from pavemap.geo.vectorizing.trust import Trust

NEW = -1
"""The network of a line that has just come."""

Block = tuple[Geometries, NDArray[np.int64], Trust]
"""Lines, their (N, 2) cells, and how far each can be trusted."""

NOTHING: Block = (np.empty(0, object), np.empty((0, 2), np.int64), Trust.unknown(0))


def stitch_blocks(
    blocks: Iterable[Block],
    *,
    grid: Grid,
    min_length_m: float = 0.0,
    by_rows: bool = False,
) -> Iterator[Cracks]:
    """Join lines over cell sides, from blocks in the order of cells; yield cracks as they end.

    Lines lie within their cells, in the grid's CRS. Networks of joined lines that are shorter than
    `min_length_m` are dropped; what counts towards it is what is sure. Where three or more ends meet on
    a side there is a junction, and all of them stay ends.

    Cells come by column and row, or, `by_rows`, by row and column (see `sweep_by_rows`). A cell may be
    cut between blocks.
    """
    sweep = Stitcher(grid, min_length_m=min_length_m, by_rows=by_rows)
    for lines, cells, trust in blocks:
        if len(lines):
            yield sweep.add(lines, cells, trust)
    yield sweep.finish()


def sweep_by_rows(cells: NDArray[np.int64]) -> bool:
    """Tell along which axis a sweep over (N, 2) cells has the shorter seam."""
    if not len(cells):
        return False
    cols, rows = cells.max(axis=0) - cells.min(axis=0)
    return bool(rows > cols)


@dataclass(frozen=True)
class Cracks:
    """Whole cracks: (N,) LineString Z, and the (N,) mean probability along each, NaN if not known."""

    lines: Geometries
    confidence: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.lines)


@dataclass(frozen=True)
class _Pool:
    """Lines in work.

    lines: N of them. cells: (N, 2, 2) column and row of the cell at each line's first and last point.
    free: (N, 2) bool, whether that end may still be paired. joined: (N,) bool, made of several lines.
    network: (N,) number of its network, or NEW. sums: (N, 3) true metres, those that are sure, and
    metres times confidence.
    """

    lines: Polylines
    cells: NDArray[np.int64]
    free: NDArray[np.bool_]
    joined: NDArray[np.bool_]
    network: NDArray[np.int64]
    sums: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        lines: Geometries,
        cells: NDArray[np.int64],
        trust: Trust,
        *,
        grid: Grid,
    ) -> _Pool:
        flat = Polylines.from_shapely(lines)
        each = np.column_stack([np.ones(len(flat)), trust.sure, trust.confidence])
        tips = flat.ends()
        open_line = (tips[:, 0] != tips[:, 1]).any(axis=1)
        return cls(
            flat,
            np.repeat(np.asarray(cells, np.int64)[:, None], 2, axis=1),
            np.repeat(open_line[:, None], 2, axis=1),
            np.zeros(len(flat), np.bool_),
            np.full(len(flat), NEW),
            true_lengths(flat, grid=grid)[:, None] * each,
        )

    def __len__(self) -> int:
        return len(self.lines)

    def __add__(self, other: _Pool) -> _Pool:
        return _Pool(
            self.lines + other.lines,
            np.concatenate([self.cells, other.cells]),
            np.concatenate([self.free, other.free]),
            np.concatenate([self.joined, other.joined]),
            np.concatenate([self.network, other.network]),
            np.concatenate([self.sums, other.sums]),
        )

    def at(self, index: NDArray[np.intp]) -> _Pool:
        return _Pool(
            self.lines.at(index),
            self.cells[index],
            self.free[index],
            self.joined[index],
            self.network[index],
            self.sums[index],
        )

    def in_order(self) -> NDArray[np.intp]:
        """Return an order of the lines that depends on where they are, not on how they came."""
        keys = [*self.lines.extents().T, self.lines.lengths, *self.cells.reshape(-1, 4).T]
        return np.lexsort([*keys, *self.lines.ends().reshape(-1, 4)[:, ::-1].T])


class Stitcher:
    """A sweep over the cells of a survey: `add` lines in the order of cells, then `finish`."""

    def __init__(self, grid: Grid, *, min_length_m: float = 0.0, by_rows: bool = False) -> None:
        """Take the grid, the least length of a network in true metres, and the order of cells."""
        self._grid = grid
        self._least_m = min_length_m
        self._order = [1, 0] if by_rows else [0, 1]
        self._nothing = _Pool.of(*NOTHING, grid=grid)
        self._pool = self._nothing
        self._long = np.empty(0, np.bool_)  # by network in the pool: known to be long enough

    def add(self, lines: Geometries, cells: NDArray[np.int64], trust: Trust) -> Cracks:
        """Take the next lines, (N,), and their cells, (N, 2); return the cracks that are done.

        Of the last cell more lines may follow; cells before it are complete.
        """
        last = cells[np.lexsort(cells[:, self._order[::-1]].T)[-1]]
        return self.take(lines, cells, trust, last=Cell(int(last[0]), int(last[1])))[0]

    def finish(self) -> Cracks:
        """Return the cracks that were held: nothing more will come."""
        return self.take(*NOTHING, last=None)[0]

    def take(
        self,
        lines: Geometries,
        cells: NDArray[np.int64],
        trust: Trust,
        *,
        last: Cell | None,
    ) -> tuple[Cracks, NDArray[np.int64]]:
        """Take lines; of the cell `last` and of cells after it more may come, None is the end.

        Returns the cracks that are done and, for each line that was held and then each line given,
        the index of its crack, or -1.
        """
        pool = self._pool + _Pool.of(lines, cells, trust, grid=self._grid)
        if not len(pool):
            return Cracks(np.empty(0, object), np.empty(0)), np.empty(0, np.int64)
        self._pool = self._nothing  # so that long cracks are held in as few copies as can be
        order = pool.in_order()
        pool = pool.at(order)
        ends = self._ends(pool, last)
        partner, final = match_ends(ends, grid=self._grid)
        chains = walk_chains(partner)
        chain_of = np.empty(len(order), np.int64)
        chain_of[chains.entries // 2] = np.repeat(
            np.arange(len(chains.closed)), np.diff(chains.offsets)
        )
        in_network = np.flatnonzero(pool.network != NEW)
        known = np.column_stack([chain_of[in_network], pool.network[in_network]])
        pool, leaves = _chained(pool, ends, partner, final, chains)
        keep = leaves
        if self._least_m > 0.0:
            pool, leaves, keep = self._judged(pool, leaves, known)
        self._pool = pool.at(np.flatnonzero(~leaves))
        number = np.where(keep, np.cumsum(keep) - 1, -1)
        given = np.empty(len(order), np.int64)
        given[order] = number[chain_of]
        done = pool.at(np.flatnonzero(keep))
        length_m, _, weighed_m = done.sums.T
        lines = directed(done.lines, done.joined).to_shapely()
        return Cracks(lines, weighed_m / np.maximum(length_m, 1e-9)), given

    def _ends(self, pool: _Pool, last: Cell | None) -> Ends:
        """Describe the pool's ends; those wait that a cell to come may have a part in."""
        points = pool.lines.ends().reshape(-1, 2)
        waiting = np.zeros(len(points), np.bool_)
        if last is not None:
            # Of all cells that could hold an end near this one, that up and to the right comes last.
            reach = (TOLERANCE_PX + ON_SIDE_PX) * self._grid.gsd_m
            beside = np.floor((points + reach) / self._grid.cell_m).astype(np.int64)
            first, second = beside[:, self._order].T
            front = np.array([last.col, last.row])[self._order]
            waiting = (first > front[0]) | ((first == front[0]) & (second >= front[1]))
        return Ends(points, pool.cells.reshape(-1, 2), pool.free.reshape(-1), waiting)

    def _judged(
        self, pool: _Pool, done: NDArray[np.bool_], known: NDArray[np.int64]
    ) -> tuple[_Pool, NDArray[np.bool_], NDArray[np.bool_]]:
        """Number networks anew; return the pool, which lines leave it, and which of these are cracks.

        known: (K, 2) lines and the numbers of networks that parts of them already had. Of a network
        that is too short so far and may grow all lines stay.
        """
        reach = CONTACT_PX * self._grid.gsd_m
        points = pool.lines.ends().reshape(-1, 2)
        contacts = KDTree(points).query_pairs(reach, output_type="ndarray") // 2
        links = np.concatenate([contacts, known + [0, len(pool)]])
        group = groups(links, len(pool) + len(self._long))
        network = group[: len(pool)]
        count = int(group.max()) + 1
        length_m = np.bincount(network, pool.sums[:, 1], count)
        long = length_m >= self._least_m
        long[group[len(pool) :][self._long]] = True
        grows = np.bincount(network, ~done, count) > 0
        leaves = done & (long | ~grows)[network]
        held, number = np.unique(network[~leaves], return_inverse=True)
        self._long = long[held]
        numbers = np.full(len(pool), NEW)
        numbers[~leaves] = number
        return replace(pool, network=numbers), leaves, leaves & long[network]


def true_lengths(lines: Polylines, *, grid: Grid) -> NDArray[np.float64]:
    """Return the length of each line in true metres, by the scale at its middle vertex."""
    middle = lines.points[(lines.offsets[:-1] + lines.offsets[1:] - 1) // 2]
    scale = ground_scales(grid.crs, middle[:, 0], middle[:, 1])
    return np.asarray(lines.lengths / scale, np.float64)


def _chained(
    pool: _Pool,
    ends: Ends,
    partner: NDArray[np.int64],
    final: NDArray[np.bool_],
    chains: Chains,
) -> tuple[_Pool, NDArray[np.bool_]]:
    """Return the pool with each chain as one line, and which of them can't change any more."""
    heads = chains.entries[chains.offsets[:-1]]
    tips = np.column_stack([heads, chains.entries[chains.offsets[1:] - 1] ^ 1])
    settled = final[tips] | chains.closed[:, None]
    chained = _Pool(
        joined(pool.lines, partner, chains),
        ends.cells[tips],
        ends.free[tips] & ~settled,
        pool.joined[heads // 2] | (np.diff(chains.offsets) > 1),
        np.full(len(heads), NEW),
        np.add.reduceat(pool.sums[chains.entries // 2], chains.offsets[:-1]),
    )
    return chained, np.asarray(settled.all(axis=1))
