"""A batch of chips of any shapes through a network that takes stacks of one shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from pavemap.geo.errors import BadInput

Chips = NDArray[np.uint8]
Predict = Callable[[Chips], Chips]
"""(N, H, W, 3) uint8 to (N, H, W) uint8, 255 = certain."""


def check_chip(chip: Chips) -> None:
    """Raise BadInput unless a chip is (H, W, 3) uint8 with at least one pixel."""
    if chip.dtype != np.uint8 or chip.ndim != 3 or chip.shape[2] != 3 or not chip.size:
        raise BadInput(
            f"a chip is (height, width, 3) of 8-bit RGB; this one is {chip.shape} {chip.dtype}"
        )


def predict_batch(predict: Predict, chips: Sequence[Chips]) -> list[Chips | Exception]:
    """Return each chip's probability map (H, W), or the error that this chip alone causes.

    Chips of one shape go through as one stack. Where a stack fails its chips go one by one, so that
    one bad chip costs its neighbours in the batch nothing but time.
    """
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, chip in enumerate(chips):
        by_shape[chip.shape].append(index)
    results: list[Chips | Exception] = [RuntimeError("not predicted")] * len(chips)
    for members in by_shape.values():
        for index, result in zip(
            members, _predict_stack(predict, [chips[i] for i in members]), strict=True
        ):
            results[index] = result
    return results


def _predict_stack(predict: Predict, chips: list[Chips]) -> Sequence[Chips | Exception]:
    try:
        return list(predict(chips[0][None] if len(chips) == 1 else np.stack(chips)))
    except Exception as exc:
        if len(chips) == 1:
            return [exc]
    return [result for chip in chips for result in _predict_stack(predict, [chip])]
