"""The paper's other systems by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pavemap.training.baselines import canny, crackforest, ffa, local_threshold, mps
from pavemap.training.baselines.choosing import Fitted
from pavemap.training.data.datasets import LabelledImage

Fit = Callable[[Sequence[LabelledImage]], Fitted]

SYSTEMS: Mapping[str, Fit] = {
    "canny": canny.METHOD.fit,
    "local-threshold": local_threshold.METHOD.fit,
    "crackforest": crackforest.fit,
    "ffa": ffa.METHOD.fit,
    "mps": mps.METHOD.fit,
}
