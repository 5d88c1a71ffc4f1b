"""Road networks as the API takes and shows them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from pavemap.geo.roads.field_map import FieldMap
from pavemap.geo.roads.length_units import LengthUnit
from pavemap.geo.roads.road_defaults import SegmentsBy
from pavemap.geo.store.networks import NetworkRow
from pavemap.platform.api.schemas.common import Bbox, Label, Printable

EXAMPLE_SUMMARY: JsonDict = {
    "id": "0b0e4f5e-3c57-4a0b-8a4e-0d9d7d1a9f11",
    "name": "Old town",
    "roads": 35,
    "segments": 81,
    "length_m": 7913.4,
    "segments_by": "length",
    "segment_length_m": 100.0,
    "replaces": None,
    "source_crs": "EPSG:5514",
    "bbox": [14.41, 50.07, 14.44, 50.09],
    "created_at": "2026-05-04T09:30:00Z",
}


class NetworkOptions(BaseModel):
    """How to read an uploaded road network: as query parameters, or as fields of the form."""

    model_config = ConfigDict(extra="forbid")

    name: Label | None = Field(
        default=None, description="what the network is called (required)", examples=["Old town"]
    )
    filename: Printable | None = Field(
        default=None,
        description="name of the file, whose suffix tells the format: .gpkg, .geojson, .zip (a "
        "Shapefile) or .parquet; a form brings it along",
        examples=["roads.gpkg"],
    )
    layer: Printable | None = Field(
        default=None, description="layer of a GeoPackage, if it has several"
    )
    segment_length_m: float | None = Field(
        default=None, gt=0, description="length of the segments; by default the server's, 100"
    )
    default_width_m: float | None = Field(
        default=None,
        gt=0,
        description="width of a road that states none; by default the server's, 7",
    )
    road_id_field: Printable | None = Field(
        default=None, description="field of the road's id", examples=["osm_id"]
    )
    name_field: Printable | None = Field(
        default=None, description="field of the road's name", examples=["name"]
    )
    width_field: Printable | None = Field(default=None, description="field of the road's width")
    width_unit: LengthUnit = Field(default="m", description="unit of widths that name none")
    lanes_field: Printable | None = Field(
        default=None, description="field of the number of lanes, for roads without a width"
    )
    oneway_field: Printable | None = Field(
        default=None, description="field that says whether a road is one-way", examples=["oneway"]
    )
    surface_field: Printable | None = Field(default=None, description="field of the surface type")
    section_field: Printable | None = Field(
        default=None, description="field of the agency's name of a section"
    )
    level_field: Printable | None = Field(
        default=None,
        description="field of a road's level: roads on two levels cross without meeting",
    )
    bridge_field: Printable | None = Field(default=None, description="field that tells bridges")
    tunnel_field: Printable | None = Field(default=None, description="field that tells tunnels")
    guess_fields: bool = Field(
        default=True,
        description="look for name, lanes, one-way, surface, layer, bridge, tunnel under their usual names",
    )
    segments_by: SegmentsBy = Field(
        default="length",
        description="where roads are cut: every segment_length_m; at the ends of the agency's own "
        "sections, each of them a feature; where roads meet; or where they meet and by length between",
    )
    replaces: Printable | None = Field(
        default=None,
        description="id or name of an older network: segments found again keep key and history",
    )
    pavement_layer: Printable | None = Field(
        default=None, description="layer of the pavement file, if it has several"
    )
    begin_field: Printable | None = Field(
        default=None, description="field of the agency's measure at the line's begin"
    )
    end_field: Printable | None = Field(
        default=None, description="field of the agency's measure at the line's end"
    )
    measure_unit: LengthUnit = Field(default="m", description="unit of the agency's measures")

    def field_map(self) -> FieldMap:
        """Return which of the file's fields say what."""
        return FieldMap(
            road_id=self.road_id_field,
            name=self.name_field,
            width=self.width_field,
            lanes=self.lanes_field,
            begin=self.begin_field,
            end=self.end_field,
            oneway=self.oneway_field,
            surface=self.surface_field,
            section=self.section_field,
            level=self.level_field,
            bridge=self.bridge_field,
            tunnel=self.tunnel_field,
            guess=self.guess_fields,
            width_unit=self.width_unit,
            measure_unit=self.measure_unit,
        )


class NetworkSummary(BaseModel):
    """A road network, as it stands in the list."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_SUMMARY]})

    id: uuid.UUID
    name: str
    roads: int
    segments: int
    length_m: float = Field(description="true ground metres of all roads")
    segments_by: SegmentsBy
    segment_length_m: float | None = Field(description="null where roads are not cut by length")
    replaces: uuid.UUID | None = Field(description="the older network that this one follows")
    source_crs: str = Field(description="CRS of the file")
    bbox: Bbox
    created_at: datetime

    @classmethod
    def of(cls, row: NetworkRow, **more: Any) -> Self:
        """Describe a stored network."""
        return cls(
            id=row.id,
            name=row.name,
            roads=row.road_count,
            segments=row.segment_count,
            length_m=row.length_m,
            segments_by=row.segments_by,
            segment_length_m=row.segment_length_m,
            replaces=row.replaces,
            source_crs=row.source_crs,
            bbox=row.bounds,
            created_at=row.created_at,
            **more,
        )


class ImportNoteOut(BaseModel):
    """One repair that the import made: in which feature, what was wrong, what was done."""

    feature: str = Field(description="'#12 (A1)' is the twelfth, with id A1; empty for several")
    problem: str
    action: str
    count: int = 1


class ImportReport(BaseModel):
    """What the import repaired or left out."""

    counts: dict[str, int] = Field(description="number of features by problem and action")
    notes: list[ImportNoteOut] = Field(description="the first 1,000, one by one")

    @classmethod
    def of(cls, notes: Iterable[dict[str, Any]]) -> Self:
        """Count notes and keep the first."""
        read = [ImportNoteOut.model_validate(note) for note in notes]
        counts: dict[str, int] = {}
        for note in read:
            kind = f"{note.problem}: {note.action}"
            counts[kind] = counts.get(kind, 0) + note.count
        ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
        return cls(counts=ordered, notes=read[:1000])


class NetworkOut(NetworkSummary):
    """A road network with the report of its import."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **EXAMPLE_SUMMARY,
                    "report": {
                        "counts": {"zero length: left out": 1},
                        "notes": [
                            {"feature": "#12 (A1)", "problem": "zero length", "action": "left out"}
                        ],
                    },
                }
            ]
        }
    )

    report: ImportReport
