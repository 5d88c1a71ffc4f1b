"""The options that say which fields of a road file hold what."""

from __future__ import annotations

from typing import Annotated

import typer

from pavemap.geo.roads.length_units import LengthUnit
from pavemap.geo.roads.road_defaults import ROAD_WIDTH_M, SEGMENT_LENGTH_M

IdField = Annotated[str | None, typer.Option(help="Field with the road's id.")]
NameField = Annotated[str | None, typer.Option(help="Field with the road's name.")]
WidthField = Annotated[str | None, typer.Option(help="Field with the road's width.")]
WidthUnit = Annotated[LengthUnit, typer.Option(help="Unit of the width field.")]
DefaultWidth = Annotated[
    float | None,
    typer.Option(min=0.5, help=f"Width in metres of roads that state none; else {ROAD_WIDTH_M:g}."),
]
SegmentLength = Annotated[
    float | None,
    typer.Option(min=1, help=f"Length of a segment in metres; else {SEGMENT_LENGTH_M:g}."),
]
Layer = Annotated[str | None, typer.Option(help="Layer of the road file, if it has several.")]
