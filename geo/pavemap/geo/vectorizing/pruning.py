"""Taking out of a skeleton graph what thinning adds to a crack's true shape.

1. A spur (a dead end at a junction) no longer than the local width is a bump of the border: it goes.
2. Two junctions closer than the crack is wide are one crossing, drawn apart by thinning: one node.
3. Where a node keeps just two edges they are one crack again: one edge.

Each step looks no farther than a few local widths, so that neighbouring windows agree.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.vectorizing.chains import walk
from pavemap.geo.vectorizing.crack_graph import (
    CrackGraph,
    edge_lengths,
    node_degrees,
    pixel_offset,
)

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


def clean(graph: CrackGraph, *, spur_widths: float = 1.0) -> CrackGraph:
    """Take out spurs shorter than `spur_widths` local widths and join what thinning drew apart."""
    return _cleaned(graph, spur_widths)


@kernel
def _cleaned(graph: CrackGraph, spur_widths: float) -> CrackGraph:
    """Return the graph without spurs, with crossings made whole, and without nodes of degree 2."""
    graph = _pruned(graph, spur_widths)
    lengths = edge_lengths(graph)
    bonds = _bonds(graph, lengths, node_degrees(graph.nodes, graph.node_count))
    if not bonds.any():
        return graph
    nodes = _united(graph, bonds)
    for e in range(len(nodes)):
        bonds[e] |= nodes[e, 0] == nodes[e, 1] >= 0 and lengths[e] < SMALLEST_LOOP_PX
    return _pruned(_without(graph, nodes, bonds), spur_widths)


@kernel
def _pruned(graph: CrackGraph, spur_widths: float) -> CrackGraph:
    for _ in range(MAX_ROUNDS):
        degrees = node_degrees(graph.nodes, graph.node_count)
        spurs = _spurs(graph, edge_lengths(graph), degrees, spur_widths)
        if not spurs.any():
            break
        graph = _without(graph, graph.nodes, spurs)
    return graph


@kernel
def _without(graph: CrackGraph, nodes: NDArray[np.int64], drop: NDArray[np.bool_]) -> CrackGraph:
    """Drop edges, then join the two edges at each node that keeps just two.

    nodes: (E, 2), the graph's own or others in their place. An edge that so meets itself becomes a
    loop without node.
    """
    kept = np.flatnonzero(~drop)
    nodes, radii = nodes[kept], graph.radii[kept]
    entries, starts, closed = walk(_partners(nodes, graph.node_count))
    joined, ends = _concatenated(graph, kept, entries, starts)
    at, discs = np.empty((len(closed), 2), np.int64), np.empty((len(closed), 2))
    for c in range(len(closed)):
        tips = (entries[starts[c]], entries[starts[c + 1] - 1] ^ 1)
        for side in range(2):
            at[c, side] = -1 if closed[c] else nodes[tips[side] // 2, tips[side] % 2]
            discs[c, side] = radii[tips[side] // 2, tips[side] % 2]
    return CrackGraph(joined, ends, at, discs, graph.node_count, graph.stride)


@kernel
def _united(graph: CrackGraph, bonds: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the nodes, numbered so that both ends of each bond have the lowest number of their group."""
    nodes = graph.nodes
    root = np.arange(graph.node_count)
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
def _root(root: NDArray[np.int64], node: int) -> int:
    while root[node] != node:
        node = int(root[node])
    return node


