"""What is written on a map fits it, in fonts that are installed."""

from __future__ import annotations

from typing import Any

import pytest
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager

from pavemap.platform.maps import map_text
from pavemap.platform.maps.map_text import FONT, fitted, fonts, lacking

HOOKED_D = "\u1d81"
"""Is in STIXGeneral, which comes with matplotlib, and not in DejaVu Sans."""


@pytest.mark.parametrize("room_px", [150.0, 200.0, 300.0])
def test_a_name_is_cut_short_and_what_follows_it_is_not(room_px: float) -> None:
    figure = Figure(dpi=100)
    FigureCanvasAgg(figure)
    style: dict[str, Any] = {"fontsize": 10}
    name = "Bundesautobahn A 100 Berliner Stadtring zwischen zwei Kreuzen"
    shown = fitted(figure, name, room_px=room_px, tail=", 0–100 m", **style)
    assert not figure.texts
    kept, _, tail = shown.partition("…")
    assert name.startswith(kept)
    assert tail == ", 0–100 m"
    width = figure.text(0, 0, shown, **style).get_window_extent().width
    assert room_px - 20.0 < width <= room_px
    assert fitted(figure, "Lane", room_px=room_px, tail=", 0–9 m", **style) == "Lane, 0–9 m"
    assert fitted(figure, "", room_px=room_px) == ""


def test_only_installed_fonts_are_written_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_text, "FURTHER_FONTS", ("No Such Font", "STIXGeneral"))
    assert fonts() == [FONT, "STIXGeneral"]
    assert lacking(["Main Street\n", f"a{HOOKED_D}"], [FONT]) == HOOKED_D
    assert lacking([HOOKED_D], fonts()) == ""


def test_a_font_is_found_though_it_was_installed_after_matplotlib_looked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = findfont("STIXGeneral")
    before = [entry for entry in fontManager.ttflist if entry.name != "STIXGeneral"]
    monkeypatch.setattr(fontManager, "ttflist", before)
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [file, __file__])
    monkeypatch.setattr(map_text, "FURTHER_FONTS", ("STIXGeneral",))
    assert fonts() == [FONT, "STIXGeneral"]
