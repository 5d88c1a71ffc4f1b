"""What the operator's handbook tells to type is what the chart takes."""

from __future__ import annotations

import json
import math
import re
import shlex

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from helm_chart import CHART, CNPG, ROOT, helm
from pavemap.geo.grid import Grid

HANDBOOK = (ROOT / "docs" / "operations.md").read_text()
BLOCKS = [
    block.replace("\\\n", " ")
    for block in re.findall(r"^```(?:bash)?\n(.*?)^```$", HANDBOOK, re.S | re.M)
]
COMMANDS = [
    line
    for block in BLOCKS
    for line in block.splitlines()
    if re.match(r"helm install pavemap helm/pavemap ", line)
]


@pytest.mark.parametrize("command", COMMANDS, ids=range(len(COMMANDS)))
def test_an_installation_by_the_handbook_renders(command: str) -> None:
    words = shlex.split(command, comments=True)
    words[words.index("install")] = "template"
    given = [str(ROOT / word) if word.startswith("helm/") else word for word in words[1:]]
    done = helm(*given, "--api-versions", CNPG)
    assert done.returncode == 0, done.stderr


def test_the_handbook_installs_in_more_than_one_way() -> None:
    assert len(COMMANDS) >= 3


def test_every_value_that_the_handbook_names_is_one() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    top = "|".join(map(re.escape, schema["properties"]))
    named = {
        found.partition("=")[0]
        for found in re.findall(rf"[`\s]((?:{top})(?:\.[A-Za-z_]+)+)", HANDBOOK)
        if not found.endswith((".md", ".yaml", ".json"))
    }
    assert len(named) > 15
    for path in sorted(named):
        node = schema
        for part in path.split("."):
            assert part in node.get("properties", {}), f"{path} is no value of the chart"
            node = node["properties"][part]


def rows(first: str) -> dict[str, list[str]]:
    """The handbook's table whose first heading begins so: cells by that of the first column."""
    _, _, rest = HANDBOOK.partition(f"\n| {first}")
    lines = rest.partition("\n\n")[0].splitlines()[2:]
    split = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0]: cells[1:] for cells in split}


CELL_MPX = 2048**2 / 1e6


def test_the_figures_of_sizing_are_those_that_were_measured() -> None:
    """Speeds by pixel of a cell, and cores beside a Detector, are of the surveys in benchmarks.md."""
    measured = " ".join((ROOT / "docs" / "benchmarks.md").read_text().split())
    told = " ".join(HANDBOOK.split())
    cells = re.search(r"survey of (\d+) cells ([\d.]+) s", measured)
    default = re.search(r"survey ([\d.]+) s, \*\*[^;]*; worker seconds: ([^;]*)", measured)
    assert cells, "benchmarks.md does not say what a survey does; mend sizing with it"
    assert default, "benchmarks.md does not say what the default model does; mend sizing with it"
    mpx = int(cells[1]) * CELL_MPX
    assert f"took {cells[1]} cells ({mpx:.0f} Mpx)" in told
    for seconds in (default[1], cells[2]):
        assert f"in {seconds} s with" in told
        assert f"**{mpx / float(seconds):.1f} Mpx/s**" in told
    feeding = [re.search(rf"{stage} ([\d.]+)", default[2]) for stage in STAGES]
    total = sum(float(found[1]) for found in feeding if found)
    assert f"took {total:.1f} worker-seconds for the {cells[1]} cells" in told
    assert f"{total / mpx:.2f} cores for each" in told


def test_the_band_of_cells_along_a_road_is_as_wide_as_sizing_says() -> None:
    """Roads of 500 m in every direction, by the grid's own choice of cells; their ends count a little."""
    table = rows("Mpx per kilometre")
    assert len(table) == 3
    for pixel, told in table.items():
        grid = Grid(CRS.from_epsg(32632), float(pixel.split()[0]) / 1000)
        for width, mpx_per_km in zip((3.5, 7.0, 14.0), told, strict=True):
            counts = [len(grid.indices_meeting(road(angle, width))) for angle in range(0, 90, 3)]
            found = float(np.mean(counts)) * CELL_MPX / 0.5
            assert float(mpx_per_km.replace(",", "")) == pytest.approx(found, rel=0.04)


def road(angle: float, width: float) -> NDArray[np.object_]:
    """The pavement of a straight road of 500 m."""
    x, y = 500_001.6, 5_500_002.0
    end = (x + 500 * np.cos(np.radians(angle)), y + 500 * np.sin(np.radians(angle)))
    line = shapely.LineString([(x, y), end])
    return np.array([line.buffer(width / 2, cap_style="flat")], dtype=object)


def test_the_workers_of_sizing_are_what_its_formula_gives() -> None:
    (lanes,) = (cells[1] for pixel, cells in rows("Mpx per kilometre").items() if pixel[0] == "2")
    per_km = float(lanes.replace(",", ""))
    needed = [km * per_km / s for km, s in ((100, 28_800), (50_000, 864_000), (50_000, 28_800))]
    workers = {
        float(name.split()[0].replace(",", "")): [
            int(re.findall(r"[\d,]+$", cell)[0].replace(",", "")) for cell in cells
        ]
        for name, cells in rows("one worker does").items()
        if name != "needed"
    }
    assert len(workers) == 5
    for speed, told in workers.items():
        assert told == [math.ceil(each / speed / 0.7) for each in needed]


STAGES = ("read", "vectorise", "store")
