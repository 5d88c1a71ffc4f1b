"""The drawn country of benchmarks/ask.py can be stored and asked, so that its figures can be had again."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from pavemap.geo.store import segment_history, segment_pages, tiles
from pavemap.geo.store.engine import database

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def test_what_is_drawn_can_be_asked(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    ask_scene = importlib.import_module("ask_scene")
    scene = ask_scene.fill(engine, segments=200, rounds=2, cracks=1_000)
    assert len(scene.surveys) == 2
    assert len(scene.segment_ids) == 200
    lon, lat = np.mean(scene.middles, axis=0)
    with database(engine) as connection:
        found, following = segment_pages.segment_features(
            connection, scene.surveys[-1], bbox=(lon - 1, lat - 1, lon + 1, lat + 1), limit=100
        )
        assert (len(found), following is None) == (100, False)
        assert len(segment_history.segment_conditions(connection, int(scene.segment_ids[0]))) == 2
        tile = tiles.Tile(5, int((lon + 180.0) / 360.0 * 2**5), 10)
        assert tiles.survey_tile(connection, scene.surveys[0], tile)
