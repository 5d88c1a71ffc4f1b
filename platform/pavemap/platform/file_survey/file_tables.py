"""The tables of a survey of files: cracks, their pieces by segment, and the segments with their figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
from pavemap.geo.measures.conditions import condition_figures
from pavemap.geo.measures.shortfall import SurveyedGround
from pavemap.platform.file_survey.file_cells import Totals
from pavemap.platform.file_survey.file_measures import SeenGround, measures_of


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
    measured = true_line_stats(parts, seen.grid.crs).assign(crack_index=crack, segment_id=segment)
    by_segment_id = measured.groupby("segment_id")
    numbers = np.arange(len(segments))
    counted_m2 = _by_number(totals.imaged, numbers)
    measures = measures_of(
        pd.DataFrame({"segment_id": segment, "crack_id": crack}).assign(
            geometry=pd.Series(list(parts), dtype=object)
        ),
        segments,
        pavements,
        imaged_m2=counted_m2,
        ground=seen,
    )
    known = condition_figures(
        pavements=pavements,
        pavement_m2=segments["pavement_m2"].to_numpy(np.float64),
        counted_m2=counted_m2,
        coarse_m2=_by_number(totals.coarse, numbers),
        gsd_m=seen.grid.gsd_m,
        crack_length_m=_by_number(by_segment_id["length_m"].sum(), numbers),
        crack_count=_by_number(by_segment_id["crack_index"].nunique(), numbers).astype(np.int64),
        cracked_area_m2=measures["cracked_area_m2"].fillna(0.0).to_numpy(np.float64),
        ground=SurveyedGround(footprints, failed_cells=np.empty(0, object)),
        min_coverage=MeasureParams().min_coverage,
    )
    # What rests on counted pixels and on each piece's own scale is not taken from polygons.
    known |= {
        str(name): measures[name].to_numpy()
        for name in measures
        if name not in {*known, "low_coverage", "r85"}
    }
    pieces = gpd.GeoDataFrame(
        measured.assign(
            crack_id=crack + 1, segment_key=segments["segment_key"].to_numpy(object)[segment]
        ),
        geometry=reproject(parts, seen.grid.crs, WGS84),
        crs=4326,
    )
    return pieces, segments.reset_index(drop=True).assign(**known)


def _by_number(
    figures: Mapping[int, float] | pd.Series[Any], numbers: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return figures by number as an array, 0 where there is none."""
    known = pd.Series(figures, dtype=float).reindex(numbers, fill_value=0.0)
    return known.to_numpy(np.float64)
