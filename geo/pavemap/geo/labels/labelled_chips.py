"""Cuts a survey's imagery into labelled chips: squares of the world's pixel grid, image beside mask."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.grid import Cell, Grid, Window
from pavemap.geo.labels.ground_labels import CRACK, IGNORE, SOUND, GroundLabels
from pavemap.geo.limits import CHIP_PX
from pavemap.geo.survey_cell import EDGE_PX, Reader, filled, imaged_mask

HALO_PX = 32
"""Read around a chip, so that what is near missing imagery is the same in whichever chip it lies."""


@dataclass(frozen=True)
class LabelledChip:
    """pixels (P, P, 3) RGB and mask (P, P) of a square of ground, and where that lies."""

    cell: Cell
    window: Window
    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]

    @property
    def name(self) -> str:
        """Its column and row in the grid of chips."""
        return f"{self.cell.col}_{self.cell.row}"

    def counts(self) -> dict[str, int]:
        """Return how many pixels have which label."""
        values = {"crack": CRACK, "sound": SOUND, "ignore": IGNORE}
        return {name: int((self.mask == value).sum()) for name, value in values.items()}


def chip_grid(grid: Grid, *, chip_px: int = CHIP_PX) -> Grid:
    """Return the grid whose cells are chips, on the pixels of a survey's grid. Raises BadInput."""
    return replace(grid, cell_px=chip_px, halo_px=HALO_PX)


def labelled_cells(labels: GroundLabels, grid: Grid) -> list[Cell]:
    """Return the chips that may have a label: those that meet an area which was looked at whole."""
    return grid.cells_meeting(labels.areas.shapes)


def cut_chips(labels: GroundLabels, *, grid: Grid, mosaic: Reader) -> Iterator[LabelledChip]:
    """Yield, in the order of the grid, every chip of `chip_grid` of which anything is known and imaged.

    A function of its arguments alone; memory is that of one chip. Pixels are as a survey's network
    sees them. Raises what `mosaic` raises.
    """
    core = grid.core()
    for cell in labelled_cells(labels, grid):
        own = _own(grid, cell)
        mask = labels.mask(own)
        if (mask == IGNORE).all():
            continue
        chip = mosaic.read(grid.window(cell))
        mask[~imaged_mask(chip.valid, edge_px=EDGE_PX)[core]] = IGNORE
        if not (mask == IGNORE).all():
            yield LabelledChip(cell, own, np.ascontiguousarray(filled(chip)[core]), mask)


def _own(grid: Grid, cell: Cell) -> Window:
    left, _, _, top = grid.bounds(cell)
    return Window(grid.crs, left, top, grid.gsd_m, grid.cell_px, grid.cell_px)
