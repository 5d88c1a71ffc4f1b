"""How density looks: one set of classes and colours for the map picture and for QGIS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np

SEQUENCE = ("#fde725", "#7ad151", "#22a884", "#2a788e", "#414487")
"""Viridis, light to dark: perceptually even, and told apart by the colour-blind and in grey print."""

NOT_IMAGED_COLOUR = "#b9b5ad"
CRACK_COLOUR = "#e3192c"

DENSITY, WIDTH = "density_m_per_m2", "width_mean_mm"
"""The columns that the styles read."""


@dataclass(frozen=True)
class DensityClass:
    """Densities from `lower` (included) to `upper` (excluded, save in the last), in m/m2."""

    lower: float
    upper: float
    colour: str

    @property
    def label(self) -> str:
        """The class as a legend writes it."""
        return f"{self.lower:.3g} – {self.upper:.3g}"


def density_classes(densities: Sequence[float]) -> list[DensityClass]:
    """Return five equal classes with round limits from 0 to at least the largest density.

    Densities that are null (NaN) are left out; without any, one class up to 1 m/m2 remains.
    """
    known = np.asarray(densities, float)
    known = known[np.isfinite(known)]
    largest = float(known.max()) if known.size and known.max() > 0 else 1.0
    step = _round_up(largest / len(SEQUENCE))
    limits = [step * index for index in range(len(SEQUENCE) + 1)]
    return [
        DensityClass(lower, upper, colour)
        for (lower, upper), colour in zip(pairwise(limits), SEQUENCE, strict=True)
    ]


def colour_of(density: float | None, classes: Sequence[DensityClass]) -> str:
    """Return the colour of a density; null is NOT_IMAGED_COLOUR."""
    if density is None or not math.isfinite(density):
        return NOT_IMAGED_COLOUR
    for item in classes:
        if density < item.upper:
            return item.colour
    return classes[-1].colour


def segment_style(classes: Sequence[DensityClass]) -> str:
    """Return a QGIS style (QML) of segments: a rule for each class, and one for null."""
    rules = [(f'"{DENSITY}" IS NULL', "not imaged", NOT_IMAGED_COLOUR)]
    for item in classes:
        last = item is classes[-1]
        below = "" if last else f' AND "{DENSITY}" < {item.upper:.9g}'
        condition = f'"{DENSITY}" >= {item.lower:.9g}{below}'
        rules.append((condition, f"{item.label} m/m²", item.colour))
    filters = "".join(
        f'<rule key="{{pavemap-{number}}}" symbol="{number}" label="{escape(label)}" '
        f'filter="{escape(condition)}"/>'
        for number, (condition, label, _) in enumerate(rules)
    )
    symbols = "".join(
        _symbol("fill", str(number), "SimpleFill", _fill(colour))
        for number, (_, _, colour) in enumerate(rules)
    )
    return _document(
        f'<renderer-v2 type="RuleRenderer" symbollevels="0"><rules key="{{pavemap}}">{filters}'
        f"</rules><symbols>{symbols}</symbols></renderer-v2>"
    )


def crack_style() -> str:
    """Return a QGIS style (QML) of cracks: red lines."""
    line = {
        "line_color": _rgba(CRACK_COLOUR, 255),
        "line_width": "0.4",
        "line_width_unit": "MM",
        "line_style": "solid",
        "capstyle": "round",
        "joinstyle": "round",
    }
    symbol = _symbol("line", "0", "SimpleLine", line)
    return _document(
        '<renderer-v2 type="singleSymbol" symbollevels="0">'
        f"<symbols>{symbol}</symbols></renderer-v2>"
    )


def _round_up(value: float) -> float:
    """Return the next number that reads well: 1, 1.5, 2, 2.5, 3, 4, ... times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return next(step * power for step in steps if step * power >= value * (1 - 1e-9))


def _fill(colour: str) -> dict[str, str]:
    return {
        "color": _rgba(colour, 150),
        "style": "solid",
        "outline_color": _rgba(colour, 255),
        "outline_style": "solid",
        "outline_width": "0.3",
        "outline_width_unit": "MM",
    }


def _symbol(kind: str, name: str, layer: str, options: dict[str, str]) -> str:
    values = "".join(
        f'<Option type="QString" name="{key}" value="{value}"/>' for key, value in options.items()
    )
    return (
        f'<symbol type="{kind}" name="{name}" alpha="1" clip_to_extent="1" force_rhr="0">'
        f'<layer class="{layer}" enabled="1" pass="0" locked="0">'
        f'<Option type="Map">{values}</Option></layer></symbol>'
    )


def _document(renderer: str) -> str:
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
        f'<qgis version="3.28.0" styleCategories="Symbology">{renderer}</qgis>'
    )


def _rgba(colour: str, alpha: int) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"{red},{green},{blue},{alpha}"
