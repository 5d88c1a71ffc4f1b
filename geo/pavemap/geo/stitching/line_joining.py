"""Lines joined end to end by chains of them, and given a direction that doesn't tell how they came."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.lines.flat_lines import Polylines
from pavemap.geo.vectorizing.chains import Chains


def joined(lines: Polylines, partner: NDArray[np.int64], chains: Chains) -> Polylines:
    """Copy the lines chain by chain, each joint once, in the middle of the two ends.

    Moves the ends of `lines` too: all vertices of a long crack once more would be much memory.
    """
    tip = np.column_stack([lines.offsets[:-1], lines.offsets[1:] - 1]).ravel()
    paired = np.flatnonzero(partner >= 0)
    middle = (lines.points[tip[paired]] + lines.points[tip[partner[paired]]]) / 2.0
    lines.points[tip[paired]] = middle
    piece, step = chains.entries // 2, 1 - 2 * (chains.entries % 2)
    follows = np.ones(len(piece), np.bool_)
    follows[chains.offsets[:-1]] = False
    sizes = lines.sizes[piece] - follows
    offsets = np.append(0, np.cumsum(sizes))
    first = tip[chains.entries] + step * follows
    source = np.repeat(step, sizes)
    source[0] = first[0]
    source[offsets[1:-1]] = first[1:] - (first + step * (sizes - 1))[:-1]
    np.cumsum(source, out=source)
    return Polylines(lines.points[source], offsets[np.append(chains.offsets[:-1], len(piece))])


def directed(lines: Polylines, several: NDArray[np.bool_]) -> Polylines:
    """Return the lines; those made of several start at their lower end, a loop at its lowest vertex.

    So neither the blocks of a sweep nor its direction can be seen in them.
    """
    order = np.arange(len(lines.points))
    for i in np.flatnonzero(several):
        low, high = lines.offsets[i], lines.offsets[i + 1]
        points = lines.points[low:high, :2]
        if tuple(points[0]) == tuple(points[-1]):
            lowest = np.lexsort(points[:-1].T[::-1])[0]
            ring = np.roll(np.arange(low, high - 1), -lowest)
            if tuple(lines.points[ring[-1], :2]) < tuple(lines.points[ring[1], :2]):
                ring = np.append(ring[0], ring[:0:-1])
            order[low:high] = np.append(ring, ring[0])
        elif tuple(points[-1]) < tuple(points[0]):
            order[low:high] = order[low:high][::-1]
    return Polylines(lines.points[order], lines.offsets)
