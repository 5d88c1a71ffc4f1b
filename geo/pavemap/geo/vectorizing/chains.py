"""Walking chains: pieces whose ends are paired are put in order, end to end.

A piece i has two ends, 2 i (its first point) and 2 i + 1 (its last). `partner[end]` is the end it is
joined to, or -1. Each piece then belongs to one chain, open or closed. Edges of a skeleton graph that
meet in a node of degree 2 and crack fragments that meet on a cell's border are both joined by this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel


@dataclass(frozen=True)
class Chains:
    """Ordered chains of pieces.

    entries: (N,) int64, the end by which each piece is entered: 2 i runs forward, 2 i + 1 backward.
    offsets: (C + 1,) int64, where each chain starts in `entries`.
    closed: (C,) bool, whether a chain's last end joins its first.
    """

    entries: NDArray[np.int64]
    offsets: NDArray[np.int64]
    closed: NDArray[np.bool_]


def walk_chains(partner: NDArray[np.int64]) -> Chains:
    """Order pieces into chains; `partner` is (2 N,) and symmetric: partner[partner[e]] == e.

    Chains come in the order of their lowest piece and start at their lowest free end, closed ones by
    the first point of their lowest piece.
    """
    return Chains(*walk(np.asarray(partner, np.int64)))


@kernel
def walk(
    partner: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the fields of `Chains`."""
    pieces = len(partner) // 2
    entries = np.empty(pieces, np.int64)
    offsets = np.zeros(pieces + 1, np.int64)
    closed = np.zeros(pieces, np.bool_)
    seen = np.zeros(pieces, np.bool_)
    chains = count = 0
    for piece in range(pieces):
        if seen[piece]:
            continue
        first, closed[chains] = _free_end(partner, 2 * piece)
        end = first
        while True:
            seen[end // 2] = True
            entries[count] = end
            count += 1
            end = partner[end ^ 1]
            if end < 0 or end == first:
                break
        chains += 1
        offsets[chains] = count
    return entries, offsets[: chains + 1].copy(), closed[:chains].copy()


@kernel
def _free_end(partner: NDArray[np.int64], start: int) -> tuple[int, bool]:
    """Walk both ways from a piece; return the lower free end, or `start` of a closed chain."""
    end = start
    while partner[end] >= 0:
        end = partner[end] ^ 1
        if end == start:
            return start, True
    other = start ^ 1
    while partner[other] >= 0:
        other = partner[other] ^ 1
    return min(end, other), False
