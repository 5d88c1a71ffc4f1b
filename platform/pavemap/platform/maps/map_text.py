"""The writing on a map: in fonts that have its characters, cut short where it would leave the paper."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

FONT = "DejaVu Sans"
"""Comes with matplotlib."""
FURTHER_FONTS = (
    *("Noto Sans CJK JP", "Noto Sans JP", "Noto Sans SC", "Noto Sans TC", "Noto Sans KR"),
    *("Noto Sans Thai", "Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "IPAGothic", "NanumGothic"),
    *("Yu Gothic", "Microsoft YaHei", "Malgun Gothic", "Leelawadee UI", "Nirmala UI"),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS"),
)
"""Where that lacks a character, the first of these that has it: Linux's, Windows' and macOS'."""


def fonts() -> list[str]:
    """Return the families to write in, as far as they are installed."""
    from matplotlib.font_manager import findSystemFonts, fontManager

    noted = {entry.fname for entry in fontManager.ttflist}
    for file in set(findSystemFonts()) - noted:  # installed since matplotlib looked
        with suppress(OSError, RuntimeError):  # it can't be read
            fontManager.addfont(file)
    names = {entry.name for entry in fontManager.ttflist}
    return [FONT, *(name for name in FURTHER_FONTS if name in names)]


def lacking(texts: Iterable[str], families: Sequence[str]) -> str:
    """Return the characters of texts that no family has."""
    from matplotlib.font_manager import findfont, get_font

    known = {code for family in families for code in get_font(findfont(family)).get_charmap()}
    used = {char for text in texts for char in text if char.isprintable()}
    return "".join(sorted(char for char in used if ord(char) not in known))


def fitted(figure: Any, text: str, *, room_px: float, tail: str = "", **style: Any) -> str:
    """Return a text and its tail, of the text as much as there is room for, with … for the rest."""

    def written(kept: int) -> str:
        return text + tail if kept == len(text) else f"{text[:kept].rstrip()}…{tail}"

    def width_px(kept: int) -> float:
        trial.set_text(written(kept))
        return float(trial.get_window_extent().width)

    trial = figure.text(0.0, 0.0, "", **style)
    fits = bisect_right(range(len(text) + 1), room_px, key=width_px)
    trial.remove()
    return written(max(fits - 1, 0))
