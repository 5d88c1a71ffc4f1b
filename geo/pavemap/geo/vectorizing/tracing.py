"""From a skeleton to its graph: its pixels are followed from node to node.

Pixels are linked by m-adjacency: side neighbours always, corner neighbours only where no shared side
neighbour links them already. So a staircase is a chain and not a row of tiny triangles. A pixel with
two links is inside a chain; one with another number of links is a node.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.compiled import kernel
from pavemap.geo.vectorizing.bitmap import clear, is_set, neighbours, put
from pavemap.geo.vectorizing.crack_graph import CrackGraph
from pavemap.geo.vectorizing.skeleton import Skeleton
from pavemap.geo.vectorizing.widths import inscribed_radii


def trace(skeleton: Skeleton) -> CrackGraph:
    """Follow a skeleton's pixels from node to node; lone pixels have no line and are left out."""
    lines = skeleton.lines
    chain, offsets, nodes, node_pixels = _trace(
        lines.words, lines.stride, lines.steps(), skeleton.pixels, _LINKS
    )
    radii = np.zeros(nodes.shape)
    if len(node_pixels):
        at_nodes = inscribed_radii(skeleton.mask, node_pixels)
        np.copyto(radii, at_nodes[nodes], where=nodes >= 0)
    return CrackGraph(chain, offsets, nodes, radii, len(node_pixels), lines.stride)


def _links() -> NDArray[np.uint8]:
    """For each neighbourhood code, the neighbours that the centre is linked to (m-adjacency)."""
    table = np.zeros(256, np.uint8)
    for code in range(256):
        for bit in range(8):
            beside = code >> (bit - 1) % 8 & 1 or code >> (bit + 1) % 8 & 1
            if code >> bit & 1 and (bit % 2 == 0 or not beside):
                table[code] |= 1 << bit
    return table


_LINKS = _links()


@kernel
def _bit_count(value: int) -> int:
    count = 0
    while value:
        value &= value - 1
        count += 1
    return count


@kernel
def _trace(
    words: NDArray[np.uint64],
    stride: int,
    steps: NDArray[np.int64],
    pixels: NDArray[np.int64],
    table: NDArray[np.uint8],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return chain pixels, offsets, the two node numbers of each chain, the pixel of each node."""
    node_at, left = np.zeros_like(words), words.copy()  # left: in no chain yet
    links = np.empty(len(pixels), np.uint8)
    degrees = np.empty(len(pixels), np.uint8)
    node_count = ends = 0
    for k in range(len(pixels)):
        links[k] = table[neighbours(words, stride, pixels[k])]
        degrees[k] = _bit_count(links[k])
        if degrees[k] != 2:
            put(node_at, pixels[k])
            clear(left, pixels[k])
            node_count += 1
            ends += degrees[k]
    nodes, todo = pixels[degrees != 2], links[degrees != 2]
    loops = len(pixels) // 4 + 1
    chain = np.empty(len(pixels) + ends + loops, np.int64)
    offsets = np.zeros(ends // 2 + loops + 1, np.int64)
    at = np.full((ends // 2 + loops, 2), -1, np.int64)
    edges = size = 0
    for n in range(node_count):
        for bit in range(8):
            if todo[n] >> bit & 1:
                todo[n] &= ~(1 << bit)
                size, back = _follow(
                    words, stride, steps, table, node_at, left, nodes[n], bit, chain, size
                )
                m = np.searchsorted(nodes, chain[size - 1])
                todo[m] &= ~(1 << back)
                at[edges, 0], at[edges, 1] = n, m
                edges += 1
                offsets[edges] = size
    for k in range(len(pixels)):
        if is_set(left, pixels[k]):  # it belongs to a loop without node
            bit = 0
            while not links[k] >> bit & 1:
                bit += 1
            size, _ = _follow(
                words, stride, steps, table, node_at, left, pixels[k], bit, chain, size
            )
            edges += 1
            offsets[edges] = size
    return chain[:size].copy(), offsets[: edges + 1].copy(), at[:edges].copy(), nodes


@kernel
def _follow(
    words: NDArray[np.uint64],
    stride: int,
    steps: NDArray[np.int64],
    table: NDArray[np.uint8],
    node_at: NDArray[np.uint64],
    left: NDArray[np.uint64],
    start: int,
    bit: int,
    chain: NDArray[np.int64],
    size: int,
) -> tuple[int, int]:
    """Walk from a pixel by one link to the next node, or around to the start.

    Returns the new size of `chain` and the link by which the last pixel was reached.
    """
    chain[size] = start
    size += 1
    pixel = start
    while True:
        pixel += steps[bit]
        back = (bit + 4) % 8
        chain[size] = pixel
        size += 1
        clear(left, pixel)
        if pixel == start or is_set(node_at, pixel):
            return size, back
        links = table[neighbours(words, stride, pixel)] & ~(1 << back)
        bit = 0
        while not links >> bit & 1:
            bit += 1
