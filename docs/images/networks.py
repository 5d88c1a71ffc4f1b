"""Draws docs/images/networks.png, what a network becomes: `python docs/images/networks.py`."""

from __future__ import annotations

from pathlib import Path

import geopandas
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import shapely
from matplotlib.axes import Axes
from pyproj import CRS

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.roads.lanes import lanes_of, strip_between, zones_of
from pavemap.geo.roads.lineage import Previous
from pavemap.geo.roads.road_network import Network
from pavemap.geo.roads.segments import segment_network

PLANE = CRS.from_dict({"proj": "stere", "lat_0": 50.0, "lon_0": 5.0, "datum": "WGS84"})
INK = "#111827"
COLOURS = ("#93c5fd", "#fca5a5", "#86efac", "#fde68a", "#d8b4fe", "#fdba74", "#a5f3fc")
ZONE_COLOURS = ("#e5e7eb", "#60a5fa", "#d1fae5", "#60a5fa", "#e5e7eb")
Drawn = dict[str, tuple[list[tuple[float, float]], float]]

TOWN: Drawn = {
    "north carriageway": ([(0, 31), (120, 31)], 9.0),
    "south carriageway": ([(120, 24), (0, 24)], 9.0),
    "street": ([(20, -30), (20, 24)], 6.0),
    "lane": ([(20, -12), (75, -12), (100, -28)], 6.0),
}


def network_of(roads: Drawn) -> Network:
    """Return drawn roads as `read_network` would."""
    lines = [shapely.LineString(points) for points, _ in roads.values()]
    degrees = reproject(np.array(lines, dtype=object), PLANE, WGS84)
    length = np.array([line.length for line in lines])
    frame = pd.DataFrame(
        {
            "road_key": list(roads),
            "name": "",
            "section": "",
            "width_m": [width for _, width in roads.values()],
            "width_source": "field",
            "lanes": None,
            "oneway": False,
            "surface": "",
            "level": 0,
            "length_m": length,
            "from_m": 0.0,
            "to_m": length,
            "geometry": degrees,
        }
    ).sort_values("road_key", ignore_index=True)
    return Network(geopandas.GeoDataFrame(frame, geometry="geometry", crs=WGS84), [], "drawn")


def draw_pavement(axes: Axes) -> None:
    """Draw the pavements of a small town: two carriageways, a T, a bend."""
    cut = segment_network(network_of(TOWN), by="intersections+length", length_m=60.0)
    pavements = reproject(cut.geometry.to_numpy(), WGS84, PLANE)
    lines = reproject(cut["line"].to_numpy(), WGS84, PLANE)
    for index, (pavement, line) in enumerate(zip(pavements, lines, strict=True)):
        for part in pavement.geoms:
            axes.fill(*part.exterior.xy, fc=COLOURS[index % len(COLOURS)], ec=INK, lw=0.6)
        axes.plot(*line.xy, color=INK, lw=0.8, ls=(0, (5, 3)))
    axes.set_title("Each bit of pavement belongs to one segment", loc="left")


def draw_lanes(axes: Axes) -> None:
    """Draw the lanes of a road of 7 m and the five zones of each."""
    line = shapely.LineString([(0, 0), (14, 0), (26, 4)])
    for lane in lanes_of(7.0, lanes=2):
        for zone, colour in zip(zones_of(lane), ZONE_COLOURS, strict=True):
            strip = strip_between(line, left_m=zone.left_m, right_m=zone.right_m)
            for part in shapely.get_parts(strip):
                axes.fill(*part.exterior.xy, fc=colour, ec="white", lw=0.5)
            axes.text(0.3, (zone.left_m + zone.right_m) / 2, zone.name, va="center", fontsize=6)
        axes.text(12.5, lane.centre_m, f"lane {lane.index}", ha="center", va="center", fontsize=9)
    axes.plot(*line.xy, color=INK, lw=1.2)
    axes.annotate("", (26, 4), (24.2, 3.4), arrowprops={"arrowstyle": "->", "color": INK})
    axes.set_title("Lanes, and the five zones of each", loc="left")


def draw_lineage(axes: Axes) -> None:
    """Draw an old network and its follower: moved, renumbered, cut in two and made longer."""
    old = segment_network(network_of({"A": ([(0, 0), (400, 0)], 7.0)}))
    previous = Previous(
        name="old",
        first_id=np.arange(len(old)),
        segment_key=old["segment_key"].to_numpy(object),
        road_key=old["road_key"].to_numpy(object),
        lines=old["line"].to_numpy(),
        by="length",
        length_m=100.0,
    )
    edited: Drawn = {"B": ([(-70, 1), (200, 1.5)], 7.0), "C": ([(200, 1.5), (410, 1)], 7.0)}
    new = segment_network(network_of(edited), previous=previous)
    for cut, y, title in ((old, 40.0, "old"), (new, 0.0, "new")):
        for row in cut.itertuples():
            x = shapely.get_coordinates(reproject(row.line, WGS84, PLANE))[[0, -1], 0]
            number = row.Index if cut is old else row.lineage
            fresh = number is None or number != number
            colour = "#e5e7eb" if fresh else COLOURS[int(number) % len(COLOURS)]
            axes.fill_between(x, y - 9, y + 9, fc=colour, ec=INK, lw=0.6)
            axes.text(x.mean(), y, row.segment_key, ha="center", va="center", fontsize=8)
        axes.text(-85, y, title, ha="right", va="center", fontsize=9)
    axes.set_xlim(-130, 420)
    axes.set_title("Moved, renumbered, split, made longer: segments are found again", loc="left")


def main() -> None:
    """Draw the three pictures side by side."""
    figure, panels = plt.subplots(1, 3, figsize=(15, 4.2), width_ratios=(1.1, 1.1, 1.3))
    for axes, draw in zip(panels, (draw_pavement, draw_lanes, draw_lineage), strict=True):
        draw(axes)
        axes.set_axis_off()
        if draw is not draw_lineage:
            axes.set_aspect("equal")
    figure.tight_layout()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=110)


if __name__ == "__main__":
    main()
