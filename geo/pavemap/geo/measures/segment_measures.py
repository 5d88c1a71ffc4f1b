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
from pavemap.geo.measures.classified_cracks import ClassifiedCracks
from pavemap.geo.measures.conditions import ground_figures
from pavemap.geo.measures.crack_types import TYPES
from pavemap.geo.measures.cracking_percent import cracking_percent, cracking_rating
from pavemap.geo.measures.layout import Layout, strip_layout, zone_layout
from pavemap.geo.measures.params import MeasureParams
from pavemap.geo.measures.pci import pci_rating
from pavemap.geo.measures.r85 import r85_by_segment, r85_extents, r85_kind
from pavemap.geo.measures.road_frame import RoadFrames
from pavemap.geo.measures.sample_units import PatternParts, SampleUnits, units_pci
from pavemap.geo.measures.scene import Imaged, SegmentGeometry
from pavemap.geo.measures.severity import SEVERITIES, severity_of
from pavemap.geo.measures.zeb import Cells, grid_cells, zeb_share

MEASURES = (
    "cracked_area_m2",
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
"""Columns that are read from the cracks' bits; all are null where nothing was imaged."""

COLUMNS = (
    "pavement_m2",
    "imaged_m2",
    "coverage",
    "confident",
    "crack_length_m",
    "density_m_per_m2",
    "cracked_area_m2",
    "cracked_area_share",
    *MEASURES[1:],
)


@dataclass(frozen=True)
class Measured:
    """Everything that the measures are read from, for S segments.

    bits: of the cracks, cut at the borders of zones, strips, rows of cells and widths; zone: (N,) index
    of each bit in `zones`, -1 beside all lanes; imaged_m2: (S,) of pavement; zone_imaged_m2: (Z,).
    """

    cracks: ClassifiedCracks
    bits: Bits
    zones: Layout
    zone: Integers
    zone_imaged_m2: Floats
    cells: Cells
    imaged_m2: Floats
    parts: PatternParts
    units: SampleUnits

    @classmethod
    def of(cls, cracks: ClassifiedCracks, imaged: Imaged = None) -> Measured:
        """Prepare what all measures are read from; imaged: as in `segment_measures`."""
        segments, frames, params = cracks.segments, cracks.frames, cracks.params
        ground = segments.imaged_ground(imaged)
        zones, strips = zone_layout(segments, params), strip_layout(segments, params)
        bits = cracks.bits.cut_offsets(zones.borders).cut_offsets(strips.borders)
        bits = bits.cut_stations(params.zeb_cell_m).cut_widths(params.severity_mm)
        imaged_m2 = shapely.area(ground) / frames.scale**2
        units = SampleUnits.divide(ground, imaged_m2, frames=frames, params=params)
        return cls(
            cracks=cracks,
            bits=bits,
            zones=zones,
            zone=zones.index_of(bits.segment, zones.borders.strip_of(bits)),
            zone_imaged_m2=_zone_areas(zones, frames, ground),
            cells=grid_cells(bits, frames=frames, strips=strips, ground=ground, params=params),
            imaged_m2=imaged_m2,
            parts=PatternParts.divide(
                cracks.pattern,
                cracks.bits,
                crack=cracks.pieces.crack,
                segments=segments,
                frames=frames,
                units=units,
                params=params,
            ),
            units=units,
        )

    def extents(self) -> pd.DataFrame:
        """Return the R 85 extents of every lane, zone and kind; see `r85_extents`."""
        kind = r85_kind(self.cracks.types, self.cracks.params)[self.bits.piece]
        return r85_extents(
            self.bits, kind=kind, zone=self.zone, zones=self.zones, imaged_m2=self.zone_imaged_m2
        )

    def table(self) -> pd.DataFrame:
        """Return `MEASURES` of the segments, indexed by segment_id in their order."""
        params, count = self.cracks.params, len(self.cracks.segments)
        table = pd.DataFrame(index=pd.Index(self.cracks.segments.segment_id, name="segment_id"))
        area = self.bits.length_m * self.bits.width_mm.mean(axis=1) / 1000.0
        table["cracked_area_m2"] = np.bincount(self.bits.segment, area, minlength=count)
        _add_classes(table, self.bits, self.cracks.types.code[self.bits.piece], TYPES)
        severity = severity_of(self.bits.width_mm.mean(axis=1), params)
        _add_classes(table, self.bits, severity, (*SEVERITIES, "unknown"))
        table["alligator_m2"] = self.parts.area_of(0, count)
        table["block_m2"] = self.parts.area_of(1, count)
        table["zeb_share"] = zeb_share(self.cells, count)
        table["zeb_evaluated"] = np.bincount(
            self.cells.segment, self.cells.evaluated, minlength=count
        )
        table["cracking_percent"] = cracking_percent(
            self.bits,
            zone=self.zone,
            zones=self.zones,
            imaged_m2=self.zone_imaged_m2,
            frames=self.cracks.frames,
        )
        rating = cracking_rating(table["cracking_percent"].to_numpy())
        table["cracking_rating"] = _objects(table, rating)
        table["r85"] = _objects(table, r85_by_segment(self.extents(), self.imaged_m2))
        table["pci_cracking"] = units_pci(
            self.units, self.bits, types=self.cracks.types, parts=self.parts, params=params
        )
        table["pci_rating"] = _objects(table, pci_rating(table["pci_cracking"].to_numpy()))
        return _nulled(table[list(MEASURES)], self.imaged_m2 <= 0.0)


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
    pavement_m2, imaged_m2; coverage (imaged / pavement, 0 to 1); confident (coverage reaches
    `min_coverage`); crack_length_m; density_m_per_m2 (length / imaged); cracked_area_m2 (the integral of
    width along the cracks, where it is known); cracked_area_share (% of imaged); length_<type>_m;
    length_<severity>_m (by local width, and 'unknown'); alligator_m2, block_m2; zeb_share (%) of
    zeb_evaluated cells; cracking_percent (%), cracking_rating; r85 ({kind: {zone: {length_m, width_mm}}});
    pci_cracking (0 to 100, an upper estimate), pci_rating.
    Raises BadInput for columns that are missing or don't fit.
    """
    cracks = ClassifiedCracks.of(pieces, segments, params=params, scale=scale)
    seen = Measured.of(cracks, imaged)
    table = seen.table()
    figures = ground_figures(
        seen.imaged_m2,
        pavement_m2=shapely.area(cracks.segments.pavement) / cracks.frames.scale**2,
        coarse_share=np.zeros(len(table)),
        crack_length_m=seen.bits.sum_by(seen.bits.segment, len(table)),
        cracked_area_m2=table["cracked_area_m2"].to_numpy(),
        min_coverage=cracks.params.min_coverage,
    )
    return table.assign(**figures)[list(COLUMNS)]


def _objects(table: pd.DataFrame, values: Any) -> pd.Series[Any]:
    return pd.Series(list(values), table.index, object)


def _nulled(table: pd.DataFrame, unseen: NDArray[np.bool_]) -> pd.DataFrame:
    """Make every figure of unseen segments null: None for names and r85, else nan."""
    for name in table.columns:
        null = None if table[name].dtype == object else np.nan
        table[name] = (
            table[name].astype(object if null is None else np.float64).where(~unseen, null)
        )
    return table


def _zone_areas(zones: Layout, frames: RoadFrames, ground: Geometries) -> Floats:
    """Return the imaged area of each zone in true m2."""
    drawn = frames.strips(zones.segment, zones.right, zones.left)
    common = shapely.intersection(drawn, ground[zones.segment])
    area: Floats = shapely.area(common) / frames.scale[zones.segment] ** 2
    return area


def _add_classes(
    table: pd.DataFrame, bits: Bits, code: NDArray[Any], names: tuple[str, ...]
) -> None:
    sums = bits.sum_by(bits.segment * len(names) + code, len(table) * len(names))
    for name, column in zip(names, sums.reshape(-1, len(names)).T, strict=True):
        table[f"length_{name}_m"] = column
