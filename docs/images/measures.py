"""Draws docs/images/measures.png, the worked example of the measures: `python docs/images/measures.py`."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import shapely
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from pavemap.geo.measures import segment_measures
from pavemap.geo.measures.classified_cracks import ClassifiedCracks
from pavemap.geo.measures.cracking_percent import cracked_length_m
from pavemap.geo.measures.pci import CORRECTION_CURVES, corrected_deduct, deduct_value
from pavemap.geo.measures.segment_measures import Measured
from pavemap.geo.roads.lanes import lanes_of, zones_of

RED, BLUE, AMBER, INK, GREY = "#d62828", "#1d4ed8", "#f59e0b", "#111827", "#9ca3af"
LABELS = {"A": (8.5, -0.72), "B": (20.75, -2.9), "C": (27.2, 1.25), "D": (16.1, 2.55)}


def crack(points: list[tuple[float, float]], width_mm: float) -> shapely.LineString:
    """Draw a crack of one width."""
    return shapely.LineString([(x, y, width_mm) for x, y in points])


def scene() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the cracks A to D and their road."""
    x, y = [15.1 + 0.2 * i for i in range(5)], [2.3 + 0.2 * j for j in range(4)]
    flat = [crack([(a, b), (c, b)], 4.0) for a, c in pairwise(x) for b in y]
    up = [crack([(a, b), (a, c)], 4.0) for a in x for b, c in pairwise(y)]
    lines = [
        crack([(5, -1), (12, -1)], 5.0),
        crack([(20.5, -3.4), (20.5, 0.1)], 12.0),
        crack([(25.5, 1), (28.5, 2.5)], 20.0),
        *flat,
        *up,
    ]
    pieces = pd.DataFrame({"segment_id": "a", "crack_id": range(len(lines)), "geometry": lines})
    road = {
        "line": shapely.LineString([(0, 0), (30, 0)]),
        "pavement": shapely.box(0, -3.5, 30, 3.5),
    }
    fields = {"segment_id": "a", "width_m": 7.0, "lanes": 2, "oneway": False}
    return pieces, pd.DataFrame([{**road, **fields}])


def draw_road(axes: Axes, seen: Measured) -> None:
    """Draw edges, the middle and the cracks, widths ten times as wide."""
    for y in (-3.5, 3.5):
        axes.axhline(y, color=INK, lw=1.2)
    axes.axhline(0, color=INK, lw=1, ls=(0, (12, 8)))
    for line in seen.cracks.pieces.lines:
        points = shapely.get_coordinates(line, include_z=True)
        axes.plot(
            points[:, 0], points[:, 1], color=RED, lw=0.6 + points[0, 2] / 8, solid_capstyle="butt"
        )
    for name, (x, y) in LABELS.items():
        axes.text(x, y, name, color=RED, weight="bold", fontsize=10)
    axes.set(xlim=(0, 30), ylim=(-3.7, 3.7), yticks=[-3.5, 0, 3.5], aspect="equal")


def draw_zones(axes: Axes, seen: Measured) -> None:
    """Draw the zones, and the parts of wheel paths beside which there is a crack."""
    for lane in lanes_of(7.0, lanes=2):
        for zone in zones_of(lane):
            path = zone.name.startswith("wheel-path")
            axes.axhspan(zone.right_m, zone.left_m, color=BLUE, alpha=0.13 if path else 0.03, lw=0)
            axes.text(
                0.2,
                (zone.left_m + zone.right_m) / 2,
                zone.name,
                fontsize=6,
                va="center",
                color=BLUE,
            )
    wheel = seen.zone >= 0
    frames = seen.cracks.frames
    cracked = cracked_length_m(seen.bits, zone=seen.zone, zones=seen.zones, frames=frames)
    for strip in np.flatnonzero(cracked):
        inside = wheel & (seen.zone == strip)
        low, high = seen.bits.station[inside].min(axis=1), seen.bits.station[inside].max(axis=1)
        for start, stop in zip(low, high, strict=True):
            axes.fill_between(
                [start, stop], seen.zones.right[strip], seen.zones.left[strip], color=AMBER, lw=0
            )
    total = cracked.sum()
    axes.set_title(
        f"Zones (R 85) and cracked wheel paths: {total:.2f} m x 1.0 m of 210 m2",
        loc="left",
        fontsize=10,
    )


