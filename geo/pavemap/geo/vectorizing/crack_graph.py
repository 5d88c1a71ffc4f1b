"""A skeleton as a graph: nodes at its ends and junctions, chains of pixels between them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel


class CrackGraph(NamedTuple):
    """A skeleton as nodes and chains of pixels; a named tuple, since kernels take no dataclass.

    chain: (P,) int64 pixel indices (see `bitmap`), the edges one after the other, each with the pixels
    of both its nodes; successive pixels are neighbours but for where a crossing was made whole.
    offsets: (E + 1,) int64, where each edge starts in `chain`.
    nodes: (E, 2) int64, the nodes at an edge's first and last pixel; -1, -1 for a loop without node.
    radii: (E, 2) float64, the mask's inscribed radius at those two pixels.
    node_count: how many node numbers are in use (not every one need have an edge).
    stride: from a pixel's index to that of the one below.
    """

    chain: NDArray[np.int64]
    offsets: NDArray[np.int64]
    nodes: NDArray[np.int64]
    radii: NDArray[np.float64]
    node_count: int
    stride: int

    @property
    def lengths(self) -> NDArray[np.float64]:
        """(E,) lengths of the edges in pixels."""
        return edge_lengths(self)

    @property
    def degrees(self) -> NDArray[np.int64]:
        """(node_count,) number of edge ends at each node."""
        return node_degrees(self.nodes, self.node_count)


@kernel
def edge_lengths(graph: CrackGraph) -> NDArray[np.float64]:
    """Return (E,) lengths of the edges: 1 for a side step, sqrt(2) for a corner step."""
    chain, stride = graph.chain, graph.stride
    lengths = np.zeros(len(graph.nodes))
    for e in range(len(lengths)):
        for k in range(graph.offsets[e], graph.offsets[e + 1] - 1):
            step = abs(chain[k + 1] - chain[k])
            if step in (1, stride):
                lengths[e] += 1.0
            elif step in (stride - 1, stride + 1):
                lengths[e] += np.sqrt(2.0)
            else:
                dx, dy = pixel_offset(chain[k], chain[k + 1], stride)
                lengths[e] += np.sqrt(dx * dx + dy * dy)
    return lengths


@kernel
def node_degrees(nodes: NDArray[np.int64], node_count: int) -> NDArray[np.int64]:
    """Return (node_count,) the number of edge ends at each node."""
    degrees = np.zeros(node_count, np.int64)
    for node in nodes.reshape(-1):
        if node >= 0:
            degrees[node] += 1
    return degrees


@kernel
def pixel_offset(start: int, stop: int, stride: int) -> tuple[float, float]:
    """Return the columns and rows from one pixel to another."""
    return float(stop % stride - start % stride), float(stop // stride - start // stride)
