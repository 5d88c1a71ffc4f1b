"""What the operator's handbook tells to type is what the chart takes."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from helm_chart import CHART, CNPG, ROOT, helm

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


def test_the_figures_of_sizing_are_those_that_were_measured() -> None:
    """8.9 Mpx/s, and 0.06 cores for each Mpx/s beside a Detector, are of the survey in benchmarks.md."""
    measured = (ROOT / "docs" / "benchmarks.md").read_text()
    rate = re.search(r"([\d.]+) Mpx/s from imagery in storage to figures in PostGIS", measured)
    seconds = [re.search(rf"^\| {stage}[^|]*\| ([\d.]+) ", measured, re.M) for stage in STAGES]
    assert rate, "benchmarks.md does not say what a survey does; mend sizing with it"
    assert f"survey **{rate[1]} Mpx/s**" in HANDBOOK
    total = sum(float(found[1]) for found in seconds if found)
    assert f"took {total:.1f} worker-seconds for 400 Mpx" in HANDBOOK
    assert f"{total / 400:.2f} cores for each" in " ".join(HANDBOOK.split())


STAGES = ("read", "vectorise", "store")
