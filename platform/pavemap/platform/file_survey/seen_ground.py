"""What a survey of some imagery images, told from its pixels alone: for maps of surveys made elsewhere."""

from __future__ import annotations

from pavemap.geo.grid import Grid
from pavemap.geo.imagery.mosaic import Mosaic
from pavemap.geo.survey_cell import EDGE_PX, imaged_mask, own_part
from pavemap.platform.file_survey.file_measures import SeenGround


def seen_ground(mosaic: Mosaic, grid: Grid, *, edge_px: int = EDGE_PX) -> SeenGround:
    """Return what `survey_cell` believes of a mosaic, cell by cell: all its pixels are read."""
    parts = {}
    for cell in grid.cells_meeting(mosaic.footprints):
        window = grid.window(cell)
        believed = imaged_mask(mosaic.read(window).valid, edge_px=edge_px)
        parts[cell.col, cell.row] = own_part(believed, window, grid)
    return SeenGround(grid=grid, parts=parts)