def draw_cells(axes: Axes, seen: Measured) -> None:
    """Draw the raster of the ZEB, touched cells filled."""
    strips, cells = seen.cells.strip, seen.cells
    layout_right = -3.5 + np.arange(6) * 3.5 / 3
    for row, strip, touched in zip(cells.row, strips, cells.touched, strict=True):
        axes.add_patch(
            Rectangle(
                (row, layout_right[strip]),
                1.0,
                3.5 / 3,
                facecolor=AMBER if touched else "none",
                edgecolor=GREY,
                lw=0.5,
            )
        )
    axes.set_title(
        f"Raster (ZTV ZEB-StB): {cells.touched.sum()} of {cells.evaluated.sum()} cells touched",
        loc="left",
        fontsize=10,
    )


def draw_deducts(axes: Axes) -> None:
    """Draw the deduct curves that the example meets, and its three deducts."""
    density = np.geomspace(0.1, 30, 200)
    shown = (
        ("alligator", "medium", 0.48 / 2.1, RED),
        ("longitudinal_transverse", "medium", 0.99482, BLUE),
        ("longitudinal_transverse", "low", 1.016, GREY),
    )
    for kind, severity, at, colour in shown:
        name = f"{kind.replace('_', ' and ')}, {severity}"
        axes.semilogx(density, deduct_value(kind, severity, density), color=colour, label=name)
        value = deduct_value(kind, severity, np.array([at]))[0]
        axes.plot(at, value, "o", color=colour)
        axes.annotate(
            f"{value:.1f}", (at, value), (-4, 6), textcoords="offset points", ha="right", fontsize=8
        )
    axes.set(xlabel="density, %", ylabel="deduct value", ylim=(0, 50))
    axes.legend(fontsize=7, frameon=False)
    axes.set_title("PCI: deducts", loc="left", fontsize=10)


def draw_corrections(axes: Axes) -> None:
    """Draw the corrected deduct values, and the example's three steps."""
    total = np.linspace(0, 150, 200)
    for q in (1, *CORRECTION_CURVES):
        curve = corrected_deduct(total, np.full(len(total), q))
        axes.plot(total, curve, color=GREY, lw=0.9)
        axes.text(151, curve[-1], f"q = {q}", fontsize=6, va="center")
    for steps, q in ((21.498, 3), (21.258, 2), (14.614, 1)):
        value = corrected_deduct(np.array([steps]), np.array([q]))[0]
        axes.plot(steps, value, "o", color=RED if q == 1 else INK, ms=4)
    axes.text(30, 10, "greatest 14.6: PCI 85.4", fontsize=8, color=RED)
    axes.set(xlabel="total deduct value", ylabel="corrected", ylim=(0, 100), xlim=(0, 165))
    axes.set_title("PCI: correction for several deducts", loc="left", fontsize=10)


def main() -> None:
    """Draw the road twice, and the PCI's curves."""
    pieces, segments = scene()
    seen = Measured.of(ClassifiedCracks.of(pieces, segments))
    figure = plt.figure(figsize=(11, 9.6), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=(1, 1, 1.15))
    zones, cells = figure.add_subplot(grid[0, :]), figure.add_subplot(grid[1, :])
    draw_zones(zones, seen)
    draw_cells(cells, seen)
    for axes in (zones, cells):
        draw_road(axes, seen)
        axes.set_ylabel("offset, m")
    cells.set_xlabel("station, m")
    draw_deducts(figure.add_subplot(grid[2, 0]))
    draw_corrections(figure.add_subplot(grid[2, 1]))
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)
    print(segment_measures(pieces, segments).drop(columns="r85").T.to_string())  # noqa: T201


if __name__ == "__main__":
    main()
