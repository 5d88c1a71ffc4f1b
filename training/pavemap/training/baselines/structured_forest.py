"""Random structured forests: trees whose leaves hold small crack drawings (Dollar and Zitnick 2013).

A sample is a place in an image, described by integral channels around it and labelled with the 16x16
drawing of the truth there. At every node the drawings are compared anew: which of some random pairs of
their pixels agree, projected on the first principal component, whose sign makes two classes; the split
with the greatest drop of Gini impurity is taken. A leaf keeps its most typical drawing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.training.baselines.choosing import Floats32, Pixels
from pavemap.training.baselines.compiled import compiled

SHRINK = 2  # channels are at half the image's resolution
WINDOW = 16  # cells of a window of 32 pixels
TOKEN_PX = 16
CHANNELS = 13
GRID = 5  # self-similarity compares the cells of a 5x5 grid in the window
PAIRS_COMPARED = 256
LEAST_IN_LEAF = 8
DEEPEST = 40


@dataclass(frozen=True)
class Channels:
    """The channels of one image, (13, h, w) with a border of half a window mirrored around it."""

    fine: Floats32
    coarse: Floats32


@dataclass(frozen=True)
class Tree:
    """A tree as arrays over its nodes."""

    feature: NDArray[np.int64]  # (nodes, 6), rows of the feature table
    threshold: NDArray[np.float32]
    below: NDArray[np.int64]  # child when the feature is less than the threshold; 0 in a leaf
    drawing: NDArray[np.bool_]  # (nodes, 16, 16), empty but in leaves


@dataclass
class _Node:
    """A node while its tree grows; without a split it is a leaf."""

    feature: NDArray[np.int64]
    threshold: float
    drawing: NDArray[np.bool_]
    below: int = 0


def feature_table() -> NDArray[np.int64]:
    """Every feature as (coarse or not, channel, row, column, other row, other column) in a window."""
    half = WINDOW // 2
    channel, row, column = np.indices((CHANNELS, WINDOW, WINDOW)).reshape(3, -1)
    zeros = np.zeros_like(channel)
    plain = np.stack([zeros, channel, row - half, column - half, zeros, zeros], 1)
    at = np.floor((np.arange(GRID) + 0.5) * WINDOW / GRID).astype(np.int64) - half
    cells = np.stack(np.meshgrid(at, at, indexing="ij"), -1).reshape(-1, 2)
    one, other = np.triu_indices(len(cells), 1)
    pairs = np.concatenate([cells[one], cells[other]], 1)
    channel = np.repeat(np.arange(CHANNELS), len(pairs))
    alike = np.concatenate(
        [np.ones((len(channel), 1), np.int64), channel[:, None], np.tile(pairs, (CHANNELS, 1))], 1
    )
    return np.ascontiguousarray(np.concatenate([plain, alike]), np.int64)


def channels_of(pixels: Pixels) -> Channels:
    """The 13 integral channels: LUV, and gradient magnitude with four orientations at two scales."""
    colour = np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels
    size = (pixels.shape[1] // SHRINK, pixels.shape[0] // SHRINK)
    luv = cv2.cvtColor(colour.astype(np.float32) / 255, cv2.COLOR_RGB2LUV) / np.float32(100)
    small = np.asarray(cv2.resize(luv, size, interpolation=cv2.INTER_AREA), np.float32)
    stack = [
        small,
        cv2.resize(_gradients(np.asarray(luv, np.float32)), size, interpolation=cv2.INTER_AREA),
        _gradients(small),
    ]
    joined = np.concatenate(stack, 2)
    border = ((WINDOW // 2, WINDOW // 2), (WINDOW // 2, WINDOW // 2), (0, 0))
    fine, coarse = (
        np.pad(cv2.GaussianBlur(joined, (0, 0), sigma), border, mode="symmetric").transpose(2, 0, 1)
        for sigma in (0.8, 2.0)
    )
    return Channels(np.ascontiguousarray(fine), np.ascontiguousarray(coarse))


def _gradients(image: Floats32) -> Floats32:
    """Magnitude and four orientations (H, W, 5) of the steepest colour's gradient, normalised."""
    across = cv2.Scharr(image, cv2.CV_32F, 1, 0)
    down = cv2.Scharr(image, cv2.CV_32F, 0, 1)
    size = np.hypot(across, down)
    steepest = size.argmax(2)[..., None]
    size, across, down = (np.take_along_axis(a, steepest, 2)[..., 0] for a in (size, across, down))
    size = size / (cv2.GaussianBlur(size, (0, 0), 4.0) + np.float32(0.01))
    angle = np.mod(np.arctan2(down, across), np.pi) * (4 / np.pi)
    bins = [size * (np.minimum(angle.astype(np.int64), 3) == bin_) for bin_ in range(4)]
    return np.asarray(np.stack([size, *bins], 2), np.float32)


