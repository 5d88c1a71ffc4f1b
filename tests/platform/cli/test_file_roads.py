"""The roads that files are surveyed by are cut as a server would cut them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pavemap.platform.cli.file_roads import RoadOptions


def test_the_settings_of_a_server_hold_where_the_command_says_nothing(
    roads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A road of 5 m without a width."""
    monkeypatch.setenv("PAVEMAP_SEGMENT_LENGTH_M", "2.5")
    monkeypatch.setenv("PAVEMAP_ROAD_WIDTH_M", "4")
    as_set = RoadOptions(roads=roads).segments()
    told = RoadOptions(roads=roads, segment_length=1, default_width=3).segments()
    assert as_set is not None
    assert told is not None
    assert as_set["width_m"].tolist() == [4.0, 4.0]
    assert told["width_m"].tolist() == [3.0] * 5
