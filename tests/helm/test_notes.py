"""What helm says after an installation: the next command, and what is not safe."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from helm_chart import BUCKET, CHART, GRID, NORM, TRIAL, Install, only, render

SHOWN = """
apiVersion: v1
kind: ConfigMap
metadata: {name: said}
data:
  said: {{ tpl (.Files.Get "notes.txt") . | toJson }}
"""


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart with its notes as an object: `helm template` leaves them out."""
    copy = tmp_path_factory.mktemp("notes") / "pavemap"
    shutil.copytree(CHART, copy)
    shutil.copy(CHART / "templates" / "NOTES.txt", copy / "notes.txt")
    (copy / "templates" / "said.yaml").write_text(SHOWN)
    return copy


def said(install: Install, chart: Path) -> str:
    text: str = only(render(install, chart=chart), "ConfigMap", "said")["data"]["said"]
    return text


@pytest.mark.parametrize(
    "install", [NORM, TRIAL, GRID["ingress"]], ids=["norm", "trial", "ingress"]
)
def test_commands_name_what_there_is(install: Install, chart: Path) -> None:
    notes = said(install, chart)
    named = re.findall(r"(deployment|rayservice|service)/([a-z-]+)", notes)
    there = {(item["kind"].lower(), item["metadata"]["name"]) for item in render(install)}
    assert named
    assert set(named) <= there
    assert all("-n roads" in line for line in notes.splitlines() if "kubectl" in line)
    assert "helm -n roads test survey" in notes


def test_the_address_is_the_one_that_people_reach(chart: Path) -> None:
    assert "https://pavemap.example.org/docs" in said(GRID["ingress"], chart)
    assert "port-forward" in said(NORM, chart)


def test_the_command_is_one_of_the_command_line(chart: Path) -> None:
    typed = [line.split() for line in said(NORM, chart).splitlines() if "pavemap survey" in line]
    assert [words[:4] for words in typed] == [["pavemap", "survey", "list", "--server"]]


def test_what_is_not_safe_is_said(chart: Path) -> None:
    assert "WARNING" not in said(NORM, chart)
    assert "without a backup" in said(TRIAL, chart)
    assert "Ray asks for no token" in said(GRID["Redis, no token"], chart)
    assert "no NetworkPolicies" in said(GRID["no training, digests, no policies"], chart)
    assert "has no backup" in said(GRID["cloudnative-pg"], chart)


def test_the_rule_that_a_bucket_needs_is_said_where_there_is_one(chart: Path) -> None:
    assert "AbortIncompleteMultipartUpload" in said(BUCKET, chart)
    assert "AbortIncompleteMultipartUpload" not in said(NORM, chart)
