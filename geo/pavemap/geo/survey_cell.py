"""One cell of a survey, from pixels to lines and areas: a pure function, whoever drives it.

How the result stays the same for any cell size and tile layout:

- Everything is computed in the window with halo, on the world's pixel grid, and only the core is kept.
- What is not imaged is filled from the nearest imaged pixel, so that a network sees no hard edge. A
  pixel that counts lies within the imagery; the fill that can reach it through a network's field of
  view of R pixels comes from at most 2 R away, within any cell's window while R is at most half the halo.
- A network is shown what reaches pixels that count, and no more of the window.
- No crack is believed within EDGE_PX of where imagery ends: the edge itself looks like one. That strip
  counts as not imaged. It is measured from the mosaic, never from the window's side or a tile's seam.
- Pavement is counted by pixel centres, with its corners rounded to 1/1024 pixel of the world's grid:
  each pixel belongs to the same segment in every cell that sees it, and to one cell's core.
- Lines are cut at the core's sides, where neighbours have the very same vertices, before they are
  simplified.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize

from pavemap.geo.arrays import Geometries
from pavemap.geo.crs import ground_scale
from pavemap.geo.grid import ALIGNMENT_PX, Cell, Grid, Window
from pavemap.geo.imagery.imaged import imaged_part
from pavemap.geo.imagery.mosaic import Chip
from pavemap.geo.lines.flat_lines import clip
from pavemap.geo.vectorizing.trust import Trust
from pavemap.geo.vectorizing.vectorize import VectorizeParams, finished, trace_lines

Detect = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""From pixels (H, W, 3) uint8 to crack probability (H, W) uint8, 255 = 1."""

Pavements = Sequence[tuple[int, shapely.Polygon | shapely.MultiPolygon]]

EDGE_PX = 4
"""Cracks this near to missing imagery are not believed, and the strip doesn't count as imaged."""

SHOWN_STEP_PX = 8 * ALIGNMENT_PX
"""What a network is shown of a window begins at multiples of it, and ends so or where the window does.
Wide steps: OpenVINO keeps some 3 MB for each size that it has met."""

MARGIN_M, MARGIN_PX = 0.5, 24
"""How far off pavement lines are still traced (the smaller of the two), so that they reach its border
undisturbed; well under the halo, so that a window knows of all pavement that matters to its core."""


class Reader(Protocol):
    """What a cell needs of a mosaic."""

    def read(self, window: Window) -> Chip:
        """Return the pixels of a window and which of them are imaged."""


@dataclass(frozen=True)
class CellResult:
    """What one cell contributes to a survey.

    lines: LineString Z in the working CRS, z = width in mm, within the cell's own bounds.
    trust: how far each of them can be trusted; None: not known.
    imaged: true square metres by segment id; only segments with imaged ground are named.
    coarse: how many of these were seen in imagery too coarse for the model, where any were.
    imaged_m2: imaged ground of the cell, on pavement where pavements are given.
    imaged_part: what was imaged of the cell's own ground, in the working CRS; None where it was all.
    seconds: time spent by stage: read, detect, vectorize.
    """

    lines: Geometries
    imaged: dict[int, float]
    imaged_m2: float
    seconds: dict[str, float]
    coarse: dict[int, float] = field(default_factory=dict)
    imaged_part: shapely.MultiPolygon | None = None
    trust: Trust | None = None

    def trusted(self) -> Trust:
        """Return how far each line can be trusted, as far as that is known."""
        return Trust.unknown(len(self.lines)) if self.trust is None else self.trust


def survey_cell(
    cell: Cell,
    *,
    grid: Grid,
    mosaic: Reader,
    pavements: Pavements | None,
    detect: Detect,
    params: VectorizeParams,
    edge_px: int = EDGE_PX,
) -> CellResult:
    """Find the cracks of one cell.

    pavements: (segment id, polygon in the grid's CRS); None surveys all that is imaged. Networks
    shorter than `params.min_length_m` are dropped here only if they lie whole within the cell; the rest
    is for `stitch`. edge_px: how far from missing imagery cracks are believed again (0 for pixels that
    are no photograph). Raises what `mosaic` and `detect` raise.
    """
    clock = _Clock()
    window, core = grid.window(cell), grid.core()
    chip = mosaic.read(window)
    believed = imaged_mask(chip.valid, edge_px=edge_px)
    ground = _ground(window, pavements)
    wanted = believed & ground.near
    clock.lap("read")
    lines: Geometries = np.empty(0, object)
    trust = None
    metres_per_px = grid.gsd_m / ground_scale(grid.crs, *_middle(grid, cell))
    if wanted[core].any():
        probability = _probability(chip, wanted, halo_px=grid.halo_px, detect=detect, clock=clock)
        traced = trace_lines(
            probability,
            params=params,
            min_length_px=params.min_length_m / metres_per_px,
            halo_px=grid.halo_px,
        )
        low, high = grid.halo_px, grid.halo_px + grid.cell_px
        own, _ = clip(traced, (low, low, high, high))
        trust = Trust.of(own, probability, sure_threshold=params.sure_threshold)
        lines = finished(
            own, transform=window.transform, params=params, metres_per_px=metres_per_px
        )
    number = ground.number[core]
    imaged_px = _count(number, believed[core], ground.ids)
    coarse_px: dict[int, int] = {}
    if chip.coarse is not None:
        coarse_px = _count(number, (believed & chip.coarse)[core], ground.ids)
    total = sum(imaged_px.values()) if pavements is not None else int(believed[core].sum())
    part = own_part(believed, window, grid)
    clock.lap("vectorize")
    pixel_m2 = metres_per_px**2
    return CellResult(
        lines=lines,
        imaged={key: count * pixel_m2 for key, count in imaged_px.items()},
        imaged_m2=total * pixel_m2,
        seconds=clock.seconds,
        coarse={key: count * pixel_m2 for key, count in coarse_px.items()},
        imaged_part=part,
        trust=trust,
    )


