"""The German grid share: how many cells of a raster on the lanes have a crack.

Source: ZTV ZEB-StB (FGSV 489), Teilprojekt 3, surface of asphalt roads, Annex 7, as described in
the public "Leitfaden zur Erfassung der Substanzmerkmale" of the IT-ZEB server
(itzeb.heller-ig.de/leitfaden): the lane is divided into three strips of equal width and into 1 m
along the road; every cell that a crack meets is marked, whatever the crack's length or width, open
or sealed, and nothing is averaged. The standard itself is sold and was not read.

    zeb_share = 100 x touched cells / evaluated cells        in %

A cell is evaluated where at least half of it (`zeb_min_imaged`) was imaged on the segment's own
pavement. The standard takes the inner edge of the marking as the lane's edge; here lanes share the
road's width equally.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Geometries, Integers, counted
from pavemap.geo.measures.bits import Bits
from pavemap.geo.measures.layout import Layout
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.road_frame import RoadFrames, whole_polygons

CELLS_AT_ONCE = 100_000
"""Cells drawn as polygons at a time: some 100 MB."""
MARGIN = 0.01
"""A cell that is imaged but for this part at its sides counts as imaged: edges that touch are not exact."""
ROUNDING = 1e-6


@dataclass(frozen=True)
class Cells:
    """C cells on S segments, by segment, then along it, then from right to left.

    segment, row, strip: (C,) place of each; imaged_m2: (C,) of it was imaged; evaluated, touched: (C,).
    """

    segment: Integers
    row: Integers
    strip: Integers
    imaged_m2: Floats
    evaluated: NDArray[np.bool_]
    touched: NDArray[np.bool_]


def row_count(frames: RoadFrames, cell_m: float) -> Integers:
    """Return (S,) how many rows of cells lie along each segment; the last may be short."""
    rows = np.ceil(frames.lengths / cell_m - ROUNDING)
    return np.asarray(np.maximum(rows, 1.0), np.int64)


def grid_cells(
    bits: Bits,
    *,
    frames: RoadFrames,
    strips: Layout,
    ground: Geometries,
    params: MeasureParams,
) -> Cells:
    """Lay the grid on segments and say which cells were imaged and which are touched.

    bits must be cut at the strips' borders and at the rows; ground: (S,) imaged pavement in the CRS.
    """
    rows = row_count(frames, params.zeb_cell_m)
    columns = np.diff(strips.first)
    per_segment = rows * columns
    first = np.concatenate([[0], np.cumsum(per_segment)])
    segment, place = counted(per_segment)
    row, strip = place // columns[segment], place % columns[segment]
    imaged_m2, whole_m2 = np.empty(len(segment)), np.empty(len(segment))
    shapely.prepare(ground)
    covered = _covered_rows(frames, strips, ground, rows, params.zeb_cell_m)
    covered = covered[(np.cumsum(rows) - rows)[segment] + row]
    for start in range(0, len(segment), CELLS_AT_ONCE):
        some = slice(start, start + CELLS_AT_ONCE)
        imaged_m2[some], whole_m2[some] = _imaged(
            frames,
            strips,
            ground,
            (segment[some], row[some], strip[some]),
            params.zeb_cell_m,
            covered[some],
        )
    least = (params.zeb_min_imaged - ROUNDING) * whole_m2
    evaluated = (imaged_m2 >= least) & (imaged_m2 > 0.0)
    bit_row = np.floor(bits.station.mean(axis=1) / params.zeb_cell_m).astype(np.int64)
    bit_strip = strips.borders.strip_of(bits)
    inside = (bit_row >= 0) & (bit_row < rows[bits.segment])
    inside &= (bit_strip >= 0) & (bit_strip < columns[bits.segment])
    cell = first[bits.segment] + bit_row * columns[bits.segment] + bit_strip
    touched = np.zeros(len(segment), np.bool_)
    touched[cell[inside]] = True
    return Cells(segment, row, strip, imaged_m2, evaluated, touched)


def zeb_share(cells: Cells, count: int) -> Floats:
    """Return (count,) shares in % of the evaluated cells that are touched; nan where none is evaluated."""
    evaluated = np.bincount(cells.segment, cells.evaluated, minlength=count)
    touched = np.bincount(cells.segment, cells.evaluated & cells.touched, minlength=count)
    share: Floats = np.full(count, np.nan)
    np.divide(100.0 * touched, evaluated, out=share, where=evaluated > 0)
    return share


def _covered_rows(
    frames: RoadFrames, strips: Layout, ground: Geometries, rows: Integers, cell_m: float
) -> NDArray[np.bool_]:
    """Return whether all cells of a row are imaged, for every row of every segment: most are."""
    segment, row = counted(rows)
    right, left = strips.right, strips.left
    first, last = strips.first[:-1][segment], strips.first[1:][segment] - 1
    low = right[first] + MARGIN * (left - right)[first]
    high = left[last] - MARGIN * (left - right)[last]
    covered = np.empty(len(segment), np.bool_)
    for begin in range(0, len(segment), CELLS_AT_ONCE):
        some = slice(begin, begin + CELLS_AT_ONCE)
        owner = segment[some]
        start = np.asarray((row[some] + MARGIN) * cell_m, np.float64)
        stop = np.minimum((row[some] + 1.0) * cell_m, frames.lengths[owner]) - MARGIN * cell_m
        corners = _corners(frames, owner, start, np.maximum(stop, start), low[some], high[some])
        covered[some] = shapely.covers(ground[owner], _quads(corners))
    return covered


def _corners(
    frames: RoadFrames, segment: Integers, start: Floats, stop: Floats, right: Floats, left: Floats
) -> Floats:
    """Return (C, 4, 2) corners in the CRS between two stations and two offsets each."""
    return np.stack(
        [
            frames.place(segment, start, right),
            frames.place(segment, stop, right),
            frames.place(segment, stop, left),
            frames.place(segment, start, left),
        ],
        axis=1,
    )


def _quads(corners: Floats) -> Geometries:
    return whole_polygons(np.asarray(shapely.linearrings(corners), object))


def _imaged(
    frames: RoadFrames,
    strips: Layout,
    ground: Geometries,
    cells: tuple[Integers, Integers, Integers],
    cell_m: float,
    covered: NDArray[np.bool_],
) -> tuple[Floats, Floats]:
    """Return the imaged and the nominal area of cells in true m2; a short last cell keeps its whole one."""
    segment, row, strip = cells
    index = strips.index_of(segment, strip)
    start = np.asarray(row * cell_m, np.float64)
    stop = np.minimum(start + cell_m, frames.lengths[segment])
    right, left = strips.right[index], strips.left[index]

    corners = _corners(frames, segment, start, stop, right, left)
    aside, ahead = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    square = frames.scale[segment] ** 2
    area = np.abs(aside[:, 0] * ahead[:, 1] - aside[:, 1] * ahead[:, 0]) / 2.0 / square
    imaged = np.where(covered, area, 0.0)
    rest = np.flatnonzero(~covered)
    along, across = MARGIN * (stop - start)[rest], MARGIN * (left - right)[rest]
    inner = _corners(
        frames,
        segment[rest],
        start[rest] + along,
        stop[rest] - along,
        right[rest] + across,
        left[rest] - across,
    )
    within = shapely.covers(ground[segment[rest]], _quads(inner))
    imaged[rest[within]] = area[rest[within]]
    rest = rest[~within]
    quads = _quads(corners[rest])
    common = shapely.intersection(ground[segment[rest]], quads)
    imaged[rest] = shapely.area(common) / square[rest]
    return imaged, area * cell_m / np.maximum(stop - start, ROUNDING)
