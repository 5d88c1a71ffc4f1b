"""Reads the cells of a road table as agencies and OpenStreetMap write them: text, lengths, counts.

A cell may be a number, `7.5 m`, `24 ft`, `24'6"`, a decimal comma, several values (`2;3`, a list, or the
text of a list as OSMnx writes it), or anything else; nothing here raises on a strange cell.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pavemap.geo.roads.length_units import METRES, LengthUnit

_SPELLINGS = {
    **dict.fromkeys(("metre", "metres", "meter", "meters"), "m"),
    **dict.fromkeys(("foot", "feet", "'"), "ft"),
    **dict.fromkeys(("mile", "miles"), "mi"),
}
_QUANTITY = re.compile(
    r"([-+]?\d+(?:[.,]\d+)?)\s*([a-z][a-z-]*|')?(?:\s*(\d+(?:[.,]\d+)?)\s*\")?", re.I
)
_GROUPED = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}(?!\d).*")
_DECIMAL_COMMA = re.compile(r"\d{4},|,\d{1,2}(?!\d)|,\d{4}|\b0,\d")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
MAX_TEXT = 200


@dataclass(frozen=True)
class Quantities:
    """(N,) values, NaN where there is none, and masks of the cells that were no plain number."""

    values: NDArray[np.float64]
    unreadable: NDArray[np.bool_]
    several: NDArray[np.bool_]


def read_lengths(cells: pd.Series, *, unit: LengthUnit) -> Quantities:
    """Read cells as lengths in metres; `unit` is meant where a cell names none."""
    return _read(cells, METRES[unit])


def read_measures(cells: pd.Series, *, unit: LengthUnit) -> Quantities:
    """Read cells as measures along a road, in metres.

    1,200 m may be a thousand or one, and is neither; but where other commas of the column can only be
    decimal ones, or measures are in kilometres or miles, it is decimal as well.
    """
    read, texts = read_lengths(cells, unit=unit), [_clean(cell) for cell in _plain(cells)]
    if unit in {"km", "mi"} or any(_DECIMAL_COMMA.search(text) for text in texts):
        return read
    grouped = np.array([bool(_GROUPED.fullmatch(text)) for text in texts], bool)
    return replace(
        read,
        values=np.where(grouped, math.nan, read.values),
        unreadable=read.unreadable | grouped,
        several=read.several & ~grouped,
    )


def read_counts(cells: pd.Series) -> Quantities:
    """Read cells as plain numbers, such as counts of lanes; a unit makes a cell unreadable."""
    return _read(cells, None)


def read_texts(cells: pd.Series) -> list[str]:
    """Read cells as one line of text each, '' where there is none; several values join with '; '."""
    codes, uniques = pd.factorize(_plain(cells))
    texts = [_clean(cell) for cell in uniques]
    return [texts[code] if code >= 0 else "" for code in codes]


def read_flags(cells: pd.Series) -> Quantities:
    """Read cells as yes (1), no (0) or, of a one-way road, against its line (-1).

    Booleans, numbers, OpenStreetMap's words, and the letters F, T, B (forward, backward, both) of
    Geofabrik's extracts, which are taken so where the field has a B. A flag with several values is a
    yes where all of them are.
    """
    codes, uniques = pd.factorize(_plain(cells))
    words = [{part.lower() for part in _words(cell)} for cell in uniques]
    known = _DIRECTIONS if {"b"} in words else _FLAGS
    parsed = [_flag(each, known) for each in words]
    values = np.array([*parsed, math.nan])[codes]
    several = np.array([len(each) > 1 for each in words] + [False])[codes]
    blank = np.array([not each for each in words] + [True])[codes]
    return Quantities(values, np.isnan(values) & ~blank, several & ~np.isnan(values))


_FLAGS = {
    **dict.fromkeys(("yes", "true", "1", "t", "y"), 1.0),
    **dict.fromkeys(("no", "false", "0", "f", "n", "reversible", "alternating"), 0.0),
    **dict.fromkeys(("-1", "reverse"), -1.0),
}
_DIRECTIONS = {**_FLAGS, "f": 1.0, "t": -1.0, "b": 0.0}


def _flag(words: set[str], known: dict[str, float]) -> float:
    values = {known.get(word, math.nan) for word in words}
    if len(values) == 1:
        return values.pop()
    return 0.0 if values and not any(map(math.isnan, values)) else math.nan


def _words(cell: object) -> list[str]:
    if isinstance(cell, float) and not math.isfinite(cell):
        return []
    if isinstance(cell, bool | int | float):
        return [str(int(cell))] if cell == int(cell) else [str(cell)]
    return _parts(cell)


def _read(cells: pd.Series, metres: float | None) -> Quantities:
    """Parse each distinct cell once; several values in one cell count as their mean."""
    codes, uniques = pd.factorize(_plain(cells))
    parsed = [_parse(cell, metres) for cell in uniques]
    values = np.array([value for value, _ in parsed] + [math.nan])[codes]
    several = np.array([many for _, many in parsed] + [False])[codes]
    blank = np.array([not _clean(cell) for cell in uniques] + [True])[codes]
    return Quantities(values, np.isnan(values) & ~blank, several & ~np.isnan(values))


def _plain(cells: pd.Series) -> pd.Series:
    """Make every cell hashable: lists become tuples, numbers and texts stay, the rest its text."""

    def plain(cell: object) -> object:
        if isinstance(cell, str | int | float) or cell is None:
            return cell
        if isinstance(cell, np.generic):
            return cell.item()
        if isinstance(cell, list | tuple | np.ndarray):
            return tuple(_clean(part) for part in cell)
        return None if cell is pd.NA or cell is pd.NaT else str(cell)

    return pd.Series([plain(cell) for cell in cells], dtype=object)


def _parse(cell: object, metres: float | None) -> tuple[float, bool]:
    """Return (value or NaN, whether there were several)."""
    if isinstance(cell, bool):
        return math.nan, False
    if isinstance(cell, int | float):
        return _finite(cell) * (metres or 1.0), False
    values = [_parse_one(part, metres) for part in _parts(cell)]
    return (sum(values) / len(values) if values else math.nan), len(values) > 1


def _parse_one(text: str, metres: float | None) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return math.nan
    number, unit, inches = match.groups()
    value = _finite(number.replace(",", "."))
    if unit is None and inches is None:
        return value * (metres or 1.0)
    factor = METRES.get(_SPELLINGS.get((unit or "").lower(), (unit or "").lower()))
    if metres is None or factor is None or (inches is not None and unit != "'"):
        return math.nan
    return value * factor + _finite((inches or "0").replace(",", ".")) * METRES["ft"] / 12.0


def _parts(cell: object) -> list[str]:
    """Split a cell of several values; within brackets quotes are quotes, elsewhere they are feet."""
    if isinstance(cell, tuple):
        return [part for part in cell if part]
    text = _clean(cell)
    if text.startswith("[") and text.endswith("]"):
        return [part.strip(" '\"") for part in text[1:-1].split(",") if part.strip(" '\"")]
    return [part.strip() for part in text.split(";") if part.strip()]


def _clean(cell: object) -> str:
    """Return text that PostgreSQL and JSON take: no control characters, no lone surrogates, bounded."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, tuple):
        cell = _joined(cell)
    text = str(cell)[: 4 * MAX_TEXT]
    if text.startswith("['") and text.endswith("']"):
        text = _joined(re.findall(r"'([^']*)'", text))
    text = _CONTROL.sub(" ", text).encode("utf-8", "replace").decode("utf-8")
    return text.strip()[:MAX_TEXT]


def _joined(parts: Iterable[str]) -> str:
    return "; ".join(part for part in parts if part)


def _finite(value: float | str) -> float:
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan
