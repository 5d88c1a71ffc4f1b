"""The paper's network with its zero padding, exactly, for a whole image at once.

Zeros beyond a patch's border make a feature depend on its place in the patch. But not on much: in
each direction only the first and last rows of every map differ, and they differ the same way for
every patch. So instead of one map per layer there are a few, one for each pair of (row class,
column class), and a class is fully told by the classes of the three rows that its convolution
reads, a row beyond the border being none at all:

    convolution 1, rows 0..26:  first | middle | last                            3 classes
    convolution 2, rows 0..25:  0 | 1 | middle | 25                              4
    pooling 1,     rows 0..12:  first | middle | last                            3
    convolution 3, rows 0..12:  0 | 1 | middle | 11 | 12                         5
    convolution 4, rows 0..11:  0 | 1 | 2 | middle | 10 | 11                     6
    pooling 2,     rows 0..5:   0 | 1 | middle (2, 3, 4) | 5                     4

(row 26 of convolution 2 and row 12 of convolution 4 are read by nothing: 27 -> 13 -> 6). FC1 then
takes each of its 6x6 inputs from the map of that position's class. This is exact and several times
faster than patch by patch, but many times slower than the context form, whose maps have one class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional

Maps = Mapping[tuple[int, int], Tensor]  # by (row class, column class)
Reads = Sequence[
    int | None
]  # the class that each row of a window belongs to; None is beyond the patch

CONVOLUTION_1: Sequence[Reads] = ((None, 0, 0), (0, 0, 0), (0, 0, None))
CONVOLUTION_2: Sequence[Reads] = ((None, 0, 1), (0, 1, 1), (1, 1, 1), (1, 1, 2))
POOLING_1: Sequence[Reads] = ((0, 1), (2, 2), (2, 3))
CONVOLUTION_3: Sequence[Reads] = ((None, 0, 1), (0, 1, 1), (1, 1, 1), (1, 1, 2), (1, 2, None))
CONVOLUTION_4: Sequence[Reads] = (
    (None, 0, 1), (0, 1, 2), (1, 2, 2), (2, 2, 2), (2, 2, 3), (2, 3, 4),
)  # fmt: skip
POOLING_2: Sequence[Reads] = ((0, 1), (2, 3), (3, 3), (4, 5))
FC1: Reads = (0, 1, 2, 2, 2, 3)


def convolve(maps: Maps, layer: nn.Conv2d, reads: Sequence[Reads]) -> Maps:
    """A 3x3 convolution with ReLU of maps by class; every map shrinks by one pixel on each side."""
    return {
        (row_class, column_class): torch.relu_(
            gather(maps, layer.weight, rows, columns) + _column(layer.bias)
        )
        for row_class, rows in enumerate(reads)
        for column_class, columns in enumerate(reads)
    }


def pool(maps: Maps, reads: Sequence[Reads], *, top: int = 0, left: int = 0) -> Maps:
    """The maximum of 2x2 pixels, each from the map of its own class, starting at (top, left)."""
    found: dict[tuple[int, int], Tensor] = {}
    for row_class, rows in enumerate(reads):
        for column_class, columns in enumerate(reads):
            corners = [
                maps[row, column][:, :, top + i :: 2, left + j :: 2]
                for i, row in enumerate(rows)
                for j, column in enumerate(columns)
                if row is not None and column is not None
            ]
            height = min(corner.shape[2] for corner in corners)
            width = min(corner.shape[3] for corner in corners)
            most = corners[0][:, :, :height, :width]
            for corner in corners[1:]:
                most = torch.maximum(most, corner[:, :, :height, :width])
            found[row_class, column_class] = most
    return found


def first_layer(maps: Maps, layer: nn.Linear) -> Tensor:
    """FC1 with ReLU over 6x6 positions, each from the map of its class: (N, 64, rows, columns)."""
    kernel = layer.weight.reshape(layer.out_features, -1, 6, 6)
    return torch.relu_(gather(maps, kernel, FC1, FC1) + _column(layer.bias))


def gather(maps: Maps, kernel: Tensor, rows: Reads, columns: Reads) -> Tensor:
    """A convolution whose tap (i, j) reads the map of class (rows[i], columns[j]), or nothing.

    Taps of one class are neighbours, so each class takes one rectangle of the kernel.
    """
    side = kernel.shape[2]
    total: Tensor | None = None
    for row_class, top, bottom in _runs(rows):
        for column_class, left, right in _runs(columns):
            source = maps[row_class, column_class]
            height, width = source.shape[2] - side + 1, source.shape[3] - side + 1
            part = functional.conv2d(
                source[:, :, top : bottom + height - 1, left : right + width - 1],
                kernel[:, :, top:bottom, left:right],
            )
            total = part if total is None else total.add_(part)
    assert total is not None
    return total


def _runs(reads: Reads) -> Iterator[tuple[int, int, int]]:
    """The classes read with their first tap and the one after their last."""
    start = 0
    for one, group in groupby(reads):
        length = len(list(group))
        if one is not None:
            yield one, start, start + length
        start += length


def _column(bias: Tensor | None) -> Tensor:
    assert bias is not None
    return bias[:, None, None]
