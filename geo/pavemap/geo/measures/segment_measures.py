"""All measures of a block of segments in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from pavemap.geo.arrays import Floats, Geometries, Integers
from pavemap.geo.measures.bits import Bits
from pavemap.geo.measures.conditions import share_of
from pavemap.geo.measures.crack_patterns import find_pattern
from pavemap.geo.measures.crack_types import TYPES, CrackTypes, crack_types
from pavemap.geo.measures.cracking_percent import cracking_percent, cracking_rating
from pavemap.geo.measures.layout import Layout, strip_layout, zone_layout
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.pci import pci_rating
from pavemap.geo.measures.r85 import r85_by_segment, r85_extents, r85_kind
from pavemap.geo.measures.road_frame import RoadFrames
from pavemap.geo.measures.sample_units import PatternParts, SampleUnits, units_pci
from pavemap.geo.measures.scene import Imaged, Pieces, SegmentGeometry
from pavemap.geo.measures.severity import SEVERITIES, severity_of
from pavemap.geo.measures.zeb import Cells, grid_cells, zeb_share

COLUMNS = (
    "pavement_m2",
    "imaged_m2",
    "coverage",
    "low_coverage",
    "crack_length_m",
    "density_m_per_m2",
    "cracked_area_m2",
    "cracked_area_share",
    *(f"length_{name}_m" for name in TYPES),
    *(f"length_{name}_m" for name in (*SEVERITIES, "unknown")),
    "alligator_m2",
    "block_m2",
    "zeb_share",
    "zeb_evaluated",
    "cracking_percent",
    "cracking_rating",
    "r85",
    "pci_cracking",
    "pci_rating",
)
GROUND = ("pavement_m2", "imaged_m2", "coverage", "low_coverage")
"""Columns that are known of every segment; all others are null where nothing was imaged."""


@dataclass(frozen=True)
class Measured:
    """Everything that the measures are read from, for S segments and P pieces.

    bits are cut at the borders of zones, strips, rows of cells and widths; zone: (N,) index of each bit in
    `zones`, -1 beside all lanes; ground: (S,) imaged pavement; imaged_m2: (S,); zone_imaged_m2: (Z,).
    """

    segments: SegmentGeometry
    pieces: Pieces
    frames: RoadFrames
    bits: Bits
    types: CrackTypes
    zones: Layout
    zone: Integers
    zone_imaged_m2: Floats
    cells: Cells
    ground: Geometries
    imaged_m2: Floats
    parts: PatternParts
    units: SampleUnits


def segment_measures(
    pieces: pd.DataFrame,
    segments: pd.DataFrame | SegmentGeometry,
    imaged: Imaged = None,
    *,
    params: MeasureParams | None = None,
    scale: float | Floats = 1.0,
) -> pd.DataFrame:
    """Return the measures of segments, indexed by segment_id in their order.

    pieces: columns segment_id, crack_id, geometry (LineStrings Z in a metric CRS whose z is the width
    in mm, 0 where unknown), each on one segment. segments: see `SegmentGeometry`; in the same CRS.
    imaged: the imaged part of each segment's pavement, by segment_id or in order; None if all of it.
    scale: CRS units per true metre, one or one for each segment. All figures are true ground metres.
    Give neighbouring segments together: a crack over several is then judged whole. Memory grows with
    what is given, so give networks in blocks.

    Columns (null where nothing was imaged, but for the first four):
    pavement_m2, imaged_m2; coverage (imaged / pavement, 0 to 1); low_coverage (coverage below
    `min_coverage`); crack_length_m; density_m_per_m2 (length / imaged); cracked_area_m2 (length x width);
    cracked_area_share (% of imaged); length_<type>_m; length_<severity>_m (by local width, and 'unknown');
    alligator_m2, block_m2; zeb_share (%) of zeb_evaluated cells; cracking_percent (%), cracking_rating;
    r85 ({kind: {zone: {length_m, width_mm}}}); pci_cracking (0 to 100, an upper estimate), pci_rating.
    Raises BadInput for columns that are missing or don't fit.
    """
    params = params or MeasureParams()
    seen = measure(pieces, segments, imaged, params=params, scale=scale)
    count = len(seen.segments)
    table = pd.DataFrame(index=pd.Index(seen.segments.segment_id, name="segment_id"))
    _add_ground(table, seen, params)
    _add_lengths(table, seen, params)
    table["alligator_m2"] = seen.parts.area_of(0, count)
    table["block_m2"] = seen.parts.area_of(1, count)
    table["zeb_share"] = zeb_share(seen.cells, count)
    table["zeb_evaluated"] = np.bincount(seen.cells.segment, seen.cells.evaluated, minlength=count)
    table["cracking_percent"] = cracking_percent(
        seen.bits,
        zone=seen.zone,
        zones=seen.zones,
        imaged_m2=seen.zone_imaged_m2,
        frames=seen.frames,
    )
    table["cracking_rating"] = _objects(
        table, cracking_rating(table["cracking_percent"].to_numpy())
    )
    table["r85"] = _objects(table, r85_by_segment(extents_of(seen, params), seen.imaged_m2))
    table["pci_cracking"] = units_pci(
        seen.units, seen.bits, types=seen.types, parts=seen.parts, params=params
    )
    table["pci_rating"] = _objects(table, pci_rating(table["pci_cracking"].to_numpy()))
    return _nulled(table[list(COLUMNS)], seen.imaged_m2 <= 0.0)


def measure(
    pieces: pd.DataFrame,
    segments: pd.DataFrame | SegmentGeometry,
    imaged: Imaged = None,
    *,
    params: MeasureParams,
    scale: float | Floats = 1.0,
) -> Measured:
    """Prepare what all measures are read from; arguments as in `segment_measures`."""
    scene = (
        segments if isinstance(segments, SegmentGeometry) else SegmentGeometry.from_frame(segments)
    )
    cracks = Pieces.from_frame(pieces, scene)
    ground = scene.imaged_ground(imaged)
    frames = RoadFrames.from_lines(scene.line, scale=_spread(scale, len(scene)))
    zones, strips = zone_layout(scene, params), strip_layout(scene, params)
    whole = Bits.from_pieces(cracks, frames)
    pattern = find_pattern(cracks, scale=frames.scale[cracks.segment], params=params)
    types = crack_types(cracks, whole, pattern=pattern, params=params)
    bits = whole.cut_offsets(zones.borders).cut_offsets(strips.borders)
    bits = bits.cut_stations(params.zeb_cell_m).cut_widths(params.severity_mm)
    cells = grid_cells(bits, frames=frames, strips=strips, ground=ground, params=params)
    imaged_m2 = shapely.area(ground) / frames.scale**2
    units = SampleUnits.divide(ground, imaged_m2, frames=frames, params=params)
    parts = PatternParts.divide(
        pattern,
        whole,
        crack=cracks.crack,
        segments=scene,
        frames=frames,
        units=units,
        params=params,
    )
    strip = zones.borders.strip_of(bits)
    return Measured(
        scene,
        cracks,
        frames,
        bits,
        types,
        zones,
        zones.index_of(bits.segment, strip),
        _zone_areas(zones, frames, ground),
        cells,
        ground,
        imaged_m2,
        parts,
        units,
    )


def extents_of(seen: Measured, params: MeasureParams) -> pd.DataFrame:
    """Return the R 85 extents of every lane, zone and kind; see `r85_extents`."""
    kind = r85_kind(seen.types, params)[seen.bits.piece]
    return r85_extents(
        seen.bits, kind=kind, zone=seen.zone, zones=seen.zones, imaged_m2=seen.zone_imaged_m2
    )


def _objects(table: pd.DataFrame, values: Any) -> pd.Series[Any]:
    return pd.Series(list(values), table.index, object)


def _nulled(table: pd.DataFrame, unseen: NDArray[np.bool_]) -> pd.DataFrame:
    """Make every figure of unseen segments null: None for names and r85, else nan."""
    for name in table.columns.difference(list(GROUND)):
        null = None if table[name].dtype == object else np.nan
        table[name] = (
            table[name].astype(object if null is None else np.float64).where(~unseen, null)
        )
    return table


def _spread(scale: float | Floats, count: int) -> Floats:
    return np.array(np.broadcast_to(np.asarray(scale, np.float64), (count,)))


def _zone_areas(zones: Layout, frames: RoadFrames, ground: Geometries) -> Floats:
    """Return the imaged area of each zone in true m2."""
    drawn = frames.strips(zones.segment, zones.right, zones.left)
    common = shapely.intersection(drawn, ground[zones.segment])
    area: Floats = shapely.area(common) / frames.scale[zones.segment] ** 2
    return area


def _add_ground(table: pd.DataFrame, seen: Measured, params: MeasureParams) -> None:
    """Add what the figures rest on."""
    pavement_m2 = shapely.area(seen.segments.pavement) / seen.frames.scale**2
    table["pavement_m2"], table["imaged_m2"] = pavement_m2, seen.imaged_m2
    table["coverage"] = np.minimum(share_of(seen.imaged_m2, pavement_m2), 1.0)
    table["low_coverage"] = table["coverage"] < params.min_coverage


def _add_lengths(table: pd.DataFrame, seen: Measured, params: MeasureParams) -> None:
    """Add crack length, density and cracked area, and the lengths by type and by severity.

    Length: the sum over pieces, m; density: per imaged area, m/m2; cracked area: the integral of
    width along the cracks where it is known, m2; its share of the imaged area, %.
    """
    bits, count = seen.bits, len(table)
    imaged = np.where(seen.imaged_m2 > 0.0, seen.imaged_m2, np.nan)
    table["crack_length_m"] = bits.sum_by(bits.segment, count)
    table["density_m_per_m2"] = table["crack_length_m"] / imaged
    area = bits.length_m * bits.width_mm.mean(axis=1) / 1000.0
    table["cracked_area_m2"] = np.bincount(bits.segment, area, minlength=count)
    table["cracked_area_share"] = 100.0 * table["cracked_area_m2"] / imaged
    _add_classes(table, bits, seen.types.code[bits.piece], TYPES)
    severity = severity_of(bits.width_mm.mean(axis=1), params)
    _add_classes(table, bits, severity, (*SEVERITIES, "unknown"))


def _add_classes(
    table: pd.DataFrame, bits: Bits, code: NDArray[Any], names: tuple[str, ...]
) -> None:
    sums = bits.sum_by(bits.segment * len(names) + code, len(table) * len(names))
    for name, column in zip(names, sums.reshape(-1, len(names)).T, strict=True):
        table[f"length_{name}_m"] = column
