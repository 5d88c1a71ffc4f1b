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

DENSITY, WIDTH, PCI = "density_m_per_m2", "width_mean_mm", "pci_cracking"
"""The columns that the styles read."""


PCI_CLASSES = (
    (85.0, "good", "#1a9641"),
    (70.0, "satisfactory", "#8acc62"),
    (55.0, "fair", "#dcf09e"),
    (40.0, "poor", "#ffdf9a"),
    (25.0, "very poor", "#f69053"),
    (10.0, "serious", "#d7191c"),
)
"""Above what, name (ASTM D6433, figure 2) and colour: green to red, but light in the middle."""
FAILED_UP_TO, FAILED_COLOUR = 10.0, "#7f1d1d"

CHANGE_COLOURS = {"new": "#e3192c", "grown": "#f28e2b", "gone": "#2f7ed8", "unchanged": "#77736c"}


VERDICT_COLOURS = {"confirmed": "#1a9641", "rejected": "#77736c", "drawn": "#2f7ed8"}


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
    return _fill_rules([*rules, NOT_CONFIDENT])


def pci_style() -> str:
    """Return a QGIS style (QML) of segments by their cracking-only PCI."""
    rules = [(f'"{PCI}" IS NULL', "not imaged", NOT_IMAGED_COLOUR)]
    up_to = ""
    for limit, name, colour in PCI_CLASSES:
        rules.append((f'"{PCI}" > {limit:g}{up_to}', f"{name} (above {limit:g})", colour))
        up_to = f' AND "{PCI}" <= {limit:g}'
    failed = f'"{PCI}" <= {FAILED_UP_TO:g}', f"failed (up to {FAILED_UP_TO:g})", FAILED_COLOUR
    return _fill_rules([*rules, failed, NOT_CONFIDENT])


def change_style() -> str:
    """Return a QGIS style (QML) of segments by whether their density changed significantly."""
    change = '"density_change_m_per_m2"'
    return _fill_rules(
        [
            (f"{change} IS NULL", "not compared", NOT_IMAGED_COLOUR),
            (f'"significant" AND {change} > 0', "worse", CHANGE_COLOURS["new"]),
            (f'"significant" AND {change} < 0', "better", CHANGE_COLOURS["gone"]),
            (f'NOT "significant" AND {change} IS NOT NULL', "no significant change", "#e8e4da"),
        ]
    )


def crack_change_style() -> str:
    """Return a QGIS style (QML) of cracks by what became of them."""
    rules = [(f"\"kind\" = '{kind}'", kind, colour) for kind, colour in CHANGE_COLOURS.items()]
    symbols = [
        _symbol("line", str(number), "SimpleLine", _line(colour))
        for number, (_, _, colour) in enumerate(rules)
    ]
    return _rule_document(rules, symbols)


def review_style() -> str:
    """Return a QGIS style (QML) of cracks by verdict, with a list in the form to choose one from."""
    rules = [
        (f"\"verdict\" = '{verdict}'", verdict, colour)
        for verdict, colour in VERDICT_COLOURS.items()
    ]
    rules.append(('"verdict" IS NULL OR "verdict" = \'\'', "to judge", CRACK_COLOUR))
    symbols = [
        _symbol("line", str(number), "SimpleLine", _line(colour))
        for number, (_, _, colour) in enumerate(rules)
    ]
    choices = "".join(
        f'<Option type="Map"><Option type="QString" name="{escape(label)}" value="{escape(value)}"/>'
        "</Option>"
        for label, value in [("", ""), *((verdict, verdict) for verdict in VERDICT_COLOURS)]
    )
    return _rule_document(
        rules,
        symbols,
        form='<fieldConfiguration><field name="verdict"><editWidget type="ValueMap"><config>'
        f'<Option type="Map"><Option type="List" name="map">{choices}</Option></Option>'
        "</config></editWidget></field></fieldConfiguration>",
    )


def area_style() -> str:
    """Return a QGIS style (QML) of reviewed areas: an outline, so that the imagery is seen."""
    outline = {**_fill(VERDICT_COLOURS["drawn"]), "style": "no"}
    symbol = _symbol("fill", "0", "SimpleFill", outline)
    return _document(
        '<renderer-v2 type="singleSymbol" symbollevels="0">'
        f"<symbols>{symbol}</symbols></renderer-v2>"
    )


NOT_CONFIDENT = (
    f'NOT "confident" AND "{DENSITY}" IS NOT NULL',
    "rests on too little coverage",
    NOT_IMAGED_COLOUR,
)
"""Hatched over the class, so the last rule: its colour is not to be trusted."""


def _fill_rules(rules: Sequence[tuple[str, str, str]]) -> str:
    symbols = [
        _symbol("fill", str(number), "SimpleFill", _fill(colour, trusted=rule != NOT_CONFIDENT))
        for number, rule in enumerate(rules)
        for colour in rule[2:]
    ]
    return _rule_document(rules, symbols)


def _rule_document(
    rules: Sequence[tuple[str, str, str]], symbols: Sequence[str], *, form: str = ""
) -> str:
    filters = "".join(
        f'<rule key="{{pavemap-{number}}}" symbol="{number}" label="{escape(label)}" '
        f'filter="{escape(condition)}"/>'
        for number, (condition, label, _) in enumerate(rules)
    )
    return _document(
        f'<renderer-v2 type="RuleRenderer" symbollevels="0"><rules key="{{pavemap}}">{filters}'
        f"</rules><symbols>{''.join(symbols)}</symbols></renderer-v2>",
        form=form,
    )


def crack_style() -> str:
    """Return a QGIS style (QML) of cracks: red lines."""
    symbol = _symbol("line", "0", "SimpleLine", _line(CRACK_COLOUR))
    return _document(
        '<renderer-v2 type="singleSymbol" symbollevels="0">'
        f"<symbols>{symbol}</symbols></renderer-v2>"
    )


def _round_up(value: float) -> float:
    """Return the next number that reads well: 1, 1.5, 2, 2.5, 3, 4, ... times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
    return next(step * power for step in steps if step * power >= value * (1 - 1e-9))


def _line(colour: str) -> dict[str, str]:
    return {
        "line_color": _rgba(colour, 255),
        "line_width": "0.4",
        "line_width_unit": "MM",
        "line_style": "solid",
        "capstyle": "round",
        "joinstyle": "round",
    }


def _fill(colour: str, *, trusted: bool = True) -> dict[str, str]:
    return {
        "color": _rgba(colour, 150),
        "style": "solid" if trusted else "b_diagonal",
        "outline_color": _rgba(colour, 255),
        "outline_style": "solid" if trusted else "dash",
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


def _document(renderer: str, *, form: str = "") -> str:
    parts = "Symbology|Forms" if form else "Symbology"
    return (
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>"
        f'<qgis version="3.28.0" styleCategories="{parts}">{renderer}{form}</qgis>'
    )


def _rgba(colour: str, alpha: int) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"{red},{green},{blue},{alpha}"