@kernel
def _partners(nodes: NDArray[np.int64], node_count: int) -> NDArray[np.int64]:
    """Pair the two edge ends at each node of degree 2; all other ends stay free (-1)."""
    degree = node_degrees(nodes, node_count)
    last = np.full(node_count, -1, np.int64)
    partner = np.full(2 * len(nodes), -1, np.int64)
    ends = nodes.reshape(-1)
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
    graph: CrackGraph,
    kept: NDArray[np.int64],
    entries: NDArray[np.int64],
    starts: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Copy the edges (numbers within `kept`) in order and direction, a shared end only once."""
    chain, offsets = graph.chain, graph.offsets
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
    graph: CrackGraph,
    lengths: NDArray[np.float64],
    degrees: NDArray[np.int64],
    spur_widths: float,
) -> NDArray[np.bool_]:
    """Mark dead ends shorter than the local width; of a node with nothing else, all but two."""
    nodes = graph.nodes
    spurs = np.zeros(len(nodes), np.bool_)
    left = degrees.copy()
    for e in range(len(nodes)):
        side = _hanging_side(nodes, degrees, e)
        if side >= 0:
            width = 2.0 * graph.radii[e, side]
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
def _hanging_side(nodes: NDArray[np.int64], degrees: NDArray[np.int64], edge: int) -> int:
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
def _keep_longest(best: NDArray[np.int64], edge: int, lengths: NDArray[np.float64]) -> None:
    if best[0] < 0 or lengths[edge] > lengths[best[0]]:
        best[1] = best[0]
        best[0] = edge
    elif best[1] < 0 or lengths[edge] > lengths[best[1]]:
        best[1] = edge


@kernel
def _bonds(
    graph: CrackGraph, lengths: NDArray[np.float64], degrees: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Mark edges between junctions that are one place: very short, or the middle of a flat X."""
    bonds, middle = _short_edges(graph, lengths, degrees)
    spread = _spread(graph, middle)
    for e in range(len(bonds)):
        a, b = graph.nodes[e, 0], graph.nodes[e, 1]
        if a >= 0 and middle[a] == e and middle[b] == e:
            cosine = max(spread[a], spread[b])
            bonds[e] = cosine < CROSSING_COSINE and lengths[e] < _crossing_reach(graph, e, cosine)
    return bonds


@kernel
def _crossing_reach(graph: CrackGraph, edge: int, cosine: float) -> float:
    """Return how long the middle of an X may be, the cosine between it and a branch being the greatest."""
    width = graph.radii[edge, 0] + graph.radii[edge, 1]
    return float(CROSSING_REACH * cosine**2 * width + CROSSING_SLACK_PX)


@kernel
def _short_edges(
    graph: CrackGraph, lengths: NDArray[np.float64], degrees: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Mark very short edges between junctions; return for each node the shortest edge, or -1, that is
    longer than these and may be the middle of an X.
    """
    short = np.zeros(len(lengths), np.bool_)
    middle = np.full(len(degrees), -1, np.int64)
    for e in range(len(lengths)):
        a, b = graph.nodes[e, 0], graph.nodes[e, 1]
        if a < 0 or a == b or degrees[a] < 3 or degrees[b] < 3:
            continue
        widest = max(graph.radii[e, 0], graph.radii[e, 1])
        if lengths[e] < max(SHORTEST_BOND_PX, BOND_RADII * widest):
            short[e] = True
        elif lengths[e] < _crossing_reach(graph, e, 1.0):
            for node in (a, b):
                if middle[node] < 0 or lengths[e] < lengths[middle[node]]:
                    middle[node] = e
    return short, middle


@kernel
def _spread(graph: CrackGraph, middle: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return for each node the greatest cosine between its middle edge and another of its edges."""
    nodes = graph.nodes
    spread = np.full(len(middle), -1.0)
    for e in range(len(nodes)):
        for side in range(2):
            node = nodes[e, side]
            if node >= 0 and middle[node] >= 0 and middle[node] != e:
                m = middle[node]
                mx, my = _direction(graph, m, 0 if nodes[m, 0] == node else 1)
                dx, dy = _direction(graph, e, side)
                spread[node] = max(spread[node], mx * dx + my * dy)
    return spread


@kernel
def _direction(graph: CrackGraph, edge: int, side: int) -> tuple[float, float]:
    """Return the unit vector in which an edge leaves its node, seen past the node's disc."""
    low, high = graph.offsets[edge], graph.offsets[edge + 1] - 1
    reach = min(int(2.0 * graph.radii[edge, side]) + 6, high - low)
    start = high if side else low
    stop = high - reach if side else low + reach
    dx, dy = pixel_offset(graph.chain[start], graph.chain[stop], graph.stride)
    norm = np.sqrt(dx * dx + dy * dy)
    return (dx / norm, dy / norm) if norm > 0.0 else (0.0, 0.0)
