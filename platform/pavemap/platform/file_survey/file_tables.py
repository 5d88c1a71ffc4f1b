"""The tables of a survey of files: cracks, their pieces by segment, and the segments with their figures."""

from __future__ import annotations

from collections.abc import Mapping

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.crs import WGS84, reproject
from pavemap.geo.lines.line_measures import true_line_stats
from pavemap.geo.lines.pieces import cut_by_segments
from pavemap.geo.measures import MeasureParams
from pavemap.geo.measures.conditions import CountedGround, condition_figures
from pavemap.geo.measures.shortfall import SurveyedGround
from pavemap.platform.file_survey.file_cells import Totals
from pavemap.platform.file_survey.file_measures import measures_of
from pavemap.platform.file_survey.seen_ground import SeenGround


def moved(lines: NDArray[np.object_], shift: tuple[float, float]) -> NDArray[np.object_]:
    """Return lines moved by (x, y)."""
    if shift == (0.0, 0.0):
        return lines
    way = np.array([*shift, 0.0])
    there: NDArray[np.object_] = shapely.transform(lines, lambda p: p + way, include_z=True)
    return there


def crack_table(
    lines: NDArray[np.object_], crs: CRS, *, source: str, confidence: NDArray[np.float64]
) -> gpd.GeoDataFrame:
    """Return the cracks (in a CRS of metres) in EPSG:4326, numbered, measured, with what found them."""
    table = true_line_stats(lines, crs).assign(
        crack_id=np.arange(1, len(lines) + 1), model=source, confidence=confidence
    )
    return gpd.GeoDataFrame(table, geometry=reproject(lines, crs, WGS84), crs=4326)


def by_segment(
    lines: NDArray[np.object_],
    segments: gpd.GeoDataFrame,
    pavements: NDArray[np.object_],
    totals: Totals,
    footprints: NDArray[np.object_],
    *,
    seen: SeenGround,
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Return the pieces of cracks by segment, and the segments with their figures."""
    crack, segment, parts = cut_by_segments(lines, pavements)
    pieces = true_line_stats(parts, seen.grid.crs).assign(crack_id=crack + 1, segment_id=segment)
    params = MeasureParams()
    counted = CountedGround(
        np.arange(len(segments)),
        pavements,
        pavement_m2=segments["pavement_m2"].to_numpy(np.float64),
        imaged_m2=_by_number(totals.imaged, len(segments)),
        coarse_m2=_by_number(totals.coarse, len(segments)),
    )
    figures = condition_figures(
        counted,
        pieces=pieces,
        measured=measures_of(
            pieces.assign(geometry=pd.Series(list(parts), pieces.index, object)),
            segments,
            pavements,
            imaged_m2=counted.imaged_m2,
            ground=seen,
            params=params,
        ),
        ground=SurveyedGround(footprints, failed_cells=np.empty(0, object)),
        gsd_m=seen.grid.gsd_m,
        min_coverage=params.min_coverage,
    )
    del figures["r85"]
    keys = segments["segment_key"].to_numpy(object)[segment]
    geometry = reproject(parts, seen.grid.crs, WGS84)
    return (
        gpd.GeoDataFrame(pieces.assign(segment_key=keys), geometry=geometry, crs=4326),
        segments.reset_index(drop=True).assign(**figures),
    )


def _by_number(figures: Mapping[int, float], count: int) -> NDArray[np.float64]:
    """Return (count,) figures by number, 0 where there is none."""
    return np.array([figures.get(number, 0.0) for number in range(count)], np.float64)
