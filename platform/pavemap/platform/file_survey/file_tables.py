"""The tables of a survey of files: cracks, their pieces by segment, and the segments with their figures."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from pavemap.geo.crs import WGS84, ground_scales, reproject
from pavemap.geo.grid import Grid
from pavemap.geo.lines.line_measures import line_stats
from pavemap.geo.lines.pieces import cut_by_segments
from pavemap.geo.measures import MeasureParams
from pavemap.geo.measures.conditions import conditions, on_imaged_ground, within_pavement
from pavemap.geo.measures.shortfall import shortfall
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
    table = _measured(lines, crs).assign(
        crack_id=np.arange(1, len(lines) + 1), model=source, confidence=confidence
    )
    return gpd.GeoDataFrame(table, geometry=reproject(lines, crs, WGS84), crs=4326)


def _measured(lines: NDArray[np.object_], crs: CRS) -> pd.DataFrame:
    """Measure lines in true ground metres, each by the scale at its middle."""
    west, south, east, north = shapely.bounds(lines).reshape(-1, 4).T
    return line_stats(lines, scale=ground_scales(crs, (west + east) / 2.0, (south + north) / 2.0))


def by_segment(
    lines: NDArray[np.object_],
    segments: gpd.GeoDataFrame,
    pavements: NDArray[np.object_],
    totals: Totals,
    footprints: NDArray[np.object_],
    *,
    coarse: NDArray[np.bool_],
    grid: Grid,
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    """Return the pieces of cracks by segment, and the segments with their figures."""
    crack, segment, parts = cut_by_segments(lines, pavements)
    measured = _measured(parts, grid.crs).assign(crack_index=crack, segment_id=segment)
    imaged = pd.Series(totals.imaged, dtype=float).reindex(range(len(segments)), fill_value=0.0)
    figures = conditions(
        pd.DataFrame(
            {"segment_id": np.arange(len(segments)), "pavement_m2": segments["pavement_m2"]}
        ),
        pieces=measured,
        imaged_m2=pd.Series(
            within_pavement(
                imaged.to_numpy(),
                pavement_m2=segments["pavement_m2"].to_numpy(np.float64),
                pavements=pavements,
                gsd_m=grid.gsd_m,
            )
        ),
        cracked_m2=pd.Series(totals.cracked, dtype=float),
    )
    known: dict[str, Any] = {str(name): figures[name].to_numpy() for name in figures}
    lacks = shortfall(
        pavements,
        coverage=known["coverage"],
        footprints=footprints,
        coarse=coarse,
        failed_cells=np.empty(0, object),
    )
    known |= {"reason": lacks.reason, "too_coarse": lacks.too_coarse}
    known["confident"] = known["coverage"] - lacks.too_coarse >= MeasureParams().min_coverage
    measures = measures_of(
        pd.DataFrame({"segment_id": segment, "crack_id": crack}).assign(
            geometry=pd.Series(list(parts), dtype=object)
        ),
        segments,
        pavements,
        imaged_m2=known["imaged_m2"],
        ground=SeenGround(grid=grid, parts=totals.parts),
    )
    # Length, density and what was imaged rest on counted pixels and on each piece's own scale.
    known |= on_imaged_ground(
        known["imaged_m2"],
        length_m=np.nan_to_num(known["crack_length_m"]),
        area_m2=measures["cracked_area_m2"].fillna(0.0).to_numpy(np.float64),
    )
    known |= {
        str(name): measures[name].to_numpy()
        for name in measures
        if name not in {*known, "low_coverage", "r85"}
    }
    pieces = gpd.GeoDataFrame(
        measured.assign(
            crack_id=crack + 1, segment_key=segments["segment_key"].to_numpy(object)[segment]
        ),
        geometry=reproject(parts, grid.crs, WGS84),
        crs=4326,
    )
    return pieces, segments.reset_index(drop=True).assign(**known)
