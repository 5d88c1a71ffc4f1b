"""Taking out of a skeleton graph what thinning adds to a crack's true shape.

1. A spur (a dead end at a junction) no longer than the local width is a bump of the border: it goes.
2. Two junctions closer than the crack is wide are one crossing, drawn apart by thinning: one node.
3. Where a node keeps just two edges they are one crack again: one edge.

Each step looks no farther than a few local widths, so that neighbouring windows agree. A graph is
passed as arrays: chain, offsets, nodes, radii and node count, as `graph.CrackGraph` describes them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.vectorizing.chains import walk

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Graph = tuple[Indices, Indices, Indices, Floats, int]

SPUR_SLACK_PX = 1.0
"""Added to the local width: the border of a mask is only known to half a pixel on either side."""

SMALLEST_LOOP_PX = 5.0
"""No skeleton loop around at least one pixel is shorter (four corner steps are 5.66 px)."""

SHORTEST_BOND_PX, BOND_RADII = 3.0, 0.75
"""Junctions closer than this (pixels, or parts of the larger inscribed radius) are one place."""

CROSSING_REACH, CROSSING_SLACK_PX, CROSSING_COSINE = 4.0, 4.0, -0.25
"""Two junctions are one crossing when all their branches point away from the edge between them, the
flatter the longer that edge may be: up to CROSSING_REACH x cosine^2 x the sum of the radii, and some."""

MAX_ROUNDS = 8
"""Each round of pruning can bare new spurs; real masks are clean after two or three."""


@kernel
def cleaned(
    chain: Indices,
    offsets: Indices,
    nodes: Indices,
    radii: Floats,
    node_count: int,
    stride: int,
    spur_widths: float,
) -> Graph:
    """Return the graph without spurs, with crossings made whole, and without nodes of degree 2."""
    graph = _pruned(chain, offsets, nodes, radii, node_count, stride, spur_widths)
    chain, offsets, nodes, radii, node_count = graph
    lengths, degrees = chain_lengths(chain, offsets, stride), _degrees(nodes, node_count)
    bonds = _bonds(chain, offsets, nodes, radii, lengths, degrees, stride)
    if not bonds.any():
        return graph
    nodes = _united(nodes, node_count, bonds)
    for e in range(len(nodes)):
        bonds[e] |= nodes[e, 0] == nodes[e, 1] >= 0 and lengths[e] < SMALLEST_LOOP_PX
    chain, offsets, nodes, radii, node_count = _without(
        chain, offsets, nodes, radii, node_count, bonds
    )
    return _pruned(chain, offsets, nodes, radii, node_count, stride, spur_widths)


@kernel
def _pruned(
    chain: Indices,
    offsets: Indices,
    nodes: Indices,
    radii: Floats,
    node_count: int,
    stride: int,
    spur_widths: float,
) -> Graph:
    for _ in range(MAX_ROUNDS):
        degrees, lengths = _degrees(nodes, node_count), chain_lengths(chain, offsets, stride)
        spurs = _spurs(nodes, radii, lengths, degrees, spur_widths)
        if not spurs.any():
            break
        chain, offsets, nodes, radii, node_count = _without(
            chain, offsets, nodes, radii, node_count, spurs
        )
    return chain, offsets, nodes, radii, node_count


@kernel
def chain_lengths(chain: Indices, offsets: Indices, stride: int) -> Floats:
    """Return (E,) the length of each edge."""
    lengths = np.zeros(len(offsets) - 1)
    for e in range(len(lengths)):
        for k in range(offsets[e], offsets[e + 1] - 1):
            step = abs(chain[k + 1] - chain[k])
            if step in (1, stride):
                lengths[e] += 1.0
            elif step in (stride - 1, stride + 1):
                lengths[e] += np.sqrt(2.0)
            else:
                dx, dy = _offset(chain[k], chain[k + 1], stride)
                lengths[e] += np.sqrt(dx * dx + dy * dy)
    return lengths


@kernel
def _offset(start: int, stop: int, stride: int) -> tuple[float, float]:
    """Return the columns and rows from one pixel to another."""
    return float(stop % stride - start % stride), float(stop // stride - start // stride)


@kernel
def _degrees(nodes: Indices, node_count: int) -> Indices:
    degrees = np.zeros(node_count, np.int64)
    for end in nodes.reshape(-1):
        if end >= 0:
            degrees[end] += 1
    return degrees


@kernel
def _without(
    chain: Indices,
    offsets: Indices,
    nodes: Indices,
    radii: Floats,
    node_count: int,
    drop: NDArray[np.bool_],
) -> Graph:
    """Drop edges, then join the two edges at each node that keeps just two.

    An edge that so meets itself becomes a loop without node.
    """
    kept = np.flatnonzero(~drop)
    nodes, radii = nodes[kept], radii[kept]
    entries, starts, closed = walk(_partners(nodes, node_count))
    joined, ends = _concatenated(chain, offsets, kept, entries, starts)
    at, discs = np.empty((len(closed), 2), np.int64), np.empty((len(closed), 2))
    for c in range(len(closed)):
        tips = (entries[starts[c]], entries[starts[c + 1] - 1] ^ 1)
        for side in range(2):
            at[c, side] = -1 if closed[c] else nodes[tips[side] // 2, tips[side] % 2]
            discs[c, side] = radii[tips[side] // 2, tips[side] % 2]
    return joined, ends, at, discs, node_count


@kernel
def _united(nodes: Indices, node_count: int, bonds: NDArray[np.bool_]) -> Indices:
    """Renumber nodes so that both ends of each bond have the lowest number of their group."""
    root = np.arange(node_count)
    for e in range(len(nodes)):
        if bonds[e]:
            a, b = _root(root, nodes[e, 0]), _root(root, nodes[e, 1])
            root[max(a, b)] = min(a, b)
    united = nodes.copy()
    for e in range(len(nodes)):
        for side in range(2):
            if nodes[e, side] >= 0:
                united[e, side] = _root(root, nodes[e, side])
    return united


@kernel
def _root(root: Indices, node: int) -> int:
    while root[node] != node:
        node = int(root[node])
    return node


@kernel
def _partners(nodes: Indices, node_count: int) -> Indices:
    """Pair the two edge ends at each node of degree 2; all other ends stay free (-1)."""
    degree = np.zeros(node_count, np.int64)
    last = np.full(node_count, -1, np.int64)
    partner = np.full(2 * len(nodes), -1, np.int64)
    ends = nodes.reshape(-1)
    for end in range(len(ends)):
        if ends[end] >= 0:
            degree[ends[end]] += 1
    for end in range(len(ends)):
        node = ends[end]
        if node >= 0 and degree[node] == 2:
            if last[node] >= 0:
                partner[end] = last[node]
                partner[last[node]] = end
            last[node] = end
    return partner


@kernel
def _concatenated(
    chain: Indices, offsets: Indices, kept: Indices, entries: Indices, starts: Indices
) -> tuple[Indices, Indices]:
    """Copy the edges (numbers within `kept`) in order and direction, a shared end only once."""
    joined = np.empty_like(chain)
    ends = np.zeros(len(starts), np.int64)
    size = 0
    for c in range(len(starts) - 1):
        first = size
        for k in range(starts[c], starts[c + 1]):
            edge = kept[entries[k] // 2]
            low, high = offsets[edge], offsets[edge + 1]
            backward = entries[k] % 2
            for j in range(high - low):
                pixel = chain[high - 1 - j if backward else low + j]
                if size == first or joined[size - 1] != pixel:
                    joined[size] = pixel
                    size += 1
        ends[c + 1] = size
    return joined[:size].copy(), ends


@kernel
def _spurs(
    nodes: Indices,
    radii: Floats,
    lengths: Floats,
    degrees: Indices,
    spur_widths: float,
) -> NDArray[np.bool_]:
    """Mark dead ends shorter than the local width; of a node with nothing else, all but two."""
    spurs = np.zeros(len(nodes), np.bool_)
    left = degrees.copy()
    for e in range(len(nodes)):
        side = _hanging_side(nodes, degrees, e)
        if side >= 0:
            width = 2.0 * radii[e, side]
            spurs[e] = lengths[e] < spur_widths * width + SPUR_SLACK_PX
            left[nodes[e, side]] -= spurs[e]
    spared = np.full((len(degrees), 2), -1, np.int64)
    for e in range(len(nodes)):
        if spurs[e]:
            node = nodes[e, _hanging_side(nodes, degrees, e)]
            if left[node] == 0:
                _keep_longest(spared[node], e, lengths)
    for edge in spared.reshape(-1):
        if edge >= 0:
            spurs[edge] = False
    return spurs


@kernel
def _hanging_side(nodes: Indices, degrees: Indices, edge: int) -> int:
    """Return the side (0, 1) at which a dead end hangs on a junction, or -1 if it is none."""
    first, last = nodes[edge, 0], nodes[edge, 1]
    if first < 0:
        return -1
    if degrees[first] > 2 and degrees[last] == 1:
        return 0
    if degrees[last] > 2 and degrees[first] == 1:
        return 1
    return -1


@kernel
def _keep_longest(best: Indices, edge: int, lengths: Floats) -> None:
    if best[0] < 0 or lengths[edge] > lengths[best[0]]:
        best[1] = best[0]
        best[0] = edge
    elif best[1] < 0 or lengths[edge] > lengths[best[1]]:
        best[1] = edge


@kernel
def _bonds(
    chain: Indices,
    offsets: Indices,
    nodes: Indices,
    radii: Floats,
    lengths: Floats,
    degrees: Indices,
    stride: int,
) -> NDArray[np.bool_]:
    """Mark edges between junctions that are one place: very short, or the middle of a flat X."""
    bonds = np.zeros(len(nodes), np.bool_)
    middle = np.full(len(degrees), -1, np.int64)
    for e in range(len(nodes)):
        a, b = nodes[e, 0], nodes[e, 1]
        if a < 0 or a == b or degrees[a] < 3 or degrees[b] < 3:
            continue
        widest = max(radii[e, 0], radii[e, 1])
        if lengths[e] < max(SHORTEST_BOND_PX, BOND_RADII * widest):
            bonds[e] = True
        elif lengths[e] < CROSSING_REACH * (radii[e, 0] + radii[e, 1]) + CROSSING_SLACK_PX:
            for node in (a, b):
                if middle[node] < 0 or lengths[e] < lengths[middle[node]]:
                    middle[node] = e
    spread = np.full(len(degrees), -1.0)
    for e in range(len(nodes)):
        for side in range(2):
            node = nodes[e, side]
            if node >= 0 and middle[node] >= 0 and middle[node] != e:
                m = middle[node]
                mx, my = _direction(
                    chain, offsets, radii, m, 0 if nodes[m, 0] == node else 1, stride
                )
                dx, dy = _direction(chain, offsets, radii, e, side, stride)
                spread[node] = max(spread[node], mx * dx + my * dy)
    for e in range(len(nodes)):
        a, b = nodes[e, 0], nodes[e, 1]
        if a >= 0 and middle[a] == e and middle[b] == e:
            cosine = max(spread[a], spread[b])
            reach = CROSSING_REACH * cosine**2 * (radii[e, 0] + radii[e, 1]) + CROSSING_SLACK_PX
            bonds[e] = cosine < CROSSING_COSINE and lengths[e] < reach
    return bonds


@kernel
def _direction(
    chain: Indices,
    offsets: Indices,
    radii: Floats,
    edge: int,
    side: int,
    stride: int,
) -> tuple[float, float]:
    """Return the unit vector in which an edge leaves its node, seen past the node's disc."""
    low, high = offsets[edge], offsets[edge + 1] - 1
    reach = min(int(2.0 * radii[edge, side]) + 6, high - low)
    start = high if side else low
    stop = high - reach if side else low + reach
    dx, dy = _offset(chain[start], chain[stop], stride)
    norm = np.sqrt(dx * dx + dy * dy)
    return (dx / norm, dy / norm) if norm > 0.0 else (0.0, 0.0)
