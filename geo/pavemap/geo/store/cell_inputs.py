"""What a cell is computed from: the files that reach its window, and a digest of these and all settings.

A plan compares digests; a worker makes its own of what it read, by the very same steps.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Iterator

import numpy as np
import shapely
from numpy.typing import NDArray
from sqlalchemy import Connection

from pavemap.geo.arrays import in_blocks
from pavemap.geo.grid import Cell, Grid
from pavemap.geo.store.bulk import SHAPES_AT_A_TIME
from pavemap.geo.store.orthophotos import OrthophotoRow, contents_as_laid, footprints_in
from pavemap.geo.store.surveys import SurveyRow


def imagery_of(
    survey: SurveyRow, cell: Cell, near: list[OrthophotoRow]
) -> tuple[list[OrthophotoRow], str]:
    """Return those orthophotos of a cell's neighbourhood that it is computed from, and its inputs' digest.

    They are told by the very comparison that the plan makes, so both digests are one as long as the
    imagery is.
    """
    grid, this = survey.grid(), np.array([[cell.col, cell.row]], np.int64)
    (reaching,) = _reaching(this, footprints_in(near, grid.crs), grid=grid)
    tiles = [near[index] for index in reaching.tolist()]
    return tiles, _digest(_settings(survey, survey.stretch_ends), (tile.sha256 for tile in tiles))


def imagery_digest(orthophotos: Iterable[OrthophotoRow]) -> str:
    """Return the digest of a survey's files in the order they are laid: `planned_imagery` once planned."""
    return _digest("", (tile.sha256 for tile in orthophotos))


def stored_imagery_digest(connection: Connection, survey_id: uuid.UUID) -> str:
    """Return the same of the files that a survey has now."""
    return _digest("", contents_as_laid(connection, survey_id))


def input_digests(
    survey: SurveyRow,
    cells: NDArray[np.int64],
    footprints: NDArray[np.object_],
    orthophotos: list[OrthophotoRow],
    *,
    grid: Grid,
    stretch: tuple[float, float] | None,
) -> NDArray[np.object_]:
    """Return for each cell a digest of all that its result depends on.

    `orthophotos` come in the order they are laid, which other names may change. Neighbouring cells
    mostly see the same files, so each set of files is digested once.
    """
    common = _settings(survey, stretch)
    known: dict[bytes, str] = {}
    digests = np.empty(len(cells), dtype=object)
    for at, tiles in enumerate(_reaching(cells, footprints, grid=grid)):
        key = tiles.tobytes()
        if key not in known:
            known[key] = _digest(common, (orthophotos[index].sha256 for index in tiles.tolist()))
        digests[at] = known[key]
    return digests


def _reaching(
    cells: NDArray[np.int64], footprints: NDArray[np.object_], *, grid: Grid
) -> Iterator[NDArray[np.intp]]:
    """Yield for each cell the indices of the footprints (grid CRS) that meet its window, ascending."""
    tree = shapely.STRtree(footprints)
    for some in in_blocks(cells, SHAPES_AT_A_TIME):
        windows = grid.boxes(some, margin_m=grid.halo_m)
        cell, tile = tree.query(windows, predicate="intersects")
        order = np.lexsort((tile, cell))
        yield from np.split(tile[order], np.searchsorted(cell[order], np.arange(1, len(some))))


def _settings(survey: SurveyRow, stretch: tuple[float, float] | None) -> str:
    settings = [
        survey.model_id,
        survey.crs,
        survey.gsd_m,
        survey.cell_px,
        survey.halo_px,
        survey.params,
        *([] if stretch is None else [stretch]),
    ]
    return json.dumps(settings, sort_keys=True, default=dict)


def _digest(settings: str, contents: Iterable[str]) -> str:
    whole = "\n".join([settings, *contents])
    return hashlib.sha256(whole.encode()).hexdigest()
