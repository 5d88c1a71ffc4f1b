"""Pages of segments read as a client reads them: features of GeoJSON, with their figures as attributes."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import orjson
import shapely.geometry

from pavemap.geo.store.segment_pages import SegmentFeature


class SegmentRow(SimpleNamespace):
    """A segment: its properties by name, and its `shape` in degrees; equal where all of that is."""

    def __getattr__(self, name: str) -> Any:
        """Never found; here for the type checker, which doesn't know the properties."""
        raise AttributeError(name)


def read_rows(features: Iterable[SegmentFeature]) -> list[SegmentRow]:
    """Read features of a page."""
    return [_row(feature) for feature in features]


def _row(feature: SegmentFeature) -> SegmentRow:
    read = orjson.loads(feature.json)
    assert read["id"] == feature.id == read["properties"]["segment_id"]
    return SegmentRow(**read["properties"], shape=shapely.geometry.shape(read["geometry"]))