def grow(
    channels: Sequence[Channels],
    places: NDArray[np.int64],
    drawings: NDArray[np.bool_],
    *,
    rng: np.random.Generator,
) -> Tree:
    """Grow one tree from samples: places (n, 3) of image, row, column in cells; drawings (n, 16, 16).

    As published, a tree knows a quarter of the features, and a node tries the square root of those.
    """
    table = feature_table()
    table = table[rng.permutation(len(table))[: len(table) // 4]]
    nodes: list[_Node] = []
    waiting: list[tuple[NDArray[np.int64], int, int]] = [(np.arange(len(places)), 0, -1)]
    while waiting:
        inside, depth, parent = waiting.pop()
        if parent >= 0:
            nodes[parent].below = len(nodes)
        agree = _agreement(drawings[inside], rng)
        split = None
        if depth < DEEPEST and len(inside) >= 2 * LEAST_IN_LEAF:
            split = _split(channels, places[inside], agree, table, rng)
        if split is None:
            typical = ((agree - agree.mean(0)) ** 2).sum(1).argmin()
            nodes.append(_Node(np.zeros(6, np.int64), 0.0, drawings[inside[typical]]))
            continue
        feature, threshold, less = split
        # The last one pushed is popped first: it is the next node, the other's number is noted then.
        waiting.append((inside[less], depth + 1, len(nodes)))
        waiting.append((inside[~less], depth + 1, -1))
        nodes.append(_Node(feature, threshold, np.zeros((TOKEN_PX, TOKEN_PX), bool)))
    return Tree(
        feature=np.stack([node.feature for node in nodes]),
        threshold=np.array([node.threshold for node in nodes], np.float32),
        below=np.array([node.below for node in nodes], np.int64),
        drawing=np.stack([node.drawing for node in nodes]),
    )


def leaves(channels: Channels, tree: Tree) -> NDArray[np.int64]:
    """The leaf (h, w), by its node's number, that every cell of an image falls in."""
    return np.asarray(
        _walk(channels.fine, channels.coarse, tree.feature, tree.threshold, tree.below)
    )


def votes(found: NDArray[np.int64], tree: Tree, height: int, width: int) -> Floats32:
    """The drawings of an image's leaves laid over each other: each pixel's mean (H, W)."""
    total = np.zeros((height, width), np.float32)
    number = np.zeros((height, width), np.float32)
    _draw(found, tree.drawing, total, number)
    return np.asarray(total / np.maximum(number, 1), np.float32)


def _split(
    channels: Sequence[Channels],
    places: NDArray[np.int64],
    agree: Floats32,
    table: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], float, NDArray[np.bool_]] | None:
    """The best feature of some, its threshold, and which samples are less; None when none helps."""
    tried = table[rng.choice(len(table), round(np.sqrt(len(table))), replace=False)]
    values = _measured(channels, places, tried)
    index, threshold = best_split(values, _classes(agree, rng), LEAST_IN_LEAF)
    if index < 0:
        return None
    limit = np.float32(threshold)
    return tried[index], float(limit), values[:, index] < limit


def _agreement(drawings: NDArray[np.bool_], rng: np.random.Generator) -> Floats32:
    """Which of some random pairs of pixels agree, (n, pairs) of 0 and 1."""
    flat = drawings.reshape(len(drawings), -1)
    one, other = rng.integers(0, flat.shape[1], (2, PAIRS_COMPARED))
    return np.asarray(flat[:, one] == flat[:, other], np.float32)


def _classes(agree: Floats32, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Two classes of drawings: the sign along the first principal component of their agreement."""
    centred = agree - agree.mean(0)
    some = centred[rng.choice(len(centred), min(256, len(centred)), replace=False)]
    _, vectors = np.linalg.eigh(some.T @ some)
    return np.asarray(centred @ vectors[:, -1] > 0)


def _measured(
    channels: Sequence[Channels], places: NDArray[np.int64], table: NDArray[np.int64]
) -> Floats32:
    values = np.empty((len(places), len(table)), np.float32)
    order = np.argsort(places[:, 0], kind="stable")
    images, starts = np.unique(places[order, 0], return_index=True)
    for image, some in zip(images, np.split(order, starts[1:]), strict=True):
        one = channels[int(image)]
        values[some] = _measure(one.fine, one.coarse, places[some, 1], places[some, 2], table)
    return values


@compiled
def _measure(
    fine: Floats32,
    coarse: Floats32,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    table: NDArray[np.int64],
) -> Any:
    half = WINDOW // 2
    values = np.empty((len(rows), len(table)), np.float32)
    for n in range(len(rows)):
        y, x = rows[n] + half, columns[n] + half
        for f in range(len(table)):
            kind, channel, dy, dx, ey, ex = table[f]
            if kind == 0:
                values[n, f] = fine[channel, y + dy, x + dx]
            else:
                values[n, f] = coarse[channel, y + dy, x + dx] - coarse[channel, y + ey, x + ex]
    return values


@compiled
def best_split(values: Floats32, classes: NDArray[np.bool_], least: int) -> tuple[int, float]:
    """The feature and threshold with the least Gini impurity of two classes; -1 when none helps."""
    count, features = values.shape
    ones = classes.sum()
    best, found, limit = ones * (count - ones) / count - 1e-6, -1, 0.0
    for f in range(features):
        order = np.argsort(values[:, f])
        left = 0
        for n in range(count - 1):
            left += classes[order[n]]
            size = n + 1
            low, high = values[order[n], f], values[order[n + 1], f]
            if size < least or count - size < least or low == high:
                continue
            right = ones - left
            impurity = left * (size - left) / size + right * (count - size - right) / (count - size)
            if impurity < best:
                best, found, limit = impurity, f, float((low + high) / 2)
                if limit <= low:  # their middle may round to the lower one
                    limit = float(high)
    return found, limit


@compiled
def _walk(
    fine: Floats32,
    coarse: Floats32,
    features: NDArray[np.int64],
    threshold: Floats32,
    below: NDArray[np.int64],
) -> Any:
    half = WINDOW // 2
    height, width = fine.shape[1] - 2 * half, fine.shape[2] - 2 * half
    found = np.empty((height, width), np.int64)
    for y in range(height):
        for x in range(width):
            node = 0
            while below[node] > 0:
                kind, channel, dy, dx, ey, ex = features[node]
                v, u = y + half, x + half
                if kind == 0:
                    value = fine[channel, v + dy, u + dx]
                else:
                    value = coarse[channel, v + dy, u + dx] - coarse[channel, v + ey, u + ex]
                node = below[node] if value < threshold[node] else node + 1
            found[y, x] = node
    return found


@compiled
def _draw(
    found: NDArray[np.int64], drawings: NDArray[np.bool_], total: Floats32, number: Floats32
) -> None:
    half = TOKEN_PX // 2
    height, width = total.shape
    for y in range(found.shape[0]):
        for x in range(found.shape[1]):
            drawing = drawings[found[y, x]]
            for i in range(TOKEN_PX):
                for j in range(TOKEN_PX):
                    v, u = 2 * y + i - half, 2 * x + j - half
                    if 0 <= v < height and 0 <= u < width:
                        total[v, u] += drawing[i, j]
                        number[v, u] += 1
