"""Reads masks: which numbers a file holds, and which of them mean crack."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from pavemap.training.data.image_files import palette_indices
from pavemap.training.data_source import DataSource

Values = NDArray[Any]  # (H, W), whole numbers of 8 or 16 bits, or floats

NAMED_AT_MOST = 12  # values in a message


def values_for(content: bytes, source: DataSource) -> Values | None:
    """The values of a mask by which its source tells crack; None when it can't be decoded.

    Where a source names `crack_values`, a palette's indices count, else how bright its colours are.
    """
    return stored_values(content) if source.crack_values else _brightness(content)


def stored_values(content: bytes) -> Values | None:
    """The values of a mask as its file holds them, a palette's indices as well."""
    indices = palette_indices(content) if content else None
    return _brightness(content) if indices is None else indices


def crack_of(mask: Values, source: DataSource) -> NDArray[np.bool_]:
    """Where a mask (H, W) says crack, by the coding of its source."""
    if source.crack_values:
        return np.isin(mask, source.crack_values)
    crack: NDArray[np.bool_] = mask < 128 if source.inverted else mask >= 128
    return crack


def advice(values: Iterable[float], source: DataSource) -> str:
    """What to do about masks of these stored values in which nothing is crack."""
    held = sorted(set(values))
    more = " and more" if len(held) > NAMED_AT_MOST else ""
    said = ", ".join(f"{value:g}" for value in held[:NAMED_AT_MOST]) + more
    read_as = "below 128" if source.inverted else "of 128 or more"
    if source.crack_values:
        read_as = " or ".join(map(str, source.crack_values))
    return (
        f"{source.label}: no pixel of any mask is crack; the masks hold {said}, and a value {read_as} "
        "was looked for; name those that mean crack in crack_values (--crack-value of import-pairs)"
    )


def _brightness(content: bytes) -> Values | None:
    """Grey values; 16 bits stay 16 bits."""
    if not content:
        return None
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH
    return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
