"""Where the map picture looks closely: the square that holds most cracks and little beside the ground."""

from __future__ import annotations

import numpy as np
import shapely
from numpy.typing import NDArray

from pavemap.geo.grid import Bounds

CANDIDATES = 200
"""Squares, of those with most cracks, from which the close look is chosen."""
CENTRING = 5
"""Steps, each way, in which the close look is moved until its cracks lie in the middle."""


def most_cracked(
    lines: NDArray[np.object_],
    *,
    side: float,
    ground: NDArray[np.object_],
    imagery: NDArray[np.object_],
    otherwise: Bounds,
) -> Bounds:
    """Return a square of a side on the ground's polygons, as far as there is imagery; all in one CRS.

    Without lines it lies in the middle of `otherwise`.
    """
    points = along(lines, side / 40)
    if len(points) == 0:
        middle = np.array([(otherwise[0] + otherwise[2]) / 2, (otherwise[1] + otherwise[3]) / 2])
    else:
        middle = centred(densest(points, side, ground), points, side, imagery)
    x, y = middle
    return float(x - side / 2), float(y - side / 2), float(x + side / 2), float(y + side / 2)


def densest(
    points: NDArray[np.float64], side: float, ground: NDArray[np.object_]
) -> NDArray[np.float64]:
    """Return the centre of a square of a side that holds many points and little beside the ground.

    Squares are tried at steps of a quarter of their side.
    """
    step, low = side / 4, points.min(axis=0)
    cells = np.floor((points - low) / step).astype(np.int64)
    columns = int(cells[:, 0].max()) + 4
    filled, points_in = np.unique(cells[:, 1] * columns + cells[:, 0], return_counts=True)
    # A cell counts in the 16 squares that hold it, named by their upper right one.
    across, up = np.meshgrid(range(4), range(4))
    right = (filled % columns)[:, None] + across.ravel()
    top = (filled // columns)[:, None] + up.ravel()
    lasts, square = np.unique((top * columns + right).ravel(), return_inverse=True)
    held = np.bincount(square, np.repeat(points_in, across.size))
    best = np.argsort(-held, kind="stable")[:CANDIDATES]
    corners = np.stack([lasts[best] % columns, lasts[best] // columns], axis=-1)
    centres: NDArray[np.float64] = low + (corners - 1) * step
    chosen: NDArray[np.float64] = centres[
        int((held[best] * _share(centres, side, ground) ** 2).argmax())
    ]
    return chosen


def centred(
    centre: NDArray[np.float64],
    points: NDArray[np.float64],
    side: float,
    imagery: NDArray[np.object_],
) -> NDArray[np.float64]:
    """Move a square so that the points it holds lie in its middle, as far as there is imagery to show."""
    held = points[(np.abs(points - centre) <= 0.5001 * side).all(axis=1)]
    way = (held.min(axis=0) + held.max(axis=0)) / 2 - centre
    moves = np.linspace(0.0, 1.0, CENTRING)
    places = np.stack(np.meshgrid(moves, moves), axis=-1).reshape(-1, 2)
    centres: NDArray[np.float64] = centre + places * way
    share = _share(centres, side, imagery)
    chosen: NDArray[np.float64] = centres[int((share**2 * (1 + places.sum(axis=1))).argmax())]
    return chosen


def along(lines: NDArray[np.object_], spaced: float) -> NDArray[np.float64]:
    """Return points along lines, so far apart at most."""
    points: NDArray[np.float64] = shapely.get_coordinates(shapely.segmentize(lines, spaced))
    return points


def _share(
    centres: NDArray[np.float64], side: float, polygons: NDArray[np.object_]
) -> NDArray[np.float64]:
    """Return the share of squares (N,) that lies in polygons; only those that meet one are united."""
    squares = np.asarray(shapely.box(*(centres - side / 2).T, *(centres + side / 2).T))
    square, near = shapely.STRtree(polygons).query(squares)
    starts = np.searchsorted(square, np.arange(1, len(squares)))
    united = [shapely.union_all(some) for some in np.split(polygons[near], starts)]
    share: NDArray[np.float64] = shapely.area(shapely.intersection(squares, united)) / side**2
    return share