def own_part(
    believed: NDArray[np.bool_], window: Window, grid: Grid
) -> shapely.MultiPolygon | None:
    """Return the imaged part of a cell, of what is believed in its window with the halo."""
    own_ground = window.transform @ Affine.translation(grid.halo_px, grid.halo_px)
    return imaged_part(believed[grid.core()], transform=own_ground)


def _probability(
    chip: Chip, wanted: NDArray[np.bool_], *, halo_px: int, detect: Detect, clock: _Clock
) -> NDArray[np.uint8]:
    """Return the probability (H, W) of the wanted pixels, of which there are some; 0 elsewhere."""
    place = around(wanted, halo_px)
    shown = _shown(chip, place, within=around(wanted, 2 * halo_px))
    clock.lap("read")
    found = detect(shown)
    clock.lap("detect")
    probability = np.zeros(wanted.shape, np.uint8)
    np.copyto(probability[place], found, where=wanted[place])
    return probability


def around(wanted: NDArray[np.bool_], margin_px: int) -> tuple[slice, slice]:
    """Return the rows and columns of a window from the wanted pixels, of which there are some, to a margin.

    They begin in step with a network's pooling, and come in few sizes.
    """
    height, width = wanted.shape
    rows, columns = np.flatnonzero(wanted.any(axis=1)), np.flatnonzero(wanted.any(axis=0))
    return _span(rows, height, margin_px), _span(columns, width, margin_px)


def _span(at: NDArray[np.intp], size: int, margin_px: int) -> slice:
    first = max(int(at[0]) - margin_px, 0) // SHOWN_STEP_PX * SHOWN_STEP_PX
    last = -(-(int(at[-1]) + 1 + margin_px) // SHOWN_STEP_PX) * SHOWN_STEP_PX
    return slice(first, min(last, size))


def _shown(
    chip: Chip, place: tuple[slice, slice], *, within: tuple[slice, slice]
) -> NDArray[np.uint8]:
    """Return the pixels of a place, filled from those within a larger one."""
    shown = filled(Chip(chip.pixels[within], chip.valid[within]))
    top, left = (wide.start for wide in within)
    rows, columns = place
    own = shown[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return np.ascontiguousarray(own)


def filled(chip: Chip) -> NDArray[np.uint8]:
    """Return a chip's pixels, each that is not imaged coloured as the nearest one that is."""
    if chip.valid.all():
        return chip.pixels
    if not chip.valid.any():
        return np.zeros_like(chip.pixels)
    missing = np.where(chip.valid, np.uint8(0), np.uint8(1))
    _, label = cv2.distanceTransformWithLabels(
        missing, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label = label.ravel()
    near = cv2.dilate(missing, np.ones((5, 5), np.uint8))  # steps of DIST_MASK_5 go no farther
    rim, gone = np.flatnonzero(near > missing), np.flatnonzero(missing)
    source = np.empty(int(label.max()) + 1, np.intp)
    source[label[rim]] = rim
    pixels = chip.pixels.copy()
    flat = pixels.reshape(-1, 3)
    flat[gone] = flat.take(source[label[gone]], axis=0)
    return pixels


def imaged_mask(valid: NDArray[np.bool_], *, edge_px: int = EDGE_PX) -> NDArray[np.bool_]:
    """Return where cracks are believed: imaged, and more than `edge_px` from where it is not."""
    if edge_px == 0 or valid.all():
        return valid
    size = 2 * edge_px + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    eroded = cv2.erode(valid.astype(np.uint8), disc, borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return eroded.astype(np.bool_)


@dataclass(frozen=True)
class _Ground:
    """Pavement in a window: number (H, W) of the segment in ids, -1 for none; near it (H, W) bool."""

    ids: NDArray[np.int64]
    number: NDArray[np.int32]
    near: NDArray[np.bool_]


class _Clock:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds = {"read": 0.0, "detect": 0.0, "vectorize": 0.0}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage] += now - self._last
        self._last = now


def _middle(grid: Grid, cell: Cell) -> tuple[float, float]:
    left, bottom, right, top = grid.bounds(cell)
    return (left + right) / 2.0, (bottom + top) / 2.0


def _count(
    number: NDArray[np.int32], mask: NDArray[np.bool_], ids: NDArray[np.int64]
) -> dict[int, int]:
    """Return how many pixels of the mask each segment has, those that have any."""
    pixels = np.bincount(number[mask & (number >= 0)], minlength=len(ids))
    return {int(ids[k]): int(pixels[k]) for k in np.flatnonzero(pixels)}


def _ground(window: Window, pavements: Pavements | None) -> _Ground:
    """Draw pavement by pixel centres; where two meet, the later in the sequence has the pixel."""
    shape = (window.height, window.width)
    number = np.full(shape, -1, np.int32)
    if pavements is None:
        return _Ground(np.empty(0, np.int64), number, np.ones(shape, np.bool_))
    ids = np.array([key for key, _ in pavements], np.int64)
    if len(ids):
        flat = shapely.force_2d(np.array([polygon for _, polygon in pavements], object))
        shapes = window.to_pixels(flat)
        number = rasterize(
            zip(shapes, range(len(ids)), strict=True), out_shape=shape, fill=-1, dtype=np.int32
        )
    margin = min(MARGIN_PX, round(MARGIN_M / window.gsd_m))
    square = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    near = cv2.dilate((number >= 0).astype(np.uint8), square).astype(np.bool_)
    return _Ground(ids, number, near)
